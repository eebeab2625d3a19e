import Datasets
import Engine
import Foundation
import Images
import Testing

@testable import Reports
@testable import Runs

@Suite struct ReportTests {
  /// A run with made-up curves.
  private func record(
    _ name: String, _ settings: [(String, String)], peak: Double, status: RunRecord.Status = .finished
  ) -> RunRecord {
    let epochs = (1...6).map { Double($0) }
    let f1 = epochs.map { peak * (1 - 0.02 * ($0 - 4) * ($0 - 4)) }
    let history = HistoryTable([
      ("epoch", epochs), ("train_loss", epochs.map { 1 / $0 }), ("val_f1", f1), ("val_precision", f1.map { $0 * 0.9 }),
      ("val_recall", f1.map { min(1, $0 * 1.1) }), ("val_dice_mean", f1),
      ("val_changed", [nil] + epochs.dropFirst().map { 0.1 / $0 }),
      ("seconds", epochs.map { _ in 60 }), ("brand_new", epochs),
    ])
    return RunRecord(
      name: name, path: "/none/\(name)", settings: settings.map { .init(name: $0.0, value: $0.1) }, status: status,
      history: status == .waiting ? HistoryTable() : history, device: "a <device> & \"more\"")
  }

  private func sweep() -> [RunRecord] {
    var records: [RunRecord] = []
    for bce in ["0", "0.5", "1"] {
      for weight in ["1", "25"] {
        for seed in ["0", "1"] {
          let peak = 0.3 + 0.2 * (Double(bce) ?? 0) + (weight == "25" ? 0.1 : 0) + (seed == "1" ? 0.02 : 0)
          records.append(
            record(
              "bceW\(bce)_posW\(weight)_seed\(seed)",
              [("patch", "64"), ("bce_weight", bce), ("pos_weight", weight), ("seed", seed)], peak: peak))
        }
      }
    }
    records.append(
      record(
        "hopeless", [("patch", "64"), ("bce_weight", "0"), ("pos_weight", "1"), ("seed", "9")], peak: 0,
        status: .failed("<b>boom</b>")))
    return records
  }

  /// All that a page may not hold: addresses of elsewhere, in any attribute or style.
  private func requireSelfContained(_ page: String) {
    for word in [
      "http:", "https:", "//cdn", "@import", "<link rel=\"stylesheet", "src=\"/", "url(/", "file:", "<iframe", "fetch(",
      "XMLHttp",
    ] {
      #expect(!page.contains(word), "the page contains \(word)")
    }
    for attribute in ["src=\"", "href=\"", "href='", "url("] {
      for part in page.components(separatedBy: attribute).dropFirst() {
        #expect(part.hasPrefix("#") || part.hasPrefix("data:"), "\(attribute)\(part.prefix(40))")
      }
    }
    #expect(page.contains("default-src 'none'"))
  }

