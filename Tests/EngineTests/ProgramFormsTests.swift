import Foundation
import OpSuite
import Testing

@testable import Engine

/// Forms of a file in one program: that a start needs few, and that each is what it would be alone.
@Suite struct ProgramFormsTests {
  /// The launches that training and inference of a model need, with every storage.
  private func launches(_ base: Int, _ side: Int, vectorFloats: Int) throws -> [Launch] {
    let model = VariableUNet(base: base)
    var device = Coverage.imaginaryDevice(KernelChoice(.cpu))
    device.vectorFloats = vectorFloats
    let training = try TrainingGraph(model, batch: 2, height: side, width: side).graph
    let graphs =
      [try InferenceGraph(model, batch: 2, height: side, width: side).graph]
      + ActivationStorage.allCases.flatMap { activations in
        GradientStorage.allCases.map { training.storing(activations, $0, for: device) }
      }
    return graphs.flatMap { graph in graph.nodes.flatMap { $0.operation.launches(graph.io($0), device) } }
  }

  /// A form that no list has costs each start of PoCL 17 ms. Small files share a program: they count as one.
  @Test(arguments: [(16, 256), (16, 512), (16, 1024), (32, 256), (64, 256), (64, 512), (64, 2048)], [8, 16])
  func theModelsFormsAreListed(_ size: (base: Int, side: Int), _ vectorFloats: Int) throws {
    let needed = try launches(size.base, size.side, vectorFloats: vectorFloats).filter {
      $0.file.hasPrefix("conv2d") && !$0.file.contains("pack")
    }
    let alone = needed.filter { !$0.defines.isEmpty && ProgramForms.beside($0.file, $0.defines) == nil }
    let names = Set(alone.map { launch in launch.file + launch.defines.map { " \($0.name)=\($0.value)" }.joined() })
    #expect(names.isEmpty, "\(names.sorted().joined(separator: "\n")) not listed")
    #expect(needed.contains { ProgramForms.beside($0.file, $0.defines) != nil })
  }

  /// A program is known by its list's name: another list's forms under it would run in their place.
  @Test func aNameIsOfOneList() throws {
    var texts: [String: String] = [:]
    for launch in try [8, 16].flatMap({ try launches(64, 256, vectorFloats: $0) }) {
      guard let (name, forms, index) = ProgramForms.beside(launch.file, launch.defines) else { continue }
      let text = ProgramForms.text(forms, of: "")
      #expect(texts.updateValue(text, forKey: name) ?? text == text, "\(name)")
      #expect(forms[index].elementsEqual(launch.defines, by: ==))
    }
    #expect(texts.count > 16)
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
