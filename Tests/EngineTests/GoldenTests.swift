import Engine
import Foundation
import OpSuite
import Testing

/// Every golden file on every device.
@Suite(.serialized) struct GoldenTests {
  static let paths: [String] = GoldenCase.folder().flatMap { try? GoldenCase.files(at: $0) } ?? []

  @Test(.enabled(if: !paths.isEmpty, "no ../shared/golden beside the package: no golden files to run"))
  func everyFileOnEveryDevice() throws {
    let runner = GoldenRunner()
    for backend in try Devices.all() {
      for path in Self.paths {
        let golden = try GoldenCase(path: path)
        let result = runner.run(golden, on: backend)
        #expect(result.passed, "\(result)")
        #expect(result.comparisons.count == golden.expectedNames.count)
        if let worst = result.worst { print("golden \(golden) on \(backend.name): \(worst)") }
      }
    }
  }

  /// Those of a folder's folders count, too; another kind of file does not.
  @Test func filesAreFoundInFoldersOfFolders() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("golden-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    try FileManager.default.createDirectory(at: folder.appendingPathComponent("more/deep"), withIntermediateDirectories: true)
    let names = ["a.safetensors", "more/deep/b.safetensors", "more/notes.txt"]
    for name in names { try Data().write(to: folder.appendingPathComponent(name)) }
    #expect(try GoldenCase.files(at: folder.path) == names.dropLast().map { folder.appendingPathComponent($0).path })
    #expect(throws: GoldenError.self) { try GoldenCase.files(at: folder.path + "/more/notes") }
  }

  @Test func strideIsHandled() throws {
    // Computed by the Double reference: no golden file has a stride.
    let x = Tensor64(random: [2, 3, 9, 12], seed: 1).rounded
    let weight = Tensor64(random: [4, 3, 3, 3], seed: 2).rounded
    let y = Reference.conv2d(x, weight: weight, bias: nil, stride: 2, padding: 1)
    let gradY = Tensor64(random: y.shape, seed: 3).rounded
    let golden = GoldenCase(
      name: "strided", operation: "conv2d", tolerance: 1e-6, numbers: ["stride": 2, "padding": 1, "dilation": 1],
      tensors: [
        "x": x, "weight": weight, "grad_y": gradY, "y": y,
        "grad_x": Reference.conv2dGradientInput(
          gradY: gradY, weight: weight, inputShape: x.shape, stride: 2, padding: 1),
        "grad_weight": Reference.conv2dGradientWeight(
          gradY: gradY, x: x, weightShape: weight.shape, stride: 2, padding: 1),
      ])
    let result = GoldenRunner().run(golden, on: CPUBackend())
    #expect(result.passed, "\(result)")
  }

  @Test func whatTheEngineLacksFails() {
    let golden = GoldenCase(name: "other", operation: "layer_norm", tolerance: 1e-6, numbers: [:], tensors: [:])
    let result = GoldenRunner().run(golden, on: CPUBackend())
    #expect(!result.passed)
    #expect(result.problems.contains { $0.contains("layer_norm") })
  }
}

extension Tensor64 {
  /// The nearest values that fp32 holds.
  fileprivate var rounded: Tensor64 { Tensor64(shape, floats) }
}
