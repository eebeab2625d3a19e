import Datasets
import Engine
import Foundation
import Testing

@testable import Runs

@Suite struct SweepPlanTests {
  private func plan(_ text: String, data: String? = "d") throws -> SweepPlan { try SweepPlan(text, path: "s.yaml", data: data) }

  @Test func namesCarryTheHyperParameters() throws {
    var options = RunOptions()
    (options.batch, options.epochs, options.learning_rate) = (16, 20, 1e-4)
    #expect(try RunName.of(RunConfiguration(options)) == "ps256_po0_ep20_bs16_lr0p0001_bceW0p8_ds1e-06_posW25")
    (options.flips, options.seed, options.subset, options.learning_rate, options.device) = (true, 3, 0.5, 1e-5, "cpu")
    #expect(
      try RunName.of(RunConfiguration(options), overlap: "50")
        == "ps256_po50_ep20_bs16_lr1e-05_bceW0p8_ds1e-06_posW25_flips_subset0p5_seed3")
    let read = RunName.settings("ps256_po0_ep20_bs16_lr0p0001_bceW0p8_ds1e-06_posW25")
    #expect(read["dice_smooth"] == "1e-06" && read["bce_weight"] == "0.8" && read["pos_weight"] == "25" && read["patch"] == "256")
    #expect(RunName.settings("an_other_run").isEmpty)
    options.start_from = "/somewhere/" + String(repeating: "deep/", count: 60) + "model.safetensors"
    let long = try RunName.of(RunConfiguration(options))
    #expect(long.utf8.count <= 200 && !long.contains("/"))
  }

  @Test func aGridIsEveryCombination() throws {
    let plan = try plan("base: {epochs: 3}\ngrid:\n  bce_weight: [0, 0.5, 1]\n  pos_weight: [1, 25]\n")
    #expect(plan.jobs.count == 6 && Set(plan.jobs.map(\.name)).count == 6)
    #expect(plan.varied == ["bce_weight", "pos_weight"])
    #expect(plan.jobs.allSatisfy { $0.configuration.epochs == 3 })
    #expect(Set(plan.jobs.map(\.configuration.bceWeight)) == [0, 0.5, 1])
  }

  @Test func drawsDependOnTheirSeedAlone() throws {
    func draw(_ seed: Int) throws -> [String] {
      try plan(
        "random:\n  learning_rate: {min: 1.0e-5, max: 1.0e-3, log: true}\n  batch: [1, 4]\n  base: {min: 4, max: 64, step: 4}\ncount: 40\nseed: \(seed)"
      ).jobs.map { job in
        #expect((1e-5...1e-3).contains(job.configuration.learningRate) && [1, 4].contains(job.configuration.batch))
        #expect(job.configuration.base % 4 == 0)
        return job.name
      }
    }
    #expect(try draw(1) == draw(1))
    #expect(try draw(1) != draw(2))
    #expect(try draw(1).count >= 39)
    let both = try plan("grid:\n  seed: [0, 1]\nrandom:\n  pos_weight: {min: 1, max: 25}\ncount: 3")
    #expect(both.jobs.count == 6)
  }

  /// Every whole number, and every step, is as likely as another, the ends too.
  @Test func drawsOfStepsAreEven() throws {
    for (range, count) in [("{min: 1, max: 4}", 4), ("{min: 2, max: 8, step: 2}", 4)] {
      let plan = try plan(
        "grid: {bottleneck: [split]}\nrandom:\n  batch: \(range)\n  seed: {min: 0, max: 100000000}\ncount: 2000\nseed: 3")
      let drawn = Dictionary(grouping: plan.jobs, by: \.configuration.batch).mapValues(\.count)
      #expect(drawn.count == count && drawn.values.allSatisfy { abs($0 - 500) < 100 }, "\(drawn)")
    }
  }

  /// Values that a folder's name cannot tell apart are runs of their own; what changes no result is not.
  @Test func namesThatMeetAreToldApart() throws {
    let plan = try plan("grid:\n  start_from: [m/a_b.safetensors, m/a-b.safetensors, m/a/b.safetensors]\n  threads: [1, 2]")
    #expect(Set(plan.jobs.map(\.configuration.startFrom)).count == 3)
    #expect(plan.jobs.count == 3 && Set(plan.jobs.map(\.name)).count == 3)
  }

  /// The side that a scale makes of the patches is not known yet: the scale names the run, beside runs of a fixed side.
  @Test func aSweepVariesTheInputScale() throws {
    let plan = try plan("base: {patch: 128, base: 4}\ngrid:\n  input_scale: [0, 0.25, 0.5]\n")
    let rest = "po0_ep20_bs1_lr0p0001_bceW0p8_ds1e-06_posW25"
    #expect(
      plan.jobs.map(\.name) == ["ps256_\(rest)_base4", "\(rest)_input-scale0p25_base4", "\(rest)_input-scale0p5_base4"])
    #expect(plan.jobs.map(\.configuration.isSized) == [true, false, false])
  }

  @Test func dataSetsFollowTheOverlap() throws {
    let plan = try plan("data: p-{overlap}-{patch}\ngrid:\n  overlap: [0, 50]\n  patch: [64, 128]\n", data: nil)
    #expect(Set(plan.jobs.map(\.data)) == ["p-0-64", "p-0-128", "p-50-64", "p-50-128"])
    #expect(plan.jobs[3].name.hasPrefix("ps128_po50_"))
  }

  @Test(arguments: [
    ("grid: {bce_weight: [2]}", "bce_weight"), ("grid: {nonsense: [1]}", "nonsense"), ("gird: {}", "gird"),
    ("grid: {bce_weight: 1}", "bce_weight"), ("base: {epochs: 2}", "nothing is varied"),
    ("random: {pos_weight: {min: 1}}\ncount: 2", "min: a, max: b"), ("random: {pos_weight: [1]}", "count"),
    ("grid: {pos_weight: [1]}\nrandom: {pos_weight: [1]}\ncount: 1", "it can be in one"), ("- 1", "name: value"),
    ("random: {learning_rate: {min: 0, max: 1, log: true}}\ncount: 1", "above 0"),
    ("data: 'p{what}'\ngrid: {seed: [1]}", "braces"),
  ])
  func whatMakesNoSenseIsNamed(_ text: String, _ words: String) throws {
    #expect {
      try plan(text, data: text.hasPrefix("data") ? nil : "d")
    } throws: { error in
      "\(error)".contains(words)
    }
  }

  @Test func shardsShareTheRuns() {
    let all = Array(0..<10)
    let parts = (1...3).map { Shard(number: $0, count: 3).of(all) }
    #expect(parts.flatMap { $0 }.sorted() == all && parts.allSatisfy { $0.count >= 3 })
    #expect(Shard("2/3") == Shard(number: 2, count: 3))
    for text in ["0/3", "4/3", "1", "a/b", "1/0"] { #expect(Shard(text) == nil) }
  }

  /// The shipped examples, counted as their comments say.
  @Test(arguments: [("sweep-coarse", 144), ("sweep-fine", 30), ("sweep-random", 48), ("sweep-patches", 12)])
  func examplesAreSweeps(_ name: String, _ count: Int) throws {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../..").standardizedFileURL
      .path
    let text = try String(contentsOfFile: root + "/configs/\(name).yaml", encoding: .utf8)
    let plan = try SweepPlan(text, path: name, data: name == "sweep-patches" ? nil : "d")
    #expect(plan.jobs.count == count)
  }

  @Test func tablesReadWhatTheyWrite() {
    let rows = [["a", "b, c", "say \"so\""], ["", "1", "x\ny"]]
    #expect(CSV.rows(rows.map { CSV.line($0) + "\n" }.joined()) == rows)
    let history = HistoryTable(csv: "epoch,train_loss,val_f1,later\n1,0.5,,7\n2,0.25,0.75\n")
    #expect(history.count == 2 && history.names == ["epoch", "train_loss", "val_f1", "later"])
    #expect(history["val_f1"] == [nil, 0.75] && history["later"] == [7, nil] && history["none"] == [nil, nil])
    #expect(!history.has("none") && history.has("later"))
  }
}

