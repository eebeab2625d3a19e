import Engine
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

  /// What an earlier report had done stays; what failed, was cut or skipped is done anew, and only then counts.
  @Test func aReportGoesOn() throws {
    try withFolder { folder in
      var first = ReportRunner(files: try ReportFiles(folder: folder, heading: ""), seconds: 60)
      first.shouldStop = { false }
      try first.run([shell("right", "echo '{\"a\": 1}'"), shell("wrong", "exit 3")])
      // A line that was cut.
      let lines = folder + "/report.jsonl"
      try (String(contentsOfFile: lines, encoding: .utf8) + "{\"section\": \"cut\", \"outco").write(
        toFile: lines, atomically: true, encoding: .utf8)
      #expect(throws: EngineError.self) { try ReportFiles(folder: folder, heading: "") }
      var second = ReportRunner(files: try ReportFiles(folder: folder, heading: "again", resuming: true), seconds: 60)
      second.shouldStop = { false }
      #expect(second.records.map(\.name) == ["right"] && second.records[0].results.first?["a"] as? Int == 1)
      try second.run([shell("right", "exit 1"), shell("wrong", "echo fine"), shell("cut", "echo fine")])
      #expect(second.records.map(\.name) == ["right", "wrong", "cut"] && second.records.allSatisfy { $0.outcome == .done })
      let third = try ReportFiles(folder: folder, heading: "", resuming: true)
      #expect(third.records.map(\.name) == ["right", "wrong", "cut"])
      #expect(try String(contentsOfFile: folder + "/report.md", encoding: .utf8).contains("| wrong | done |"))
    }
  }

  /// A GPU that OpenCL does not have is no reason to measure the CPU for minutes.
  @Test func aGPUWithoutOpenCLEndsTheReport() throws {
    var gpus = SectionRecord(name: "gpus", title: "", outcome: .done),
      devices = SectionRecord(name: "devices", title: "", outcome: .done)
    devices.results = [["devices": [["kind": "CPU"]]]]
    #expect(try #require(NodeReportCommand.missingGPU([gpus, devices])).contains("nvidia-smi lists a GPU and OpenCL has none"))
    gpus.outcome = .failed
    #expect(NodeReportCommand.missingGPU([gpus, devices]) == nil)
    gpus.outcome = .done
    devices.results = [["devices": [["kind": OpenCLDevice.Kind.gpu.rawValue]]]]
    #expect(NodeReportCommand.missingGPU([gpus, devices]) == nil)
  }

  @Test func stepsStandBesideEachOther() {
    var ours = SectionRecord(name: "step-256", title: "", outcome: .done)
    let size: [String: Any] = ["patch": 256, "base": 16, "batch": 16]
    ours.results = [
      size.merging([
        "device": "d", "arithmetic": "tf32", "seconds_median": 0.5, "peak_bytes_planned": 1 << 20, "launches": 12,
        "seconds_enqueue": 0.0025, "error": 2e-7,
      ]) { $1 }
    ]
    var theirs = SectionRecord(name: "torch-256-tf32-channels_last-compiled", title: "", outcome: .done)
    let peer: [String: Any] = [
      "version": "2", "precision": "tf32", "memory_format": "channels_last", "compile": true, "seconds_median": 1.0,
      "peak_device_bytes": 2 << 20,
    ]
    let pairs: [String: Any] = ["benchmark": "pairs", "pairs": 7, "ratio": 2.5, "ratio_min": 2.25, "ratio_max": 3.0]
    theirs.results = [
      size.merging(pairs) { $1 }.merging(["ours": ["seconds_median": 0.4, "arithmetic": "fp32"], "peer": peer]) { $1 }
    ]
    #expect(
      ReportSummary.steps([ours, theirs]) == [
        ["glomseg, d, tf32", "256² × 16, base 16", "0.500", "2.0e-07", "", formatBytes(1 << 20), "12 in 2.500 ms"],
        [
          "PyTorch 2, tf32, channels_last, compiled", "256² × 16, base 16", "1.000", "",
          "2.50 (2.25 to 3.00) of 7 pairs with fp32, 0.400 s", formatBytes(2 << 20), "",
        ],
      ])
  }

  /// The sections' own commands, with a script in place of both programs: PyTorch's forms, each in turn with glomseg in the same
  /// precision, and nothing where it sees no CUDA device.
  @Test(.enabled(if: ChildProcess.find("python3") != nil, "there is no python3"))
  func everyFormOfPyTorchIsTimedInTurn() throws {
    try withFolder { folder in
      let peers = folder + "/peers"
      // Ours takes 1 s, in channels_last PyTorch 2 s, else 4 s; one form finds no memory.
      let stub = """
        #!/usr/bin/env python3
        import json, sys
        words = sys.argv[1:]
        peer = "bench" not in words
        precision = words[words.index("--precision") + 1]
        if peer and "--compile" in words and precision == "bf16":
            sys.exit("out of memory")
        open(\(quoted(folder + "/turns")), "a").write(f"{'torch' if peer else 'glomseg'} {' '.join(words)}\\n")
        print("ready", flush=True)
        for line in sys.stdin:
            seconds = (2.0 if "channels_last" in words else 4.0) if peer else 1.0
            print(json.dumps({"seconds": seconds, "patch": int(words[words.index("--patch") + 1]), "base": 1, "batch": 1,
                              "precision": precision, "arithmetic": precision, "version": "0",
                              "memory_format": "channels_last" if "channels_last" in words else "contiguous",
                              "compile": "--compile" in words}), flush=True)
        """
      let program = folder + "/glomseg"
      try NodeReportCommand.writePeers(into: peers)
      for path in [program, peers + "/torch_step.py"] { try stub.write(toFile: path, atomically: true, encoding: .utf8) }
      try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: program)
      let sections = ReportPlan(program: program, budget: 600, folder: folder).sections(device: "d")
        .filter { $0.name.hasPrefix("torch-") }
      var probe = SectionRecord(name: "torch", title: "", outcome: .done)
      probe.results = [["torch": "0", "cuda": true]]
      var runner = ReportRunner(files: try ReportFiles(folder: folder, heading: ""), seconds: 600)
      runner.shouldStop = { false }
      try runner.add(probe)
      for patch in [256, 2048] { try runner.add(SectionRecord(name: "step-\(patch)", title: "", outcome: .done)) }
      try runner.run(sections)
      #expect(sections.count == 19)
      let skipped = runner.records.filter { $0.outcome == .skipped }
      #expect(
        skipped.count == 3 && skipped.allSatisfy { $0.name.hasSuffix("-tuned") && $0.reason == "no faster tiles were found" })
      let failed = runner.records.filter { $0.outcome == .failed }
      #expect(failed.map(\.name) == ["torch-256-bf16-channels_last-compiled", "torch-2048-bf16-channels_last-compiled"])
      #expect(failed.allSatisfy { $0.reason.contains("PyTorch ended with status 1") && $0.reason.contains("out of memory") })
      let rows = ReportSummary.steps(runner.records)
      #expect(rows.count == 14)
      #expect(
        rows[1][0] == "PyTorch 0, fp32, contiguous, eager" && rows[1][4] == "4.00 (4.00 to 4.00) of 20 pairs with fp32, 1.000 s")
      #expect(
        rows[0][0] == "PyTorch 0, tf32, channels_last, eager"
          && rows[0][4] == "2.00 (2.00 to 2.00) of 20 pairs with tf32, 1.000 s")
      #expect(try String(contentsOfFile: folder + "/report.md", encoding: .utf8).contains("4.00 (4.00 to 4.00) of 20 pairs"))
      let turns = try String(contentsOfFile: folder + "/turns", encoding: .utf8).split(separator: "\n")
      #expect(
        turns.filter { $0.hasPrefix("glomseg bench step") }.allSatisfy { $0.contains("--device d") && $0.hasSuffix("--serve") })
      // PyTorch's autocast stores in 16 bits: so does glomseg beside it, once.
      #expect(
        turns.contains { $0.hasPrefix("glomseg") && $0.contains("--precision bf16 --activations fp16 --gradients bf16 --serve") })
      #expect(turns.filter { $0.hasPrefix("torch") }.allSatisfy { $0.contains("--device cuda") && $0.hasSuffix("--serve") })

      #expect(sections.last?.reasonToSkip([probe]) == "there is no result of 'step-2048'")
      probe.results = [["torch": "2.4", "cuda": false]]
      for section in sections { #expect(section.reasonToSkip([probe]) == "PyTorch 2.4 sees no CUDA device") }
      #expect(ReportSummary.peerAbsent([probe]) == "PyTorch 2.4 sees no CUDA device" && ReportSummary.peerAbsent([]) == nil)
    }
  }

  private func quoted(_ path: String) -> String { "\"\(path)\"" }

  /// What comes first does not take what is kept for the rest, and a check is told what it may take.
  @Test func timeIsKeptForWhatMatters() throws {
    try withFolder { folder in
      var runner = ReportRunner(files: try ReportFiles(folder: folder, heading: ""), seconds: 3)
      runner.shouldStop = { false }
      var check = shell("check", "echo '{\"passed\": 2, \"failed\": 1, \"skipped\": 7}'")
      check.kept = 2
      check.tellsPart = 0.75
      check.remark = ReportPlan.unchecked
      try runner.run([shell("long", "sleep 60"), check])
      #expect(runner.records.map(\.outcome) == [.cut, .done])
      #expect(runner.records[0].seconds < 2)
      #expect(runner.records[1].commands[0].hasSuffix("--seconds 1"), "0.75 of somewhat less than two seconds")
      #expect(runner.records[1].reason.hasPrefix("3 of 10 cases"))
    }
    #expect(ReportPlan.unchecked([["passed": 2, "failed": 1, "skipped": 0]]) == "")
  }

  /// A slow machine's report has a check and a training, whatever else it has no time for.
  @Test(arguments: [60.0, 180, 480, 3600])
  func theBudgetHoldsWhatIsKept(_ budget: Double) throws {
    let plan = ReportPlan(program: "/no/glomseg", budget: budget, folder: "/no")
    let sections = plan.sections(device: "cpu")
    let before = (plan.first + sections.prefix { $0.kept == 0 }).reduce(0) { $0 + $1.most }
    #expect(before + sections.reduce(0) { $0 + $1.kept } <= budget)
    let names = sections.filter { $0.kept > 0 }.map(\.name)
    #expect(
      names == [
        "check-quick", "torch", "torch-2048-tf32-channels_last", "torch-2048-fp32-contiguous", "training-data", "training",
        "training-scores", "check",
      ])
    for section in sections where section.kept > 0 { #expect(section.kept >= section.least && section.kept <= section.most) }
  }

  @Test func onePrecisionIsEnoughWithoutMatrixUnits() {
    var devices = SectionRecord(name: "devices", title: "", outcome: .done)
    devices.results = [
      [
        "devices": [
          ["selector": "opencl:0:0", "matrix_units": false, "matrix_reason": "none", "kernels_for": "amd"],
          ["selector": "opencl:1:0", "matrix_units": true],
        ]
      ]
    ]
    #expect(ReportPlan.noMatrixUnits([devices], "opencl:0:0")?.contains("none") == true)
    #expect(ReportPlan.noMatrixUnits([devices], "opencl:1:0") == nil)
    #expect(ReportPlan.noMatrixUnits([], "cpu") != nil)
    // The step without matrix units takes the kernels of the device's own class.
    #expect(NodeReportCommand.kernels("opencl:0:0", [devices]) == "amd")
    let plan = ReportPlan(program: "/no/glomseg", budget: 100, folder: "/no").sections(device: "opencl:0:0", kernels: "amd")
    #expect(plan.contains { $0.name == "step-256-without-units" && $0.commands.joined().contains("opencl:0:0@amd") })
    for precision in ["fp32", "bf16"] {
      let halved = plan.first { $0.name == "step-2048-\(precision)-halved" }?.commands.joined().joined(separator: " ")
      #expect(halved?.contains("--precision \(precision) --activations fp16 --gradients bf16") == true)
    }
  }

  /// A GPU is reported on even where it does not pass its self-check, and without its matrix units where those are at fault.
  @Test func aGPUIsChosenThoughItFails() {
    func chosen(_ auto: String, gpuIsAvailable: Bool = true) -> String? {
      var devices = SectionRecord(name: "devices", title: "", outcome: .done)
      devices.results = [
        [
          "auto": auto,
          "devices": [
            ["selector": "opencl:0:0", "kind": OpenCLDevice.Kind.cpu.rawValue, "available": true],
            [
              "selector": "opencl:1:0", "kind": OpenCLDevice.Kind.gpu.rawValue, "available": gpuIsAvailable,
              "kernels_for": "nvidia", "matrix_units": true,
            ],
          ],
        ]
      ]
      return NodeReportCommand.chosen([devices])
    }
    #expect(chosen("opencl:1:0 H100") == "opencl:1:0")
    #expect(chosen("opencl:1:0@nvidia H100") == "opencl:1:0@nvidia")
    #expect(chosen("opencl:0:0 EPYC") == "opencl:1:0")
    #expect(chosen("opencl:0:0 EPYC", gpuIsAvailable: false) == "opencl:0:0")
    #expect(NodeReportCommand.chosen([]) == nil)
    var named = SectionRecord(name: "devices", title: "", outcome: .done)
    named.results = [
      [
        "devices": [
          [
            "selector": "opencl:0:0", "kind": OpenCLDevice.Kind.cpu.rawValue, "name": "EPYC", "kernels_for": "cpu",
            "matrix_units": false,
          ],
          [
            "selector": "opencl:1:0", "kind": OpenCLDevice.Kind.gpu.rawValue, "name": "AMD Instinct", "kernels_for": "amd",
            "matrix_units": true,
          ],
        ]
      ]
    ]
    for (device, kernels) in [
      ("opencl", "cpu"), ("opencl:1:0", "amd"), ("instinct", "amd"), ("gpu", "amd"), ("opencl:1:0@nvidia", "amd"),
      ("epyc", "cpu"),
    ] {
      #expect(NodeReportCommand.kernels(device, [named]) == kernels, "\(device)")
    }
    #expect(NodeReportCommand.found("cpu", [named]) == nil)
    #expect(ReportPlan.noMatrixUnits([named], "instinct") == nil && ReportPlan.noMatrixUnits([named], "opencl") != nil)
    #expect(ReportPlan.noMatrixUnits([], "opencl:1:0@nvidia") != nil)
    #expect(ReportPlan.noMatrixUnits([], "opencl:1:0") == nil, "where nobody found out, each precision is tried")
  }

  /// A step that was cut while its kernels were compiled is run once more, and what needs its result takes the second one.
  @Test func aStepThatWasCutRunsAgain() throws {
    let sections = ReportPlan(program: "/no/glomseg", budget: 100, folder: "/no").sections(device: "d")
    func reason(_ name: String, _ records: [SectionRecord]) throws -> String? {
      try #require(sections.first { $0.name == name }).reasonToSkip(records)
    }
    let done = SectionRecord(name: "step-256", title: "", outcome: .done)
    let cut = SectionRecord(name: "step-256", title: "", outcome: .cut)
    let again = SectionRecord(name: "step-256-again", title: "", outcome: .done)
    #expect(try reason("step-256-again", [done]) != nil)
    #expect(try reason("step-256-again", [cut]) == nil)
    #expect(try reason("memory-256", [cut]) != nil)
    #expect(try reason("memory-256", [cut, again]) == nil)
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
    var first = SectionRecord(name: "step-256", title: "", outcome: .done)
    first.results = [["seconds_median": 0.5]]
    #expect(try reason("step-2048", first)?.contains("about 32 s") == true, "64 times the work, of 15 s")
    first.results = [["seconds_median": 0.1]]
    #expect(try reason("step-2048", first) == nil && reason("step-2048", nil) == nil)
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
