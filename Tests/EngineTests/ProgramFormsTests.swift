import Foundation
import OpSuite
import Testing

@testable import Engine

/// Forms of a file in one program: that a start needs few, and that each is what it would be alone.
@Suite struct ProgramFormsTests {
  /// The programs that a plan's launches need where forms are joined.
  private func programs(_ graph: Graph) -> Set<String> {
    let device = Coverage.imaginaryDevice(KernelChoice(.cpu))
    return Set(
      graph.nodes.flatMap { $0.operation.launches(graph.io($0), device) }.map { launch in
        let joined = ProgramForms.beside(launch.file, launch.defines) != nil
        return launch.file + (joined ? "" : launch.defines.map { " \($0.name)=\($0.value)" }.joined())
      })
  }

  /// A form that no list has costs each start of PoCL 17 ms. Small files share a program: they count as one.
  @Test(arguments: [(16, 256), (16, 512), (16, 1024), (32, 256), (64, 256), (64, 512), (64, 2048)])
  func theModelsFormsAreListed(_ base: Int, _ side: Int) throws {
    let model = VariableUNet(base: base)
    let training = try TrainingGraph(model, batch: 2, height: side, width: side).graph
    let inference = try InferenceGraph(model, batch: 2, height: side, width: side).graph
    let device = Coverage.imaginaryDevice(KernelChoice(.cpu))
    let stored = [(ActivationStorage.fp16, GradientStorage.fp32), (.fp32, .bf16), (.fp16, .bf16)].map {
      training.storing($0.0, $0.1, for: device)
    }
    for program in ([training, inference] + stored).reduce(into: Set(), { $0.formUnion(programs($1)) })
    where program.hasPrefix("conv2d") && !program.contains("pack") {
      #expect(
        !program.contains(" ") || program.hasPrefix("conv2d_reduce") || program.hasPrefix("conv2d_winograd_reduce"),
        "\(program) is not listed")
    }
  }

  @Test func namesAreThoseThatAreDefined() {
    let text = """
      #ifndef K
      #define K 3
      #endif
        #define TAP(b) top[b] = b;
      typedef struct {
        float mean;
      } channel;
      typedef uint4 fragment;
      INLINE float twice(float x) { return 2.0f * x; }
      INLINE void store(float v) {
        int inside = 0;
      }
      __kernel void tile(__global float *restrict y) {
      }
      """
    let (symbols, macros) = ProgramForms.definedNames(text)
    #expect(symbols == ["channel", "fragment", "twice", "store", "tile"])
    #expect(macros == ["K", "TAP"])
  }

  /// Every function of an embedded file is found, or two forms would define it twice.
  @Test(arguments: ["conv2d.cl", "conv2d_weight_gradient.cl", "conv2d_winograd.cl", "conv2d_winograd_weight_gradient.cl"])
  func twoFormsShareNoName(_ file: String) throws {
    let body = try #require(ProgramCache.source(file))
    let names = ProgramForms.definedNames(body)
    let text = ProgramForms.text([[("K", 1)], [("K", 3)]], of: body)
    #expect(!names.symbols.isEmpty)
    for symbol in names.symbols {
      for form in 0...1 { #expect(text.contains("#define \(symbol) \(ProgramForms.name(symbol, form: form))\n")) }
      #expect(text.components(separatedBy: "#undef \(symbol)\n").count == 3)
    }
    for line in body.split(separator: "\n") where line.hasSuffix("{") && line.contains("(") && line.first?.isLetter == true {
      #expect(names.symbols.contains { line.contains($0 + "(") }, "\(line)")
    }
  }
}
