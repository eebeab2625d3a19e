import Engine
import Foundation
import Testing

@testable import Runs

/// Losses and gradients that are no numbers.
extension TrainingRunTests {
  /// A rate that throws the parameters out of range: every batch after the first is left out, until there were too many.
  @Test func batchesThatAreNotFiniteAreLeftOutWhereAsked() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let data = try dataset()
    for backend in try DeviceSelection.all() {
      for (word, expected) in [("stop", 0), ("skip", 10)] {
        let directory = RunDirectory(folder + "/\(word)\(backend.name.hashValue)")
        try directory.create()
        let options = try RunOptions.parse("on_nonfinite: \(word)\nlearning_rate: 1.0e38", path: "c")
        let run = try TrainingRun(
          RunConfiguration(options.over(configuration(epochs: 9).options)), data: data, directory: directory, backend: backend,
          resuming: false)
        var skipped = 0
        #expect(throws: EngineError.self) {
          try run.run(shouldStop: { false }) { event in
            if case .skipped(let reason, _, _, _) = event {
              #expect(reason.contains("not finite") && !reason.contains("step"))
              skipped += 1
            }
          }
        }
        #expect(skipped == expected, "\(backend.name)")
      }
    }
  }

  /// A batch that is left out is no step, so that it is named by its place in the epoch; also in parts, and in a run that goes on.
  @Test(arguments: [2, 1])
  func aBatchThatIsLeftOutIsNamedByItsPlace(_ microBatch: Int) throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let data = try dataset()
    let options = try RunOptions.parse("on_nonfinite: skip\nlearning_rate: 1.0e38\nmicro_batch: \(microBatch)", path: "c")
    let configuration = try RunConfiguration(options.over(configuration(epochs: 9).options))
    let directory = RunDirectory(folder + "/run")
    try directory.create()
    let first = try TrainingRun(configuration, data: data, directory: directory, backend: CPUBackend(), resuming: false)
    #expect(try first.run(shouldStop: { true }, report: { _ in }) == .interrupted(epoch: 1))
    let second = try TrainingRun(configuration, data: data, directory: directory, backend: CPUBackend(), resuming: true)
    var places: [String] = []
    #expect(throws: EngineError.self) {
      try second.run(shouldStop: { false }) { event in
        // All of the second epoch is left out: it has no loss, and its model is not the best.
        if case .epoch(let record, let isBest) = event, record.epoch == 2 { #expect(record.trainLoss == nil && !isBest) }
        if case .skipped(_, let epoch, let batch, let batches) = event { places.append("\(epoch): \(batch)/\(batches)") }
      }
    }
    // Seven patches by twos.
    #expect(
      places == ["1: 2/4", "1: 3/4", "1: 4/4", "2: 1/4", "2: 2/4", "2: 3/4", "2: 4/4", "3: 1/4", "3: 2/4", "3: 3/4"])
    let third = try TrainingRun(configuration, data: data, directory: directory, backend: CPUBackend(), resuming: true)
    #expect(third.history.records.map { $0.trainLoss == nil } == [false, true], "and reads so again")
  }

  /// A NaN that a ReLU swallows on the way to the loss still shows in a gradient.
  @Test func whatIsNotFiniteStopsTheStepAndKeepsTheParameters() throws {
    let session = try TrainingSession(VariableUNet(base: 4), batch: 1, height: 16, width: 16, on: CPUBackend())
    let before = try session.state.read(.parameters)
    var images = [Float](repeating: 0.5, count: 3 * 256)
    images[7] = .nan
    #expect {
      try session.step(images: images, target: [Float](repeating: 0, count: 256), count: 1, learningRate: 1e-3)
    } throws: { error in
      "\(error)".contains("is not finite at step 1")
    }
    #expect(try session.state.read(.parameters) == before)
  }
}
