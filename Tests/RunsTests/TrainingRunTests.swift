import Datasets
import Engine
import Foundation
import Testing

@testable import Runs

/// Whole runs on a tiny synthetic set, on every backend.
@Suite(.serialized) struct TrainingRunTests {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent("glomseg-\(UUID().uuidString)").path

  func dataset() throws -> PatchDataset {
    let path = folder + "/data"
    try Synthesis.write(
      to: path, options: .init(patchSize: 48, trainCount: 7, validationCount: 2, testCount: 1, seed: 3))
    return try PatchDataset.scan(root: path).verified()
  }

  func configuration(epochs: Int, _ more: String = "") throws -> RunConfiguration {
    try RunConfiguration(
      RunOptions.parse(
        more
          + "\npatch: 32\nbase: 4\nbatch: 2\nepochs: \(epochs)\nlearning_rate: 0.001\nflips: true\nturns: true\ncontrast: 0.2\nseed: 5",
        path: "test.yaml"))
  }

  private func bytes(_ path: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path)) }

  /// What a container leaves is for the plan first, then for decoded patches.
  @Test func decodedPatchesTakeHalfOfWhatThePlanLeaves() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let run = try TrainingRun(
      configuration(epochs: 1), data: dataset(), directory: RunDirectory(folder + "/run"), backend: CPUBackend(), resuming: false)
    let planned = run.session.plan.report.peakBytes
    #expect(run.cacheBytes(free: nil) == 1 << 30)
    #expect(run.cacheBytes(free: planned + 4 << 30) == 1 << 30)
    #expect(run.cacheBytes(free: planned + 1000) == 500)
    #expect(run.cacheBytes(free: planned / 2) == 0)
  }

  @Test(arguments: [
    "", "average: 0.9\nrecalibrate: 2\nclip_norm: 0.5\nbalance: both\non_nonfinite: skip",
    "activations: fp16\ngradients: bf16",
    """
    schedule: cosine
    warmup_epochs: 1
    weight_decay: 0.01
    balance: group
    warp_probability: 0.5
    rotation: 30
    scaling: 0.2
    elastic: 0.02
    stain_probability: 0.5
    stain: 0.1
    blur_probability: 0.5
    blur: 1
    noise_probability: 0.5
    noise: 0.05
    """,
  ])
  func resumingGivesTheBytesOfAnUninterruptedRun(_ more: String) throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    func configuration(epochs: Int) throws -> RunConfiguration { try self.configuration(epochs: epochs, more) }
    let data = try dataset()
    for (index, backend) in try DeviceSelection.all().enumerated() {
      let whole = RunDirectory(folder + "/whole\(index)")
      try whole.create()
      let straight = try TrainingRun(
        configuration(epochs: 3), data: data, directory: whole, backend: backend, resuming: false)
      #expect(try straight.run(shouldStop: { false }, report: { _ in }) == .finished)

      // Stopped in the middle of the second epoch, then after its end, each time by a new run over the same folder.
      let parts = RunDirectory(folder + "/parts\(index)")
      try parts.create()
      for (stopAfter, expected) in [(6, TrainingRun.Outcome.interrupted(epoch: 2)), (2, .interrupted(epoch: 2))] {
        var steps = 0
        let run = try TrainingRun(
          configuration(epochs: 3), data: data, directory: parts, backend: backend, resuming: parts.holdsRun)
        let outcome = try run.run(shouldStop: { steps >= stopAfter }) { event in
          if case .step = event { steps += 1 }
        }
        #expect(outcome == expected)
      }
      let last = try TrainingRun(
        configuration(epochs: 3), data: data, directory: parts, backend: backend, resuming: true)
      #expect(try last.run(shouldStop: { false }, report: { _ in }) == .finished)

      #expect(last.history.records.count == 3)
      #expect(try bytes(whole.groupHistory) == bytes(parts.groupHistory))
      let lines = try String(contentsOfFile: whole.groupHistory, encoding: .utf8).split(separator: "\n")
      #expect(lines.count == 1 + 3 * 2, "three epochs of the two validation patches' groups")
      #expect(last.history.records.map(\.changed) == straight.history.records.map(\.changed))
      #expect(last.history.records.map { $0.changed != nil } == [false, true, true])
      // Swings of the parts' epochs span the stops.
      let swings = try [whole, parts].map { HistoryTable(csv: try String(contentsOfFile: $0.history, encoding: .utf8)) }
      for (swing, score) in [
        ("val_f1_swing", "val_f1"), ("val_precision_swing", "val_precision"), ("val_recall_swing", "val_recall"),
      ] {
        let scores = swings[0][score].compactMap { $0 }
        #expect(scores.count == 3 && swings[0][swing] == [nil, abs(scores[1] - scores[0]), abs(scores[2] - scores[1])])
        #expect(swings[0][swing] == swings[1][swing])
      }
      #expect(last.history.records.map(\.trainLoss) == straight.history.records.map(\.trainLoss), "\(backend.name)")
      for (a, b) in [(whole.last, parts.last), (whole.best, parts.best), (whole.resume, parts.resume)] {
        #expect(try bytes(a) == bytes(b), "\(backend.name): \(a) and \(b) differ")
      }
    }
  }

  /// Stopped between two batches of a validation: what is resumed validates first, and ends with the same bytes.
  @Test(arguments: ["", "average: 0.9\nrecalibrate: 2", "recalibrate: 2"])
  func aRunThatIsStoppedWhileItValidatesLosesNothing(_ more: String) throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let data = try dataset()
    let configuration = try configuration(epochs: 2, "micro_batch: 1\n" + more)
    func train(_ name: String, resuming: Bool = false, stopsAt: Int = .max) throws -> (TrainingRun.Outcome, RunDirectory) {
      let directory = RunDirectory(folder + "/" + name)
      try directory.create()
      let run = try TrainingRun(configuration, data: data, directory: directory, backend: CPUBackend(), resuming: resuming)
      var validated = 0
      return (
        try run.run(shouldStop: { validated >= stopsAt }) { if case .validating = $0 { validated += 1 } }, directory
      )
    }
    let (_, whole) = try train("whole")
    #expect(try train("parts", stopsAt: 1).0 == .interrupted(epoch: 1))
    // Two batches an epoch: the rest of the first, and one of the second.
    #expect(try train("parts", resuming: true, stopsAt: 3).0 == .interrupted(epoch: 2))
    let (outcome, parts) = try train("parts", resuming: true)
    #expect(outcome == .finished)
    for (a, b) in [(whole.last, parts.last), (whole.best, parts.best), (whole.resume, parts.resume)] {
      #expect(try bytes(a) == bytes(b), "\(a) and \(b) differ")
    }
  }

  /// Tuned between the parts of a run, or between its device's: the run keeps the tiles that it began with.
  @Test func resumingKeepsTheTilesThatTheRunBeganWith() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let data = try dataset()
    let device = try #require(OpenCLDevice.all().first, "no OpenCL device was found")
    func train(_ name: String, epochs: Int, on backend: OpenCLBackend, resuming: Bool = false) throws -> TrainingRun {
      let directory = RunDirectory(folder + "/" + name)
      try directory.create()
      let run = try TrainingRun(
        configuration(epochs: epochs), data: data, directory: directory, backend: backend, resuming: resuming)
      #expect(try run.run(shouldStop: { false }, report: { _ in }) == .finished)
      return run
    }
    // Slices of the weight gradient, whose sums are added in another order.
    let plain = try OpenCLBackend(device, edit: nil)
    let own = plain.traits.tiles
    var other = own
    other[.gradientSlices] = 2
    other[.winogradPercent] = 0
    let tuned = try OpenCLBackend(device, edit: nil, tiles: other)
    let whole = try train("whole", epochs: 2, on: plain)
    #expect(whole.tilesNote == nil)
    _ = try train("parts", epochs: 1, on: plain)
    let parts = try train("parts", epochs: 2, on: tuned, resuming: true)
    #expect(parts.tilesNote?.contains(own.fingerprint) == true)
    #expect(try bytes(whole.directory.last) == bytes(parts.directory.last))
    let log = try String(contentsOfFile: parts.directory.log, encoding: .utf8).split(separator: "\n")
    #expect(log.count > 4 && log.allSatisfy { $0.contains("\"tiles\": \"\(own.fingerprint)\"") })
    // A new run on the same backend has the device's own again, and other bytes.
    let again = try train("again", epochs: 2, on: tuned)
    #expect(tuned.traits.tiles == other)
    #expect(try bytes(whole.directory.last) != bytes(again.directory.last))
    // Another class has no such tiles.
    let forced = try train("parts", epochs: 3, on: OpenCLBackend(device, as: .gpu), resuming: true)
    #expect(forced.tilesNote?.contains("not to the same bytes") == true)
  }

  /// Seven patches in batches of three are parts of 2, 1, 2, 1 and 1, within less memory than they would take.
  @Test func resumingIsExactWithMicroBatchesAndALimit() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let data = try dataset()
    func configuration(_ limit: String) throws -> RunConfiguration {
      try RunConfiguration(
        RunOptions.parse("batch: 3\nmicro_batch: 2\nmemory_limit: \(limit)\n", path: "test.yaml")
          .over(self.configuration(epochs: 2).options))
    }
    let whole = RunDirectory(folder + "/whole")
    try whole.create()
    let straight = try TrainingRun(
      configuration("auto"), data: data, directory: whole, backend: CPUBackend(), resuming: false)
    #expect(try straight.run(shouldStop: { false }, report: { _ in }) == .finished)
    #expect(straight.session.stepsTaken == 6)

    let report = straight.session.plan.report
    let limit = "\(report.peakBytes - report.arenaBytes / 10)B"
    let parts = RunDirectory(folder + "/parts")
    try parts.create()
    var steps = 0
    let first = try TrainingRun(
      configuration(limit), data: data, directory: parts, backend: CPUBackend(), resuming: false)
    #expect(first.session.plan.report.flopsRecomputed > 0)
    let outcome = try first.run(shouldStop: { steps >= 4 }) { event in if case .step = event { steps += 1 } }
    #expect(outcome == .interrupted(epoch: 2))
    // How much memory there is changes nothing, so a run can go on with another limit.
    let last = try TrainingRun(
      configuration("auto"), data: data, directory: parts, backend: CPUBackend(), resuming: true)
    #expect(try last.run(shouldStop: { false }, report: { _ in }) == .finished)
    for (a, b) in [(whole.last, parts.last), (whole.resume, parts.resume)] {
      #expect(try bytes(a) == bytes(b), "\(a) and \(b) differ")
    }
  }

  @Test func aRunGoesOnOnlyOverTheSamePatchesInTheSameOrder() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let data = try dataset()
    let directory = RunDirectory(folder + "/run")
    try directory.create()
    _ = try TrainingRun(configuration(epochs: 1), data: data, directory: directory, backend: CPUBackend(), resuming: false)
      .run(shouldStop: { false }, report: { _ in })
    for change in ["batch: 3", "micro_batch: 1", "seed: 6", "base: 8", "patch: 48", "activations: fp16", "gradients: bf16"] {
      let changed = try RunConfiguration(RunOptions.parse(change, path: "c").over(configuration(epochs: 2).options))
      let name = change.prefix { $0 != ":" }
      #expect {
        try TrainingRun(changed, data: data, directory: directory, backend: CPUBackend(), resuming: true)
      } throws: { error in
        "\(error)".hasPrefix("\(name): ")
      }
    }
    try FileManager.default.moveItem(atPath: folder + "/data/train/DN/s01", toPath: folder + "/data/train/DN/s99")
    let other = try PatchDataset.scan(root: folder + "/data").verified()
    #expect {
      try TrainingRun(configuration(epochs: 2), data: other, directory: directory, backend: CPUBackend(), resuming: true)
    } throws: { error in
      "\(error)".contains("other training patches")
    }
  }

  @Test(.enabled(if: (try? Gnuplot.run("")) != nil, "no gnuplot"))
  func aRunOfOneEpochHasCurves() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let directory = RunDirectory(folder + "/run")
    try directory.create()
    let run = try TrainingRun(
      configuration(epochs: 1), data: dataset(), directory: directory, backend: CPUBackend(), resuming: false)
    #expect(try run.run(shouldStop: { false }, report: { _ in }) == .finished)
    #expect(Curves.draw(directory, hasValidation: true) == nil)
  }

  @Test func trainingStopsWhereNothingGetsBetter() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let directory = RunDirectory(folder + "/run")
    try directory.create()
    // At this rate nothing is learnt, and the first epoch stays the best.
    let run = try TrainingRun(
      RunConfiguration(
        RunOptions.parse("early_stop: 2\nlearning_rate: 1.0e-30", path: "c").over(configuration(epochs: 9).options)),
      data: dataset(), directory: directory, backend: CPUBackend(), resuming: false)
    var best = 0
    let outcome = try run.run(shouldStop: { false }) { event in
      if case .epoch(let record, let isBest) = event, isBest { best = record.epoch }
    }
    #expect(outcome == .stoppedEarly(epoch: best + 2))
    #expect(run.history.records.count == best + 2)
    // Resumed, it is as it was: no epoch is added each time.
    let again = try TrainingRun(
      run.configuration, data: dataset(), directory: directory, backend: CPUBackend(), resuming: true)
    #expect(try again.run(shouldStop: { false }, report: { _ in Issue.record("there is nothing left to do") }) == outcome)
    #expect(again.history.records.map(\.trainLoss) == run.history.records.map(\.trainLoss))
  }

  /// Patches of 48 pixels: a scale of 2/3 is a side of 32, to the same bytes as that side, which the run's settings keep.
  @Test func anInputScaleIsTheSideThatComesOfIt() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let data = try dataset()
    var models: [Data] = []
    for setting in ["patch: 32", "input_scale: 0.66"] {
      let directory = RunDirectory(folder + "/" + setting.prefix(5))
      try directory.create()
      let options = try RunOptions.parse("\(setting)\nbatch: 2\nepochs: 1\nbase: 4", path: "c")
      let run = try TrainingRun(
        RunConfiguration(options), data: data, directory: directory, backend: CPUBackend(), resuming: false)
      #expect(run.configuration.patch == 32 && run.session.shape.height == 32)
      var steps = 0
      #expect(try run.run(shouldStop: { steps == 2 }, report: { if case .step = $0 { steps += 1 } }) == .interrupted(epoch: 1))
      let saved = try RunConfiguration(
        RunOptions.parse(RunDirectory.read(directory.configuration), path: directory.configuration))
      #expect(saved.patch == 32 && saved.isSized && saved.inputScale == run.configuration.inputScale)
      let rest = try TrainingRun(saved, data: data, directory: directory, backend: CPUBackend(), resuming: true)
      #expect(try rest.run(shouldStop: { false }, report: { _ in }) == .finished)
      models.append(
        Data(try rest.session.state.read(.parameters).map(\.bitPattern).flatMap { withUnsafeBytes(of: $0, Array.init) }))
    }
    #expect(models[0] == models[1])
  }

  @Test func runsUseTheGroupsAndTheShareThatWereAskedFor() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let data = try dataset()
    let directory = RunDirectory(folder + "/run")
    try directory.create()
    let group = try #require(data.pairs(in: .train).first?.group)
    let count = data.pairs(in: .train).filter { $0.group == group }.count
    let run = try TrainingRun(
      configuration(epochs: 1, "train_groups: [\(group)]\nsubset: 0.5"), data: data, directory: directory,
      backend: CPUBackend(), resuming: false)
    #expect(run.trainingCount == max(1, Int((Double(count) / 2).rounded())))
    #expect {
      try TrainingRun(
        configuration(epochs: 1, "train_groups: [nowhere]"), data: data, directory: directory, backend: CPUBackend(),
        resuming: false)
    } throws: { error in
      "\(error)".contains("nowhere") && "\(error)".contains(group)
    }
  }

  /// Killed between two saves, a run's log is ahead of its resume file, and its last line may be cut.
  @Test func eachStepHasOneLine() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let data = try dataset()
    let directory = RunDirectory(folder + "/run")
    try directory.create()
    try Data("{\"step\": 1, \"of\": \"an older run\"}\n".utf8).write(to: URL(fileURLWithPath: directory.log))
    func train(_ epochs: Int, resuming: Bool) throws {
      _ = try TrainingRun(
        configuration(epochs: epochs), data: data, directory: directory, backend: CPUBackend(), resuming: resuming
      ).run(shouldStop: { false }, report: { _ in })
    }
    func steps() throws -> [Int] {
      try String(contentsOfFile: directory.log, encoding: .utf8).split(separator: "\n").map { line in
        let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
        #expect(
          Set(["step", "epoch", "loss", "bce", "dice", "gradient_norm", "learning_rate", "seconds", "device"])
            == Set((object ?? [:]).keys))
        return try #require(object?["step"] as? Int)
      }
    }
    try train(1, resuming: false)
    #expect(try steps() == [1, 2, 3, 4])
    let handle = try #require(FileHandle(forWritingAtPath: directory.log))
    handle.seekToEndOfFile()
    try handle.write(contentsOf: Data("{\"step\": 5}\n{\"step\": 6, \"epo".utf8))
    try handle.close()
    try train(2, resuming: true)
    #expect(try steps() == Array(1...8))
  }

  @Test func evaluationSchemaAndPooling() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let data = try dataset()
    let directory = RunDirectory(folder + "/run")
    try directory.create()
    let run = try TrainingRun(
      configuration(epochs: 1), data: data, directory: directory, backend: CPUBackend(), resuming: false)
    _ = try run.run(shouldStop: { false }, report: { _ in })
    let file = try RunDirectory.modelFile(directory.path)
    #expect(file == directory.best)
    let (model, metadata) = try Checkpoint.open(file)
    #expect(metadata["patch"] == "32")
    let session = try InferenceSession(model, on: CPUBackend()) { state throws(EngineError) in
      try Checkpoint.load(file, into: state)
    }
    let evaluation = try Evaluation.run(session, pairs: data.pairs, patch: 32, batch: 3, threshold: 0.5)
    #expect(evaluation.patches == 10)
    #expect(evaluation.groups.values.reduce(0) { $0 + $1.patches } == 10)
    let validation = try Evaluation.run(
      session, pairs: data.pairs(in: .validation), patch: 32, batch: 1, threshold: 0.5)
    let recorded = try #require(run.history.records.last?.validation)
    #expect(abs(validation.pooled.f1 - recorded.f1) < 1e-9)
    let json = try JSONEncoder().encode(evaluation)
    let object = try #require(try JSONSerialization.jsonObject(with: json) as? [String: Any])
    #expect(Set(["pooled", "dice_mean", "patches", "groups", "splits", "cases", "threshold"]).isSubset(of: object.keys))
  }

  @Test func aModelOfAnotherWidthIsRefused() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let data = try dataset()
    let directory = RunDirectory(folder + "/run")
    try directory.create()
    let run = try TrainingRun(
      configuration(epochs: 1), data: data, directory: directory, backend: CPUBackend(), resuming: false)
    _ = try run.run(shouldStop: { false }, report: { _ in })
    #expect {
      try InferenceSession(VariableUNet(base: 6), on: CPUBackend()) { state throws(EngineError) in
        try Checkpoint.load(directory.last, into: state)
      }
    } throws: { error in
      "\(error)".contains("enc1.double_conv.0.weight")
    }
  }
}
