import Foundation
import Testing

@testable import App

/// A report's sections: what ends badly is recorded, the rest goes on, and the files are whole after each.
@Suite struct NodeReportTests {
  private func withFolder(_ body: (_ folder: String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("report-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(folder)
  }

  private func shell(_ name: String, _ script: String, least: Double = 0, most: Double = 20) -> ReportSection {
    ReportSection(name: name, title: "Section \(name)", commands: [["/bin/sh", "-c", script]], least: least, most: most)
  }

  private func lines(_ folder: String) throws -> [[String: Any]] {
    let text = try String(contentsOfFile: folder + "/report.jsonl", encoding: .utf8)
    #expect(text.hasSuffix("\n"))
    return try text.split(separator: "\n").map { line in
      try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
    }
  }

  @Test func everySectionIsOnDiskOnceItEnded() throws {
    try withFolder { folder in
      var runner = ReportRunner(files: try ReportFiles(folder: folder, heading: "A test."), seconds: 60)
      runner.shouldStop = { false }
      var seen: [String] = []
      runner.report = { record in
        seen.append(record.name)
        let names = (try? lines(folder))?.compactMap { $0["section"] as? String }
        #expect(names == seen)
        let page = (try? String(contentsOfFile: folder + "/report.md", encoding: .utf8)) ?? ""
        #expect(page.contains("| \(record.name) | \(record.outcome.rawValue) |"))
        #expect(page.components(separatedBy: "```").count % 2 == 1, "every block is closed")
      }
      var training = shell("training", "trap 'echo saved; exit 0' TERM; while :; do sleep 0.05; done", most: 0.4)
      training.endsAtLimit = true
      training.afterwards = { "history" }
      var never = shell("never", "echo no")
      never.reasonToSkip = { $0.contains { $0.outcome == .failed } ? "something failed" : nil }
      let noProgram = ReportSection(name: "none", title: "", commands: [["no-such-program-as-this"]], most: 1)
      let broken = ReportSection(name: "broken", title: "", commands: [["/no/such/program"]], most: 1)
      try runner.run([
        shell("good", "echo words; echo '{\"a\": 1}'; echo '```' >&2"), shell("bad", "echo 'glomseg: it is bad' >&2; exit 3"),
        shell("crash", "kill -SEGV $$"), shell("endless", "echo begun; sleep 60", most: 0.4), training, never, noProgram, broken,
        shell("late", "echo no", least: 1000),
      ])
      let outcomes = runner.records.map { "\($0.name) \($0.outcome.rawValue)" }
      #expect(
        outcomes == [
          "good done", "bad failed", "crash failed", "endless cut", "training done", "never skipped", "none skipped",
          "broken failed", "late skipped",
        ])
      let record = Dictionary(uniqueKeysWithValues: runner.records.map { ($0.name, $0) })
      #expect(record["good"]?.results.first?["a"] as? Int == 1 && record["good"]?.text == "```\nwords")
      #expect(record["bad"]?.reason == "it is bad; it ended with status 3")
      #expect(record["crash"]?.reason.contains("signal 11") == true)
      #expect(record["endless"]?.text == "begun" && (record["endless"]?.seconds ?? 99) < 10)
      #expect(record["training"]?.text.hasSuffix("saved\nhistory") == true)
      #expect(record["never"]?.reason == "something failed")
      let left = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
      #expect(left == ["report.jsonl", "report.md"])
    }
  }

  @Test func nothingBeginsAfterTheBudget() throws {
    try withFolder { folder in
      var runner = ReportRunner(files: try ReportFiles(folder: folder, heading: ""), seconds: 0.5)
      runner.shouldStop = { false }
      try runner.run([shell("long", "sleep 60"), shell("next", "echo no", least: 0.1)])
      #expect(runner.records.map(\.outcome) == [.cut, .skipped])
      #expect(try lines(folder).count == 2)
    }
  }

  @Test func anInterruptEndsTheSectionAndSkipsTheRest() throws {
    try withFolder { folder in
      var runner = ReportRunner(files: try ReportFiles(folder: folder, heading: ""), seconds: 60)
      let start = Date()
      runner.shouldStop = { Date().timeIntervalSince(start) > 0.3 }
      try runner.run([shell("long", "sleep 60"), shell("next", "echo no")])
      #expect(runner.records.map(\.outcome) == [.cut, .skipped])
    }
  }

  @Test func stepsStandBesideEachOther() {
    var ours = SectionRecord(name: "step-256", title: "", outcome: .done)
    let size: [String: Any] = ["patch": 256, "base": 16, "batch": 16]
    ours.results = [size.merging(["device": "d", "seconds_median": 0.5, "peak_bytes_planned": 1 << 20, "launches": 12, "seconds_enqueue": 0.0025, "error": 2e-7]) { $1 }]
    var theirs = SectionRecord(name: "torch-256", title: "", outcome: .done)
    let torch: [String: Any] = ["framework": "pytorch", "version": "2", "precision": "tf32", "memory_format": "channels_last"]
    theirs.results = [size.merging(torch) { $1 }.merging(["compile": true, "seconds_median": 1.0]) { $1 }]
    let rows = ReportSummary.steps([ours, theirs])
    #expect(rows.map { $0[3] } == ["2.0e-07", ""])
    #expect(rows.map { $0[4] } == ["", "2.00"])
    #expect(rows.map { $0[6] } == ["12 in 2.500 ms", ""])
    #expect(rows[1][0] == "PyTorch 2, tf32, channels_last, compiled")
  }

  /// PyTorch's TF32 stands beside ours, not beside fp32; the first step of a precision is the device's own kernels'.
  @Test func precisionsAreComparedWithTheirLike() {
    let size: [String: Any] = ["patch": 256, "base": 16, "batch": 16]
    func record(_ name: String, _ more: [String: Any]) -> SectionRecord {
      var record = SectionRecord(name: name, title: "", outcome: .done)
      record.results = [size.merging(more) { $1 }]
      return record
    }
    let rows = ReportSummary.steps([
      record("step-256", ["arithmetic": "fp32", "precision": "fp32", "seconds_median": 0.5]),
      record("step-256-tf32", ["arithmetic": "tf32", "precision": "tf32", "seconds_median": 0.25]),
      record("step-256-without-units", ["arithmetic": "fp32", "precision": "fp32", "seconds_median": 0.8]),
      record("torch-256", ["framework": "pytorch", "precision": "tf32", "seconds_median": 1.0]),
      record("torch-256", ["framework": "pytorch", "precision": "fp32", "seconds_median": 1.0]),
    ])
    #expect(rows.map { $0[4] } == ["", "", "", "4.00", "2.00"])
  }

  @Test func onePrecisionIsEnoughWithoutMatrixUnits() {
    var devices = SectionRecord(name: "devices", title: "", outcome: .done)
    devices.results = [
      ["devices": [["selector": "opencl:0:0", "matrix_units": false, "matrix_reason": "none"], ["selector": "opencl:1:0", "matrix_units": true]]]
    ]
    #expect(ReportPlan.noMatrixUnits([devices], "opencl:0:0")?.contains("none") == true)
    #expect(ReportPlan.noMatrixUnits([devices], "opencl:1:0") == nil)
    #expect(ReportPlan.noMatrixUnits([], "cpu") != nil)
  }

  /// What a slow machine has no time for does not take the time of what comes after it.
  @Test func sectionsThatCannotComeToAnythingAreSkipped() throws {
    let sections = ReportPlan(program: "/no/glomseg", budget: 100, folder: "/no").sections(device: "cpu")
    func reason(_ name: String, _ record: SectionRecord?) throws -> String? {
      try #require(sections.first { $0.name == name }).reasonToSkip(record.map { [$0] } ?? [])
    }
    var step = SectionRecord(name: "step-2048", title: "", outcome: .cut)
    for name in ["memory-2048", "step-2048-largest"] { #expect(try reason(name, step) == "there is no result of 'step-2048'") }
    step.outcome = .done
    step.results = [["seconds_median": 0.1]]
    for name in ["memory-2048", "step-2048-largest"] { #expect(try reason(name, step) == nil) }
    step.results = [["seconds_median": 20.0]]
    #expect(try reason("memory-2048", step) == nil && reason("step-2048-largest", step)?.contains("20.000 s") == true)
  }

  @Test(arguments: [("90s", 90.0), ("8m", 480), ("1h", 3600), ("45", 45), ("1.5m", 90)])
  func budgetsHaveUnits(_ text: String, _ seconds: Double) {
    #expect(NodeReportCommand.Budget(argument: text)?.seconds == seconds)
  }

  @Test(arguments: ["", "m", "-3s", "8 minutes", "0"])
  func otherBudgetsAreRefused(_ text: String) {
    #expect(NodeReportCommand.Budget(argument: text) == nil)
  }
}
