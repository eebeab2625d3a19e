import Engine
import OpSuite
import Testing

/// The whole network against PyTorch in float64, three training steps, on every backend.
@Suite(.serialized) struct NetworkGoldenTests {
  @Test func matchesPyTorch() throws {
    guard let folder = GoldenCase.folder() else {
      print("the golden cases are not here (../shared/golden): the network is not compared with PyTorch's")
      return
    }
    let golden = try GoldenCase(path: folder + "/variable_unet_3_steps.safetensors")
    for backend in try DeviceSelection.all() {
      let comparisons = try GoldenNetwork.run(golden, on: backend)
      #expect(comparisons.count > 200)
      for comparison in comparisons {
        #expect(comparison.passed, "\(backend.name): \(comparison.description)")
      }
      let worst = comparisons.max { $0.error / $0.bound < $1.error / $1.bound }
      print("\(backend.name): \(comparisons.count) tensors, worst \(worst?.description ?? "none")")
    }
  }
}