  /// An identifier that is there twice makes charts draw each other's points.
  private func requireUniqueIdentifiers(_ page: String) {
    var seen: Set<Substring> = []
    for match in page.matches(of: /\sid=["'](?<id>[^"']+)["']/) {
      #expect(seen.insert(match.id).inserted, "\(match.id) is there twice")
    }
    for match in page.matches(of: /href=["']#(?<id>[^"']+)["']/) { #expect(seen.contains(match.id), "\(match.id) is nowhere") }
  }

  @Test func aPageOfOneRunHasItsCurvesAndSettings() throws {
    let page = try Report([record("first", [("base", "16"), ("patch", "64"), ("epochs", "20"), ("pos_weight", "7")], peak: 0.6)])
      .html()
    requireSelfContained(page)
    requireUniqueIdentifiers(page)
    for word in [
      "Validation scores", "Flip-flop", "Swing of the validation scores", "Loss", "brand_new", "<svg", "0.600", "4 of 6", "6 min",
      "--data",
    ] { #expect(page.contains(word), "\(word)") }
    #expect(page.contains("a &lt;device&gt; &amp; &quot;more&quot;") && !page.contains("a <device>"))
    // 7 is not the default of pos_weight, 20 is that of epochs.
    #expect(page.contains("class=\"changed\"><dt>pos_<wbr>weight") && page.contains("<div><dt>epochs"))
    #expect(!page.contains("<th scope=\"col\"><button"), "one run is no table of runs")
  }

  @Test func aPageOfASweepHasTableAndHeatMaps() throws {
    var report = Report(sweep())
    report.problems = ["x/history.csv: <script>alert(1)</script>"]
    let page = try report.html()
    requireSelfContained(page)
    requireUniqueIdentifiers(page)
    #expect(report.best?.name == "bceW1_posW25_seed1")
    for word in [
      "13 runs", "F1 over bce_weight and pos_weight", "recall over bce_weight and pos_weight", "F1 over pos_weight and seed",
      "class=\"sortable\"", "failed: &lt;b&gt;boom&lt;/b&gt;", "Curves of the best run", "12 of 13",
    ] { #expect(page.contains(word), "\(word)") }
    #expect(!page.contains("<b>boom") && !page.contains("<script>alert"))
    #expect(page.components(separatedBy: "<tr class=\"best\"").count == 2)
  }

  @Test func oneVariedSettingHasItsScoresOverIt() throws {
    let records = ["1.0e-5", "0.001", "0.1"].enumerated().map {
      record("r\($0)", [("learning_rate", $1)], peak: 0.1 * Double($0 + 1))
    }
    let charts = Report(records).charts
    #expect(charts.contains { $0.name == "scores-learning_rate" && $0.script.contains("set logscale x") })
  }

  /// Results of the PyTorch project know few settings: those alone that runs disagree on have heat maps.
  @Test func settingsThatSomeRunsLackAreNotVaried() {
    let ours = [("base", "16"), ("norm", "batch"), ("patch", "64"), ("pos_weight", "7")]
    let runs = [record("old", [("patch", "256"), ("pos_weight", "25")], peak: 0.4), record("new", ours, peak: 0.6)]
    #expect(ResultsTable(runs).varied == ["patch", "pos_weight"])
    #expect(Report(runs).settingCharts.flatMap { $0 }.count == 2)
  }

  @Test func drawsAtRandomArePoints() throws {
    let records = (0..<30).map {
      record("r\($0)", [("learning_rate", "\(1e-5 * pow(1.3, Double($0)))"), ("pos_weight", "\($0)")], peak: 0.5)
    }
    let report = Report(records)
    #expect(report.settingCharts.flatMap { $0 }.allSatisfy { $0.script.contains("points") })
    requireSelfContained(try report.html())
  }

  @Test func runsWithoutAnEpochMakeAPage() throws {
    for records in [[record("none", [("patch", "64")], peak: 0, status: .waiting)], []] {
      let page = try Report(records).html()
      requireSelfContained(page)
    }
    let two = [record("a", [("seed", "1")], peak: 0, status: .waiting), record("b", [("seed", "2")], peak: 0, status: .waiting)]
    requireSelfContained(try Report(two).html())
  }

  @Test func figuresAreFilesThatOpen() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("glomseg-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let report = Report(sweep())
    let files = try report.writeFigures(to: folder)
    #expect(files.contains("scores.svg") && files.contains("best-runs.png") && files.contains("f1-bce_weight-pos_weight.png"))
    #expect(Set(files).count == files.count)
    for file in files {
      let path = folder + "/" + file
      if file.hasSuffix(".png") { #expect(try ImageFile.size(path).width >= 1400) }
      if file.hasSuffix(".svg") {
        let text = try String(contentsOfFile: path, encoding: .utf8)
        #expect(text.hasPrefix("<?xml") && text.contains("</svg>"))
      }
    }
    let rows = CSV.rows(try String(contentsOfFile: folder + "/results.csv", encoding: .utf8))
    #expect(rows.count == 14 && rows[0].prefix(5) == ["run", "status", "bce_weight", "pos_weight", "seed"])
  }

  @Test func textIsNeverACommandOfGnuplot() {
    #expect(Gnuplot.quoted("it's\n`rm`") == "'it''s `rm`'")
    #expect(HTML.escape("<a href='x'>&\"") == "&lt;a href=&#39;x&#39;&gt;&amp;&quot;")
  }

  // MARK: - Thresholds and patches

  @Test func theCurveIsThatOfTheCounts() throws {
    var curve = ThresholdCurve()
    // Probabilities 0.9, 0.7, 0.3 of the foreground and 0.8, 0.2 of the background.
    func logit(_ p: Float) -> Float { log(p / (1 - p)) }
    curve.add(logits: [0.9005, 0.7005, 0.3005, 0.8005, 0.2005].map(logit), masks: [1, 1, 1, 0, 0])
    let half = try #require(curve.at(0.5))
    #expect(half.recall == 2.0 / 3 && half.precision == 2.0 / 3)
    let best = try #require(curve.best)
    #expect(best.recall == 1 && best.precision == 0.75 && best.threshold > 0.2 && best.threshold <= 0.3)
    #expect(abs(best.f1 - 6.0 / 7) < 1e-12)
    #expect(curve.points.first?.precision == 0.6)
    #expect(zip(curve.points, curve.points.dropFirst()).allSatisfy { $0.threshold < $1.threshold && $0.recall >= $1.recall })
    #expect(ThresholdCurve().best == nil && ThresholdCurve().chart == nil)
  }

  @Test(arguments: [(0, 0), (1, 1), (2, 2), (3, 3), (4, 3), (9, 9), (12, 12), (40, 12)])
  func ranksNeverRepeat(_ count: Int, _ expected: Int) {
    let ranks = ModelFindings.ranks(count)
    #expect(ranks.count == expected && Set(ranks.map(\.1)).count == expected)
    if count > 1 { #expect(ranks.first?.1 == 0 && ranks.last?.1 == count - 1) }
  }

  // MARK: - The PyTorch project's results

  private func legacy(_ json: String, name: String = "ps256_po0_ep20_bs16_lr0p0001_bceW0p8_ds1e-06_posW25") throws -> RunRecord {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("glomseg-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let file = folder.appendingPathComponent(name + ".json")
    try Data(json.utf8).write(to: file)
    let collection = try RunCollection([folder.path])
    #expect(collection.problems.isEmpty)
    return try #require(collection.records.first)
  }

  @Test func resultsOfThePyTorchProjectAreRuns() throws {
    let lists = try legacy(
      """
      {"config": {"patch_size": 256, "batch_size": 16, "lr": 0.0001, "bce_weight": 0.8, "pos_weight": 25.0, "augment": true, "device": "cuda"},
       "history": {"train_loss": [0.9, 0.7, NaN], "val_loss": [1, 0.8, 0.9], "val_f1": [0.1, 0.4, 0.3], "val_recall": [0.9, 0.8, 0.7],
                   "val_precision": [0.05, 0.27, 0.2], "val_dice": [0.1, 0.2, 0.3], "flip_flop": [null, 0.1, 0.05], "mystery": [1, 2, 3]}}
      """)
    #expect(lists.name == "ps256_po0_ep20_bs16_lr0p0001_bceW0p8_ds1e-06_posW25" && lists.status == .finished)
    #expect(
      lists.setting("learning_rate") == "0.0001" && lists.setting("pos_weight") == "25" && lists.setting("augment") == "true")
    #expect(lists.setting("dice_smooth") == "1e-06" && lists.setting("epochs") == "20", "from the name")
    #expect(
      lists.history.count == 3 && lists.best("val_f1") == 0.4 && lists.best("epoch") == 2 && lists.best("val_recall") == 0.8)
    #expect(
      lists.history["train_loss"] == [0.9, 0.7, nil] && lists.history["val_changed"] == [nil, 0.1, 0.05]
        && lists.history.has("mystery"))

    let epochs = try legacy(
      """
      {"config": {"Loss": {"bceWeight": 0.5, "smooth": 1e-5}, "numEpochs": 2},
       "history": [{"epoch": 1, "train": {"loss": 0.9}, "val": {"f1_score": 0.2, "recall": 0.5}}, {"epoch": 2, "train": {"loss": 0.5}, "val": {"f1_score": 0.3, "recall": 0.4}}]}
      """, name: "other")
    #expect(epochs.setting("bce_weight") == "0.5" && epochs.setting("dice_smooth") == "1e-05" && epochs.setting("epochs") == "2")
    #expect(
      epochs.history["train_loss"] == [0.9, 0.5] && epochs.best("val_f1") == 0.3 && epochs.history["val_recall"] == [0.5, 0.4])
    let page = try Report([lists, epochs]).html()
    requireSelfContained(page)
    #expect(page.contains("2 runs") && page.contains("F1 over"))
  }

  /// A result that is too short for a curve, and a chart that gnuplot refuses, leave the others as they are.
  @Test func oneChartDoesNotTakeTheOthersWithIt() throws {
    let short = try legacy(
      "{\"config\": {\"lr\": 0.001}, \"history\": {\"train_loss\": [1, 2], \"val_f1\": [0.1]}}", name: "short")
    let page = try Report([short]).html()
    #expect(page.contains("<svg") && !page.contains("There are no charts"))
    let charts = [
      Chart("right", title: "Right", script: "plot [0:1] x"), Chart("wrong", title: "Wrong", script: "plot nonsense("),
    ]
    let inline = try Chart.inline(charts)
    #expect(inline.elements.keys.sorted() == ["right"] && inline.problems.count == 1 && inline.problems[0].contains("'Wrong'"))
    #expect(throws: Gnuplot.Problem.self) { try Chart.inline([charts[1]]) }
  }

  @Test(arguments: ["{\"config\": {}, \"history\": {}}", "{\"config\": {}, \"history\": [1]}", "{\"config\": {}, \"history\""])
  func damagedResultsAreNamed(_ json: String) throws {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("glomseg-\(UUID().uuidString).json")
    try Data(json.utf8).write(to: file)
    defer { try? FileManager.default.removeItem(at: file) }
    #expect { try RunCollection([file.path]) } throws: { "\($0)".hasPrefix(file.path) }
    #expect { try RunCollection(["/no/such"]) } throws: { "\($0)".hasPrefix("/no/such") }
  }

  // MARK: - TensorBoard

  @Test func recordsCarryTheirChecksums() {
    // RFC 3720, B.4: 32 bytes of zeros, of ones, rising.
    #expect(EventFile.crc32c([UInt8](repeating: 0, count: 32)) == 0x8a91_36aa)
    #expect(EventFile.crc32c([UInt8](repeating: 0xff, count: 32)) == 0x62a8_ab43)
    #expect(EventFile.crc32c(Array(0..<32)) == 0x46dd_794e)
    #expect(EventFile.framed([1, 2, 3]).count == 8 + 4 + 3 + 4)
  }

  /// A Python that has the package tensorboard: of GLOMSEG_PYTHON, else the one on the path.
  private static let python: String? = {
    let wanted = ProcessInfo.processInfo.environment["GLOMSEG_PYTHON"]
    let found = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map { "\($0)/python3" }
    return ([wanted].compactMap { $0 } + found).first { program in
      guard FileManager.default.isExecutableFile(atPath: program) else { return false }
      let process = Process()
      process.executableURL = URL(fileURLWithPath: program)
      process.arguments = ["-c", "import tensorboard"]
      process.standardError = FileHandle.nullDevice
      guard (try? process.run()) != nil else { return false }
      process.waitUntilExit()
      return process.terminationStatus == 0
    }
  }()

  @Test(.enabled(if: python != nil, "no Python with the package tensorboard"))
  func tensorboardReadsEventFiles() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("glomseg-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let file = try EventFile.write(record("run", [], peak: 0.6), below: folder)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: try #require(Self.python))
    process.arguments = [
      "-c",
      """
      import sys
      from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
      events = EventAccumulator(sys.argv[1]); events.Reload()
      for tag in sorted(events.Tags()["scalars"]):
          print(tag, *(f"{e.step}:{e.value:.4f}" for e in events.Scalars(tag)))
      """, file,
    ]
    let out = Pipe()
    process.standardOutput = out
    process.standardError = FileHandle.nullDevice
    try process.run()
    let text = String(decoding: out.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    #expect(text.contains("epoch/train_loss 1:1.0000 2:0.5000 3:0.3333"), "\(text)")
    #expect(text.contains("epoch/val_changed 2:0.0500") && text.contains("epoch/val_f1 1:"), "\(text)")
  }
}

/// From a trained run to its page.
@Suite(.serialized) struct ReportOfARunTests {
  @Test func aTrainedRunHasCurveAndPatches() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("glomseg-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try Synthesis.write(
      to: folder + "/data", options: .init(patchSize: 32, trainCount: 4, validationCount: 4, testCount: 0, seed: 3))
    let data = try PatchDataset.scan(root: folder + "/data").verified()
    let directory = RunDirectory(folder + "/runs/first")
    try directory.create()
    let configuration = try RunConfiguration(RunOptions.parse("patch: 32\nbase: 2\nepochs: 2\nlearning_rate: 0.001", path: "t"))
    _ = try TrainingRun(configuration, data: data, directory: directory, backend: CPUBackend(), resuming: false)
      .run(shouldStop: { false }, report: { _ in })

    let collection = try RunCollection([folder + "/runs", folder + "/runs/first"])
    let record = try #require(collection.records.first)
    #expect(collection.records.count == 1 && record.status == .finished && record.device?.isEmpty == false)
    let session = try InferenceSession(Checkpoint.open(directory.best).model, on: CPUBackend()) { state throws(EngineError) in
      try Checkpoint.load(directory.best, into: state)
    }
    let pairs = data.pairs(in: .validation)
    let findings = try ModelFindings.of(session, pairs: pairs, patch: 32, batch: 3)
    // The same counts as those of the evaluation, wherever no probability is 0.5 to the last digit.
    let pooled = try Evaluation.run(session, pairs: pairs, patch: 32, batch: 2, threshold: 0.5).pooled
    if let half = findings.curve.at(0.5) { #expect(abs(half.f1 - pooled.f1) < 0.02 && abs(half.recall - pooled.recall) < 0.02) }
    #expect(findings.patchCount == 4 && !findings.patches.isEmpty)

    var report = Report([record])
    report.findings = findings
    report.data = DatasetInspection(data)
    try FileManager.default.createDirectory(atPath: directory.path + "/slides", withIntermediateDirectories: true)
    try ImageFile.writePNG(
      PixelBuffer(width: 40, height: 30, channels: 3, filledWith: 200), to: directory.path + "/slides/s_overview.png")
    report.slides = try Report.Slide.find(in: directory.path)
    #expect(report.slides.map(\.name) == ["s"])
    let page = try report.html()
    for word in ["data:image/jpeg;base64,", "Precision and recall", "Worst", "NEP25", "Slides", "Groups at epoch"] {
      #expect(page.contains(word), "\(word)")
    }
    #expect(!page.contains("http:") && !page.contains("https:"))
  }
}
