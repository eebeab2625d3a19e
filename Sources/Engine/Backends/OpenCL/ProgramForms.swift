/// Forms of one kernel file, told apart by macros, that are built as one program where that saves a start's time.
///
/// PoCL takes 17 ms for each program that it has compiled before: it reads its own headers to find out that it has. A training
/// step needs some thirty forms of four files. They are listed here, and not taken from a plan, so that another shape, batch
/// or width asks for the same text and compiles nothing again. A form that is not listed has a program of its own.
enum ProgramForms {
  typealias Macros = [(name: String, value: Int)]

  /// The forms that are built together with this one, itself among them, a name for them, and its place there; nil where it is alone.
  static func beside(_ file: String, _ macros: Macros) -> (name: String, forms: [Macros], index: Int)? {
    // What a tile table says is the same in all forms of a program.
    let tiles = macros.filter { $0.name == "VECTOR_FLOATS" || $0.name == "SQUARES" }
    let others = macros.filter { macro in !tiles.contains { $0.name == macro.name } }
    for (list, files) in [together, inHalf, gradientsInBF16, bothIn16Bits].enumerated() {
      if let forms = files[file], let index = forms.firstIndex(where: { $0.elementsEqual(others, by: ==) }) {
        let name = "\(file), forms of list \(list)" + tiles.map { ", \($0.name) \($0.value)" }.joined()
        return (name, forms.map { $0 + tiles }, index)
      }
    }
    return nil
  }

  /// What the training and inference plans of the default U-Net take, from 256 × 256 on, on a device of class CPU. Views: 0 plain,
  /// 2 normalised + ReLU, 4 its gradient, 5 depth (prelude.clh).
  private static let together: [String: [Macros]] = [
    "conv2d.cl": [
      convolution(kernel: 1, x0: 0), convolution(kernel: 1, x0: 2), convolution(kernel: 1, x0: 5),
      convolution(kernel: 1, x0: 2, storeDepth: 1), convolution(x0: 2), convolution(x0: 0, x1: 2),
    ]
      + bottlenecks.flatMap {
        [convolution(dilation: $0.dilation, width: $0.width, x0: 0), convolution(dilation: $0.dilation, width: $0.width, x0: 4)]
      },
    "conv2d_weight_gradient.cl": [
      weightGradient(kernel: 1, x0: 2, z: 0), weightGradient(kernel: 1, x0: 5, z: 2), weightGradient(x0: 0, x1: 2, z: 4),
      weightGradient(x0: 2, z: 4),
    ] + bottlenecks.map { weightGradient(dilation: $0.dilation, width: $0.width, x0: 0, z: 4) },
    "conv2d_winograd.cl": [(0, -1), (0, 2), (2, -1), (4, -1)].map { [("X0_MODE", $0.0), ("X1_MODE", $0.1)] },
    "conv2d_winograd_weight_gradient.cl": [
      (x0: 0, x1: -1, z: 0, vectors: 2), (x0: 0, x1: -1, z: 4, vectors: 1), (x0: 0, x1: -1, z: 4, vectors: 2),
      (x0: 0, x1: 2, z: 4, vectors: 1), (x0: 0, x1: 2, z: 4, vectors: 2), (x0: 2, x1: -1, z: 4, vectors: 2),
    ].map {
      [("X0_MODE", $0.x0), ("X1_MODE", $0.x1), ("Z_MODE", $0.z), ("Z_VECTORS", $0.vectors)]
    },
  ]

  /// What training with activations in 16 bits takes beside: 8 is added to a view.
  private static let inHalf: [String: [Macros]] = [
    "conv2d.cl": [
      convolution(kernel: 1, x0: 10), convolution(kernel: 1, x0: 10, storeDepth: 1),
      convolution(kernel: 1, x0: 10, storeDepth: 1, y: .float16), convolution(x0: 0, y: .float16),
      convolution(x0: 10, y: .float16),
    ]
      + bottlenecks.flatMap {
        [convolution(dilation: $0.dilation, width: $0.width, x0: 8), convolution(dilation: $0.dilation, width: $0.width, x0: 12)]
      },
    "conv2d_weight_gradient.cl": [
      weightGradient(kernel: 1, x0: 10, z: 0), weightGradient(kernel: 1, x0: 5, z: 10), weightGradient(x0: 0, z: 12),
      weightGradient(x0: 8, x1: 10, z: 12), weightGradient(x0: 10, z: 12),
    ] + bottlenecks.map { weightGradient(dilation: $0.dilation, width: $0.width, x0: 8, z: 12) },
    "conv2d_winograd.cl": [(8, -1), (8, 10), (10, -1)].flatMap { x0, x1 in
      [Storage.float32, .float16].map { [("X0_MODE", x0), ("X1_MODE", x1)] + storedMacro("Y_STORED", $0) }
    } + [[("X0_MODE", 12), ("X1_MODE", -1)]],
    "conv2d_winograd_weight_gradient.cl": [(8, -1, 1), (8, -1, 2), (8, 10, 1), (8, 10, 2), (10, -1, 2)].map {
      [("X0_MODE", $0.0), ("X1_MODE", $0.1), ("Z_MODE", 12), ("Z_VECTORS", $0.2)]
    },
  ]

