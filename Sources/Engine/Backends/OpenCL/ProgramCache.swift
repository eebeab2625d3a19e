internal import CLBridge
internal import Kernels
import Randomness

/// Builds programs from the embedded kernels, each (file, macros) once, or takes them as an earlier process built them.
package final class ProgramCache {
  private let context: OpenCLContext
  private let device: cl_device_id
  private let call: OpenCLCall
  /// Changes a file's text before it is built, for tests that plant faults.
  private let edit: SourceEdit?
  /// Where built programs are kept between processes.
  private let store: KernelStore?
  /// Whether forms of a file make one program: where the driver compiles only those kernels that are launched.
  private let joinsForms: Bool
  /// Whether kernels are to be compared and not to be fast: on a CPU by PoCL, those for GPUs and those with a planted fault. To optimise
  /// them is most of the time that they take there.
  private let comparesOnly: Bool
  /// What a program's binary depends on beside its text.
  private let identity: String
  private var programs: [String: OpenCLProgram] = [:]
  /// Whether the driver took a program with instructions of sm_90a by way of `HopperText` alone.
  private var needsHopperText = false
  /// Kernel files that make one program where no macros tell their launches apart.
  private static let shared = [
    "adam.cl", "bce_dice.cl", "channel_sum.cl", "conv2d_pack.cl", "conv2d_reduce.cl", "conv2d_winograd_pack.cl",
    "conv2d_winograd_reduce.cl", "moving_average.cl", "sum_of_squares.cl",
  ]
  /// Without warnings: PoCL prints how many there are of vectors wider than the processor's.
  static let options = "-cl-std=CL1.2 -cl-kernel-arg-info -w"
  /// What kernels for Intel's matrix units are built with beside: twice the registers, for half as many sub-groups at a time. Their
  /// sums and fragments would otherwise be spilled.
  static let manyRegisters = " -cl-intel-256-GRF-per-thread"

  private func options(_ macros: String) -> String {
    let words = macros.split(separator: " ")
    if words.contains("-DMATRIX=\(MatrixUnits.intel.rawValue)") { return Self.options + Self.manyRegisters }
    return comparesOnly ? Self.options + " -cl-opt-disable" : Self.options
  }

  package typealias SourceEdit = @Sendable (_ file: String, _ text: String) -> String

  init(
    _ context: OpenCLContext, device: OpenCLDevice, kernelsFor deviceClass: DeviceClass, edit: SourceEdit?, store: KernelStore?,
    _ call: OpenCLCall
  ) {
    self.edit = edit
    self.context = context
    self.device = device.raw
    self.store = store
    joinsForms = edit == nil && device.isPoCL
    comparesOnly = device.isPoCL && (edit != nil || (device.deviceClass == .cpu && deviceClass != .cpu))
    identity =
      [
        device.platformName, device.platformVersion, device.vendor, device.name, device.deviceVersion, device.driverVersion,
        Self.options,
      ].joined(separator: "\n") + "\n"
    self.call = call
  }

  /// Names of the embedded kernel files, headers included.
  package static var files: [String] { (0..<kernels_count()).compactMap { kernels_name($0).map { String(cString: $0) } } }

  package static func source(_ file: String) -> String? { kernels_source(file).map { String(cString: $0) } }

  /// Changes with the text of any kernel.
  static let kernelsDigest: String = {
    var hash = StableHash([])
    for file in files { hash.combine("\(file)\n\(source(file) ?? "")".utf8) }
    return String(hash.value, radix: 16)
  }()

  /// What a launch's program is made of.
  private struct Recipe {
    /// What an error names.
    let file: String
    /// What an error names, and what options follow from.
    let macros: String
    /// Key of the compiled program in `programs`.
    let key: String
    /// The launch's kernel there.
    let function: String
    let sources: () throws(EngineError) -> [String]
  }

  private func recipe(_ launch: Launch) -> Recipe {
    let macros = macros(launch.defines)
    if joinsForms, let (name, forms, index) = ProgramForms.beside(launch.file, launch.defines) {
      return Recipe(file: launch.file, macros: macros, key: name, function: ProgramForms.name(launch.function, form: index)) {
        () throws(EngineError) in
        [try self.prelude(), ProgramForms.text(forms, of: try self.text([launch.file]).joined())]
      }
    }
    // One program of all that need no macros of their own.
    let isShared = Self.shared.contains(launch.file) && launch.defines.allSatisfy { ["LANES", "WIDTH"].contains($0.name) }
    return Recipe(
      file: launch.file, macros: macros, key: (isShared ? "shared" : launch.file) + " " + macros, function: launch.function
    ) { () throws(EngineError) in
      [launch.defines.map { "#define \($0.name) \($0.value)\n" }.joined(), try self.prelude()]
        + (try self.text(isShared ? Self.shared : [launch.file]))
    }
  }

  /// A kernel object of its own for each launch, so that arguments are set once.
  func kernel(_ launch: Launch) throws(EngineError) -> OpenCLKernel {
    let recipe = recipe(launch)
    return try OpenCLKernel(try program(recipe), function: recipe.function, call)
  }

  /// Takes the programs that an earlier process built.
  ///
  /// - Returns: a launch of each program that is left to build; none where built programs are not kept.
  func takeKept(_ launches: [Launch]) throws(EngineError) -> [Launch] {
    guard store != nil else { return [] }
    var left: [String: Launch] = [:]
    for launch in launches {
      let recipe = recipe(launch)
      guard programs[recipe.key] == nil, left[recipe.key] == nil else { continue }
      if let kept = kept(name(try recipe.sources()), options(recipe.macros)) {
        programs[recipe.key] = kept
      } else {
        left[recipe.key] = launch
      }
    }
    return left.sorted { $0.key < $1.key }.map(\.value)
  }

  /// Builds a launch's program and keeps it, for another process.
  ///
  /// It is then taken as that process will take it: NVIDIA's driver gives a text, and caches what its assembler makes of that.
  func keep(_ launch: Launch) throws(EngineError) {
    let recipe = recipe(launch)
    _ = try program(recipe)
    _ = kept(name(try recipe.sources()), options(recipe.macros))
  }

  /// What a launch is of, compiled anew as a program of its own.
  ///
  /// - Parameter options: beside those of every program.
  func fresh(_ launch: Launch, options: String) throws(EngineError) -> OpenCLProgram {
    let macros = macros(launch.defines)
    let sources = [launch.defines.map { "#define \($0.name) \($0.value)\n" }.joined(), try prelude()] + (try text([launch.file]))
    return try built(sources, "\(self.options(macros)) \(options)", file: launch.file, macros: macros)
  }

  private func built(_ sources: [String], _ options: String, file: String, macros: String) throws(EngineError) -> OpenCLProgram {
    let words = macros.split(separator: " ")
    let isForHopper = words.contains("-DWARPGROUP=1") && words.contains("-DMATRIX=\(MatrixUnits.nvidia.rawValue)")
    if isForHopper, needsHopperText { return try builtAsHopperText(sources, options, file: file, macros: macros) }
    let program = try OpenCLProgram(context, sources: sources, call)
    do throws(EngineError) {
      try program.build(for: device, options, file: file, macros: macros, call)
      return program
    } catch {
      guard isForHopper,
        let other = try? builtAsHopperText(sources, options, file: file, macros: macros)
      else { throw error }
      needsHopperText = true
      return other
    }
  }

  /// By way of the driver's own PTX, with instructions that it does not take from OpenCL C.
  private func builtAsHopperText(
    _ sources: [String], _ options: String, file: String, macros: String
  ) throws(EngineError) -> OpenCLProgram {
    let text = try OpenCLProgram(context, sources: [HopperText.macro] + sources, call)
    try text.build(for: device, options, file: file, macros: macros, call)
    guard let ptx = HopperText.retargeted(try text.binary(call)) else {
      throw .build(
        file: file, options: "\(options) \(macros)", device: call.device, log: "what the driver makes of it is no PTX for sm_90")
    }
    let program = try OpenCLProgram(context, device: device, binary: ptx, call)
    try program.build(for: device, options, file: file, macros: macros, call)
    return program
  }

  private func macros(_ defines: ProgramForms.Macros) -> String {
    defines.map { "-D\($0.name)=\($0.value)" }.joined(separator: " ")
  }

  private func program(_ recipe: Recipe) throws(EngineError) -> OpenCLProgram {
    if let known = programs[recipe.key] { return known }
    let sources = try recipe.sources()
    let name = name(sources)
    let options = options(recipe.macros)
    if let kept = kept(name, options) {
      programs[recipe.key] = kept
      return kept
    }
    let program = try built(sources, options, file: recipe.file, macros: recipe.macros)
    if let store, let binary = try? program.binary(call), !binary.isEmpty { store.keep(binary, for: name) }
    programs[recipe.key] = program
    return program
  }

  /// What a built program is kept under.
  private func name(_ sources: [String]) -> [UInt8] { Array((identity + sources.joined()).utf8) }

  /// A program that an earlier process built; nil where there is none, or the driver does not take it.
  private func kept(_ name: [UInt8], _ options: String) -> OpenCLProgram? {
    guard let binary = store?.binary(for: name) else { return nil }
    guard let program = try? OpenCLProgram(context, device: device, binary: binary, call) else { return nil }
    do throws(EngineError) { try program.build(for: device, options, file: "a kept program", call) } catch { return nil }
    return program
  }

  /// An embedded file, as `edit` leaves it.
  private func file(_ name: String, for reader: String) throws(EngineError) -> String {
    guard let text = Self.source(name) else { throw .request("\(reader) needs the kernel file \(name), which is not embedded") }
    return edit?(name, text) ?? text
  }

  private func prelude() throws(EngineError) -> String {
    "#line 1 \"prelude.clh\"\n" + (try file("prelude.clh", for: "every program")) + "\n"
  }

  /// Files with their includes put in place, each once, and line directives so that messages name the file.
  private func text(_ files: [String]) throws(EngineError) -> [String] {
    var included: Set<String> = []
    var sources: [String] = []
    for name in files { sources.append(try text(name, for: "a launch", &included)) }
    return sources
  }

  private func text(_ name: String, for reader: String, _ included: inout Set<String>) throws(EngineError) -> String {
    var text = "#line 1 \"\(name)\"\n"
    var hasIncluded = false
    for (index, line) in try file(name, for: reader).split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let next = "#line \(index + 2) \"\(name)\"\n"
      guard line.hasPrefix("#include \"") else {
        text += line + "\n"
        // Where a condition skipped what was included, it skipped the directive behind it too.
        if hasIncluded, line == "#endif" { text += next }
        continue
      }
      let header = String(line.dropFirst("#include \"".count).prefix { $0 != "\"" })
      if included.insert(header).inserted { text += try self.text(header, for: name, &included) }
      text += "\n" + next
      hasIncluded = true
    }
    return text
  }
}