/// Sweeps on a tiny synthetic set on the CPU path.
@Suite(.serialized) struct SweepTests {
  private let folder = FileManager.default.temporaryDirectory.appendingPathComponent("glomseg-\(UUID().uuidString)").path

  private func dataset(_ path: String) throws -> PatchDataset {
    try Synthesis.write(to: path, options: .init(patchSize: 32, trainCount: 3, validationCount: 2, testCount: 0, seed: 3))
    return try PatchDataset.scan(root: path).verified()
  }

  private func plan() throws -> SweepPlan {
    try SweepPlan(
      "data: d\nbase: {patch: 32, base: 2, epochs: 2, learning_rate: 0.001}\ngrid: {pos_weight: [1, 5, 25], batch: [1, 3], seed: [0, 1]}\n",
      path: "s")
  }

  private func sweep(
    _ sweep: Sweep, _ data: PatchDataset, failing: String? = nil, stopAfter: Int = .max
  ) throws -> (tally: Sweep.Tally, outcomes: [Sweep.Outcome]) {
    var outcomes: [Sweep.Outcome] = []
    var steps = 0
    let tally = try sweep.run(
      dataset: { _ in
        if let failing { throw RunError.request(failing) }
        return data
      },
      backend: { _ in CPUBackend() }, shouldStop: { steps >= stopAfter }
    ) { event in
      switch event {
      case .training(_, .step): steps += 1
      case .done(_, let outcome): outcomes.append(outcome)
      default: break
      }
    }
    return (tally, outcomes)
  }