  /// What gradients in 16 bits take beside, with activations in 32 bits and in 16: 16 is added to a view.
  private static let gradientsInBF16 = inBF16(activations: 0)
  private static let bothIn16Bits = inBF16(activations: 8)

  /// - Parameter half: what is added to the views of activations.
  private static func inBF16(activations half: Int) -> [String: [Macros]] {
    let (plain, relu, gradient) = (half, 2 + half, 20 + half)
    // Through a depth view; of no activation, so the same for both.
    let upsampling = [
      convolution(kernel: 1, x0: 21), convolution(kernel: 1, x0: 21, y: .bfloat16), convolution(kernel: 1, x0: 0, y: .bfloat16),
    ]
    return [
      "conv2d.cl": (half == 0 ? upsampling : []) + [convolution(x0: gradient, y: .bfloat16)]
        + bottlenecks.map { convolution(dilation: $0.dilation, width: $0.width, x0: gradient) },
      "conv2d_weight_gradient.cl": [
        weightGradient(kernel: 1, x0: 21, z: relu), weightGradient(x0: plain, x1: relu, z: gradient),
        weightGradient(x0: relu, z: gradient),
      ] + (half == 0 ? [] : [weightGradient(x0: 0, z: gradient)])
        + bottlenecks.map { weightGradient(dilation: $0.dilation, width: $0.width, x0: plain, z: gradient) },
      "conv2d_winograd.cl": [Storage.float32, .bfloat16].map {
        [("X0_MODE", gradient), ("X1_MODE", -1)] + storedMacro("Y_STORED", $0)
      },
      "conv2d_winograd_weight_gradient.cl": [
        (plain, -1, 1), (plain, -1, 2), (plain, relu, 1), (plain, relu, 2), (relu, -1, 2),
      ].map {
        [("X0_MODE", $0.0), ("X1_MODE", $0.1), ("Z_MODE", gradient), ("Z_VECTORS", $0.2)]
      },
    ]
  }

  /// Of a bottleneck's convolutions, the widths of tiles for 256, 512 and larger patches. Without dilation 32 columns are
  /// Winograd's.
  private static let bottlenecks = [(1, 16), (1, 64), (2, 16), (2, 32), (2, 64), (4, 16), (4, 32), (4, 64)].map {
    (dilation: $0.0, width: $0.1)
  }

  private static func tile(_ kernel: Int, _ dilation: Int, _ width: Int) -> Macros {
    [("K", kernel), ("DILATION", dilation), ("GATHER", 0), ("TILE_W", width)]
  }

  private static func convolution(
    kernel: Int = 3, dilation: Int = 1, width: Int = 64, x0: Int, x1: Int = -1, storeDepth: Int = 0, y: Storage = .float32
  ) -> Macros {
    tile(kernel, dilation, width) + [("X0_MODE", x0), ("X1_MODE", x1)] + storedMacro("Y_STORED", y)
      + [("STORE_DEPTH", storeDepth)]
  }

  private static func weightGradient(
    kernel: Int = 3, dilation: Int = 1, width: Int = 64, x0: Int, x1: Int = -1, z: Int
  ) -> Macros {
    tile(kernel, dilation, width) + [("X0_MODE", x0), ("X1_MODE", x1), ("Z_MODE", z), ("Z_ROWS", 16 * 64 / width)]
  }

  /// What a form's function is called in their program.
  static func name(_ function: String, form: Int) -> String { "\(function)_form\(form)" }

  /// The text of all forms: `text` once each, with that form's macros, its functions and types under names of their own, and
  /// every macro that it defines forgotten after it.
  ///
  /// Kernel files begin the definition of a function or a type in the first column, and nothing else.
  static func text(_ forms: [Macros], of text: String) -> String {
    let names = definedNames(text)
    return forms.enumerated().map { form, macros in
      let defined = macros.map { "#define \($0.name) \($0.value)\n" }.joined()
      let renamed = names.symbols.map { "#define \($0) \(name($0, form: form))\n" }.joined()
      let forgotten = Set(macros.map(\.name) + names.symbols + names.macros).sorted().map { "#undef \($0)\n" }.joined()
      return defined + renamed + text + "\n" + forgotten
    }.joined()
  }

  /// Functions and types, and macros, that a text defines.
  static func definedNames(_ text: String) -> (symbols: [String], macros: [String]) {
    func isWord(_ c: Character) -> Bool { c == "_" || c.isLetter || c.isNumber }
    var symbols: [String] = []
    var macros: [String] = []
    func add(_ name: Substring?, to names: inout [String]) {
      if let name, !name.isEmpty, !names.contains(String(name)) { names.append(String(name)) }
    }
    for line in text.split(separator: "\n") {
      let trimmed = line.drop { $0 == " " }
      if trimmed.hasPrefix("#define ") {
        add(trimmed.dropFirst("#define ".count).prefix(while: isWord), to: &macros)
      } else if line.hasPrefix("INLINE ") || line.hasPrefix("__kernel ") {
        add(line.prefix { $0 != "(" }.split(whereSeparator: { !isWord($0) }).last, to: &symbols)
      } else if line.hasPrefix("} ") || line.hasPrefix("typedef ") && line.hasSuffix(";") {
        add(line.prefix { $0 != ";" }.split(whereSeparator: { !isWord($0) }).last, to: &symbols)
      }
    }
    return (symbols, macros)
  }
}