  @Test func aSweepGoesOnWhereItStopped() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let data = try dataset(folder + "/data")
    let whole = Sweep(try plan(), folder: folder + "/whole")
    #expect(try sweep(whole, data).tally.finished == 12)

    let parts = Sweep(try plan(), folder: folder + "/parts")
    // In the second run; the first has six steps of one patch.
    let stopped = try sweep(parts, data, stopAfter: 7)
    #expect(stopped.tally.wasStopped && stopped.outcomes.last == .interrupted)
    #expect(try parts.table().records.map(\.status.word).contains("unfinished"))
    let rest = try sweep(parts, data)
    #expect(rest.tally.finished == 12 && rest.outcomes.first == .wasFinished)
    for job in parts.jobs {
      let files = [whole, parts].map { $0.directory(job).best }
      #expect(try Data(contentsOf: URL(fileURLWithPath: files[0])) == Data(contentsOf: URL(fileURLWithPath: files[1])))
    }

    let rows = CSV.rows(try String(contentsOfFile: whole.results, encoding: .utf8))
    #expect(rows.count == 13)
    // All but the seconds.
    let others = CSV.rows(try String(contentsOfFile: parts.results, encoding: .utf8))
    let seconds = try #require(rows[0].firstIndex(of: "seconds"))
    func timeless(_ rows: [[String]]) -> [[String]] {
      rows.map { $0.enumerated().filter { $0.offset != seconds }.map(\.element) }
    }
    #expect(timeless(rows) == timeless(others))
    #expect(rows[0].prefix(7) == ["run", "status", "pos_weight", "batch", "seed", "epochs_done", "best_epoch"])
    let best = try #require(rows[0].firstIndex(of: "best_val_f1"))
    for row in rows.dropFirst() { #expect(row[1] == "finished" && row[5] == "2" && Double(row[best]) != nil, "\(row)") }
  }

  @Test func aFailedRunDoesNotStopTheOthers() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let data = try dataset(folder + "/data")
    let job = Sweep(try plan(), folder: folder + "/sweep")
    let all = try sweep(job, data, failing: "no, \"never\"")
    #expect(all.tally.failed.count == 12 && all.tally.finished == 0)
    let rows = CSV.rows(try String(contentsOfFile: job.results, encoding: .utf8))
    #expect(rows.dropFirst().allSatisfy { $0[1] == "failed" && $0.last == "no, \"never\"" && $0[2] != "" })
    #expect(try sweep(job, data).tally.finished == 12)
    #expect(try job.table().records.allSatisfy { $0.status == .finished })
  }

  @Test func shardsShareAFolder() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let data = try dataset(folder + "/data")
    for number in 1...2 {
      let part = Sweep(try plan(), folder: folder + "/sweep", shard: Shard(number: number, count: 2))
      #expect(try sweep(part, data).tally.finished == 6)
      #expect(part.results.hasSuffix("results-\(number)-of-2.csv"))
      #expect(CSV.rows(try String(contentsOfFile: part.results, encoding: .utf8)).count == 7)
    }
    #expect(try Sweep(plan(), folder: folder + "/sweep").table().records.allSatisfy { $0.status == .finished })
  }
}
