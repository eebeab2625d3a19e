import Engine
import Foundation
import Glibc
import Testing

/// The built program, as a user meets it: exit codes and what it says.
@Suite(.serialized) struct CommandTests {
  /// Beside the test bundle; nil where only the tests were built.
  static let program: URL? = {
    var folder = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
    for _ in 0..<4 {
      let candidate = folder.appendingPathComponent("glomseg")
      if FileManager.default.isExecutableFile(atPath: candidate.path) { return candidate }
      folder.deleteLastPathComponent()
    }
    return nil
  }()

  typealias Running = (process: Process, out: Pipe, err: Pipe)
  typealias Ended = (code: Int32, out: String, err: String)

  /// - Parameter environment: beside this process's; nil takes a variable away.
  func start(_ arguments: [String], environment: [String: String?] = [:]) throws -> Running {
    let process = Process()
    process.environment = environment.reduce(into: ProcessInfo.processInfo.environment) { $0[$1.key] = $1.value }
    let program: URL = try #require(Self.program, "the program glomseg was not found beside the tests")
    process.executableURL = program
    process.arguments = arguments
    let (out, err) = (Pipe(), Pipe())
    process.standardOutput = out
    process.standardError = err
    try process.run()
    return (process, out, err)
  }

  func finish(_ running: Running) -> Ended {
    let text = running.out.fileHandleForReading.readDataToEndOfFile()
    let errors = running.err.fileHandleForReading.readDataToEndOfFile()
    running.process.waitUntilExit()
    return (
      running.process.terminationStatus, String(decoding: text, as: UTF8.self), String(decoding: errors, as: UTF8.self)
    )
  }

  func run(_ arguments: String...) throws -> Ended { try run(arguments) }
  func run(_ arguments: [String]) throws -> Ended { finish(try start(arguments)) }

  @Test func usageErrorsExit64() throws {
    #expect(try run("train").code == 64)
    #expect(try run("plan", "--patch", "100").code == 64)
    #expect(try run("nonsense").code == 64)
  }

  @Test func failuresExitOneWithASentence() throws {
    let missing = try run("train", "/no/such/folder", "-o", FileManager.default.temporaryDirectory.path + "/none")
    #expect(missing.code == 1)
    #expect(missing.err.contains("/no/such/folder"))
    #expect(!missing.err.contains("Fatal"))
    let device = try run("plan", "--patch", "64", "--device", "opencl:9:9")
    #expect(device.code == 1)
    #expect(device.err.contains("no device 'opencl:9:9'") && device.err.contains("auto"))
    let model = try run("evaluate", "/no/such/model", "/no/such/data", "--device", "cpu")
    #expect(model.code == 1)
  }

  @Test func planPrintsJSONAlone() throws {
    let result = try run("plan", "--patch", "2048", "--base", "64", "--device", "cpu", "--json", "-")
    #expect(result.code == 0)
    let object = try #require(try JSONSerialization.jsonObject(with: Data(result.out.utf8)) as? [String: Any])
    #expect(object["parameters"] as? Int == 10_883_201)
    let peak = try #require(object["peak_bytes"] as? Int)
    #expect(peak < 9 << 30)
    let flops = try #require(object["flops_forward"] as? Int)
    #expect(flops > 3_000_000_000_000 && flops < 3_200_000_000_000)
  }

  /// Planned alone: nothing of it is allocated.
  @Test func theFullSizeFitsALimitOfFiveGibibytes() throws {
    let result = try run("plan", "--patch", "2048", "--base", "64", "--device", "cpu", "--memory-limit", "5GiB", "--json", "-")
    #expect(result.code == 0)
    let object = try #require(try JSONSerialization.jsonObject(with: Data(result.out.utf8)) as? [String: Any])
    #expect(object["fits"] as? Bool == true)
    #expect(try #require(object["peak_bytes"] as? Int) <= 5 << 30)
    let (again, step) = (try #require(object["flops_recomputed"] as? Int), try #require(object["flops_step"] as? Int))
    #expect(again > 0 && again * 4 < step)
  }

  @Test func devicesListTheCPUPath() throws {
    let result = try run("devices", "--json", "-")
    #expect(result.code == 0)
    let object = try #require(try JSONSerialization.jsonObject(with: Data(result.out.utf8)) as? [String: Any])
    #expect((object["cpu"] as? String)?.contains("OpenBLAS") == true)
    #expect(object["auto"] is String)
  }

  /// An OpenBLAS that does not know the processor is not left with kernels of 2004; what a user asks for stays.
  @Test func theCPUPathTakesKernelsOfTheProcessor() throws {
    func kernels(_ asked: String?) throws -> String {
      let result = finish(try start(["devices"], environment: ["OPENBLAS_CORETYPE": asked]))
      #expect(result.code == 0, "\(result.err)")
      return try #require(result.out.split(separator: "\n").first { $0.contains("OpenBLAS") }.map(String.init))
    }
    #expect(try kernels("Prescott").contains(" Prescott "))
    let flags = try String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8).split { $0.isWhitespace }
    #expect(try kernels(nil).contains(" Prescott ") == !(flags.contains("avx2") && flags.contains("fma")))
  }

  /// A driver that OCL_ICD_FILENAMES alone names is found, whichever loader there is; one without a device is named with what it lacks.
  @Test func devicesOfANamedDriverAreListed() throws {
    let icd = try String(contentsOfFile: "/etc/OpenCL/vendors/pocl.icd", encoding: .utf8)
    let library = try #require(icd.split(separator: "\n").first.map(String.init))
    let empty = FileManager.default.temporaryDirectory.appendingPathComponent("vendors-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: empty, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: empty) }
    func devices(_ environment: [String: String]) throws -> [String: Any] {
      let result = finish(try start(["devices", "--json", "-"], environment: environment))
      #expect(result.code == 0, "\(result.err)")
      return try #require(try JSONSerialization.jsonObject(with: Data(result.out.utf8)) as? [String: Any])
    }
    let none = try devices(["OCL_ICD_VENDORS": empty])
    #expect((none["devices"] as? [Any])?.isEmpty == true)
    let named = try devices(["OCL_ICD_VENDORS": empty, "OCL_ICD_FILENAMES": library])
    #expect((named["devices"] as? [Any])?.count == 1)
    #expect((named["added_drivers"] as? [[String: String]])?.first?["library"] == library)
    #expect((named["idle_drivers"] as? [Any])?.isEmpty == true)
    let idle = try devices([
      "OCL_ICD_VENDORS": empty, "OCL_ICD_FILENAMES": "\(library):\(empty)/gone.so:libm.so.6", "POCL_DEVICES": "none",
    ])
    #expect((idle["devices"] as? [Any])?.isEmpty == true)
    let reasons = try #require(idle["idle_drivers"] as? [[String: String]]).map { $0["reason"] ?? "" }
    try #require(reasons.count == 3)
    #expect(reasons[0].hasPrefix("has no device here"))
    #expect(reasons[1].hasPrefix("cannot be loaded: \(empty)/gone.so: "))
    #expect(reasons[2].hasPrefix("is no OpenCL driver"))
    let refused = finish(
      try start(["check", "--device", "gpu"], environment: ["OCL_ICD_VENDORS": empty, "OCL_ICD_FILENAMES": empty + "/gone.so"]))
    #expect(refused.code == 1 && refused.err.contains("the driver \(empty)/gone.so cannot be loaded"), "\(refused.err)")
  }

  /// From a small, narrow model to a larger, wider one of half the patches' size, with everything that steadies training.
  @Test func trainingStartsFromAnotherModel() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("transfer-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let (data, small, large) = (folder + "/data", folder + "/small", folder + "/large")
    #expect(try run("data", "synth", data, "--patch", "96", "--train", "6", "--validation", "2", "--test", "1").code == 0)
    let first = try run("train", data, "-o", small, "--patch", "32", "--base", "4", "--epochs", "1", "--device", "cpu")
    #expect(first.code == 0, "\(first.err)")
    let second = try run(
      "train", data, "-o", large, "--start-from", small, "--input-scale", "0.5", "--base", "6",
      "--batch", "2", "--epochs", "2", "--device", "cpu", "--average", "0.9", "--clip-norm", "1", "--early-stop", "5",
      "--balance", "both", "--schedule", "cosine")
    #expect(second.code == 0, "\(second.err)")
    #expect(second.err.contains("1 tensors as they are"), "the final bias: \(second.err)")
    let settings = try String(contentsOfFile: large + "/config.yaml", encoding: .utf8)
    #expect(settings.contains("\npatch: 48\n") && settings.contains("\nrecalibrate: 16\n"))
    let evaluated = try run("evaluate", large, data, "--split", "validation", "--device", "cpu")
    #expect(evaluated.code == 0, "\(evaluated.err)")
    let both = try run("train", data, "-o", folder + "/x", "--patch", "32", "--input-scale", "0.5")
    #expect(both.code == 1 && both.err.contains("--input-scale"))
    let frozen = try run("train", data, "-o", folder + "/x", "--norm", "batch-frozen", "--patch", "32", "--device", "cpu")
    #expect(frozen.code == 1 && frozen.err.contains("start_from"))
  }

  /// With seconds to take it ends in time, and says of every section what came of it.
  @Test func nodeReportKeepsItsBudget() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("node-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    // On a busy machine the first seconds can be over before the devices were listed: more, until they were.
    var error = "", budget = 0, outcomes: [String: String] = [:]
    for seconds in [8, 24, 72] where outcomes["devices"] != "done" {
      try? FileManager.default.removeItem(atPath: folder)
      let start = Date()
      let result = try run("node-report", "-o", folder, "--budget", "\(seconds)s", "--device", "cpu")
      #expect(result.code == 0, "\(result.err)")
      (budget, error) = (seconds, result.err)
      #expect(Date().timeIntervalSince(start) < Double(seconds + 22))
      let text = try String(contentsOfFile: folder + "/report.jsonl", encoding: .utf8)
      let sections = try text.split(separator: "\n").map { line in
        try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
      }
      outcomes = Dictionary(
        uniqueKeysWithValues: sections.map { ($0["section"] as? String ?? "", $0["outcome"] as? String ?? "") })
    }
    #expect(outcomes["machine"] == "done" && outcomes["devices"] == "done")
    for name in ["doctor", "roof", "step-256", "step-2048", "memory-256", "torch", "check", "training", "operations-2048"] {
      #expect(outcomes[name] != nil, "\(name) is missing")
      #expect(outcomes[name] != "failed", "\(error)")
    }
    if budget == 8 { #expect(outcomes["operations-2048"] == "skipped") }
    let again = try run("node-report", "-o", folder, "--budget", "1s")
    #expect(again.code == 1 && again.err.contains("holds a report already"))
  }

  // MARK: Whole runs

  /// A tiny data set in a folder of its own, gone when the test is over.
  func withData(_ body: (_ folder: String, _ data: String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("glomseg-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let data = folder + "/data"
    let made = try run("data", "synth", data, "--patch", "32", "--train", "6", "--validation", "2", "--test", "1")
    #expect(made.code == 0, "\(made.err)")
    try body(folder, data)
  }

  let small = ["--patch", "32", "--base", "4", "--batch", "2", "--lr", "1e-3", "--device", "cpu"]

  func expectOneSentence(
    _ result: (code: Int32, out: String, err: String), _ words: String..., sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(result.code == 1, sourceLocation: sourceLocation)
    #expect(result.out.isEmpty, sourceLocation: sourceLocation)
    #expect(result.err.hasPrefix("glomseg: "), "\(result.err)", sourceLocation: sourceLocation)
    #expect(result.err.split(separator: "\n").count == 1, "\(result.err)", sourceLocation: sourceLocation)
    for word in words {
      #expect(result.err.contains(word), "'\(result.err)' lacks '\(word)'", sourceLocation: sourceLocation)
    }
  }

  @Test func badInputIsOneSentenceBeforeTraining() throws {
    try withData { folder, data in
      let config = folder + "/run.yaml"
      try "epoch: 3\n".write(toFile: config, atomically: true, encoding: .utf8)
      expectOneSentence(try run(["train", data, "-o", folder + "/a", "--config", config] + small), "run.yaml: epoch", "epochs")
      expectOneSentence(try run(["train", data, "-o", config + "/a"] + small), "Not a directory")
      expectOneSentence(try run(["train", data, "-o", folder + "/a", "--resume"] + small), "holds no run to resume")
      expectOneSentence(try run(["train", data, "-o", folder + "/a", "--patch", "100"]), "patch", "16")
      expectOneSentence(try run("train", data, "--patch", "8192", "--base", "512", "-o", folder + "/a", "--device", "cpu"), "GiB")
      expectOneSentence(
        try run(["train", data, "-o", folder + "/a", "--memory-limit", "1MiB"] + small), "1.00 MiB", "would fit: --base 2")
      expectOneSentence(try run(["train", data, "-o", folder + "/a", "--memory-limit", "much"] + small), "memory_limit", "5GiB")
      expectOneSentence(try run("evaluate", folder, data, "--device", "cpu"), "no finished run")
      expectOneSentence(try run("evaluate", config, data, "--device", "cpu"), "run.yaml")
      expectOneSentence(try run("evaluate", folder, data, "--json", folder + "/no/such.json"), "there is no folder")
      #expect(!FileManager.default.fileExists(atPath: folder + "/a/last.safetensors"))
    }
  }

  @Test func brokenFilesAreNamedAndCanBeLeftOut() throws {
    try withData { folder, data in
      let broken = data + "/train/DN/s01/img/s01_0_0_0_img.jpg"
      let bytes = try Data(contentsOf: URL(fileURLWithPath: broken))
      try bytes.prefix(bytes.count / 2).write(to: URL(fileURLWithPath: broken))
      let refused = try run(["train", data, "-o", folder + "/run", "--epochs", "1"] + small)
      #expect(refused.code == 1 && refused.err.contains("1 fault") && refused.err.contains(broken))
      #expect(!FileManager.default.fileExists(atPath: folder + "/run"))
      let inspected = try run("data", "inspect", data)
      #expect(inspected.code == 1 && inspected.err.contains(broken))
      let skipped = try run(["train", data, "-o", folder + "/run", "--epochs", "1", "--skip-bad"] + small)
      #expect(skipped.code == 0 && skipped.err.contains("warning: left out \(broken)") && skipped.err.contains("5 training"))
    }
  }

  @Test func withoutValidationTheLowestTrainingLossIsBest() throws {
    try withData { folder, data in
      try FileManager.default.removeItem(atPath: data + "/validation")
      let result = try run(["train", data, "-o", folder + "/run", "--epochs", "2"] + small)
      #expect(result.code == 0 && result.err.contains("warning: there is no validation split"))
      #expect(FileManager.default.fileExists(atPath: folder + "/run/best.safetensors"))
      // gnuplot is one of the packages that Scripts/setup installs.
      #expect(!result.err.contains("curves.png") && result.out.contains("curves.png"), "\(result.err)")
    }
  }

  @Test func trainEvaluatePredict() throws {
    try withData { folder, data in
      let trained = try run(["train", data, "-o", folder + "/run", "--epochs", "1"] + small)
      #expect(trained.code == 0, "\(trained.err)")
      let scores = try run("evaluate", folder + "/run", data, "--split", "validation", "--device", "cpu", "--json", "-")
      #expect(scores.code == 0)
      let object = try #require(try JSONSerialization.jsonObject(with: Data(scores.out.utf8)) as? [String: Any])
      #expect(Set((object["pooled"] as? [String: Any] ?? [:]).keys) == ["accuracy", "precision", "recall", "f1"])
      #expect(object["patches"] as? Int == 2 && object["dice_mean"] is Double && object["groups"] is [String: Any])
      // The patches are as large as the model's, so that its own size is theirs: but for the rounding of probabilities to 8 bits.
      let native = try run(
        "evaluate", folder + "/run", data, "--split", "validation", "--native", "--device", "cpu", "--json", "-")
      let other = try #require(try JSONSerialization.jsonObject(with: Data(native.out.utf8)) as? [String: Any])
      #expect(abs(try #require(other["dice_mean"] as? Double) - (object["dice_mean"] as? Double ?? -1)) < 0.02)
      let predicted = try run(
        "predict", folder + "/run", data, "--split", "test", "--panels", "--probabilities", "--device", "cpu", "-o",
        folder + "/masks")
      #expect(predicted.code == 0, "\(predicted.err)")
      let files = try FileManager.default.contentsOfDirectory(atPath: folder + "/masks").sorted()
      #expect(files == ["s09_0_0_0_mask.png", "s09_0_0_0_panel.png", "s09_0_0_0_probability.png"])
      expectOneSentence(try run(["train", data, "-o", folder + "/run"] + small), "holds a run already")
    }
  }

  /// A slide cut into patches, a model trained on them, and the slide segmented and scored by it.
  @Test func fromSlideToSlide() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("glomseg-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let slides = folder + "/train/DN"
    #expect(try run("data", "synth", slides, "--slide", "--size", "1024").code == 0)
    let cut = try run("patch", folder + "/train", "-o", folder + "/patches", "--patch-size", "256", "--overlap", "25%")
    #expect(cut.code == 0 && cut.out.contains("patches of 25 positions on 1 slides"), "\(cut.err)")
    let inspected = try run(
      "data", "inspect", folder + "/patches", "--sheet", folder + "/sheet.png", "--csv", folder + "/counts.csv")
    #expect(inspected.code == 0 && inspected.out.contains("train/DN/synthetic"), "\(inspected.err)")
    #expect(FileManager.default.fileExists(atPath: folder + "/sheet.png"))
    let trained = try run(["train", folder + "/patches", "-o", folder + "/run", "--epochs", "1"] + small)
    #expect(trained.code == 0, "\(trained.err)")

    let segment = ["segment", folder + "/run", folder + "/train", "-o", folder + "/masks", "--device", "cpu"]
    let first = try run(segment)
    #expect(first.code == 0 && first.out.contains("synthetic: "), "\(first.err)")
    // The model knows that its patches were 256 pixels before they were resized.
    let summary = try String(contentsOfFile: folder + "/masks/synthetic.json", encoding: .utf8)
    #expect(summary.contains("window 256 to 32") && summary.contains("\"microns_per_pixel\" : 0.5"))
    let again = try run(segment)
    #expect(again.code == 0 && again.out.contains("(done before)"))
    try Data([0x49, 0x49, 42, 0, 1]).write(to: URL(fileURLWithPath: slides + "/broken_wsi.tiff"))
    let broken = try run(segment)
    #expect(broken.code == 1 && broken.err.contains("broken_wsi.tiff: ") && broken.out.contains("synthetic"))
    #expect(broken.err.contains("1 of 2 slides could not be segmented"))
    try FileManager.default.removeItem(atPath: slides + "/broken_wsi.tiff")

    let scored = try run(
      "evaluate", folder + "/run", folder + "/train", "--device", "cpu", "-o", folder + "/masks", "--json", "-")
    #expect(scored.code == 0, "\(scored.err)")
    let object = try #require(try JSONSerialization.jsonObject(with: Data(scored.out.utf8)) as? [String: Any])
    let mean = try #require(object["mean"] as? [String: Any])
    #expect(mean["pixels"] is [String: Any] && mean["annotated"] is Int && object["protocol"] as? String == "slides")
    let challenge = try run(
      "evaluate", folder + "/run", folder + "/train", "--kpis", "--scale", "1", "--patch-size", "256", "--device", "cpu")
    #expect(challenge.code == 0 && challenge.out.contains("mean of 1 slides"), "\(challenge.err)")
  }

  @Test func slideUsageErrors() throws {
    #expect(try run("patch", "x.tiff", "-o", "y", "--overlap", "100%").code == 64)
    #expect(try run("patch", "x.tiff", "-o", "y", "--scale", "1", "--mpp", "1").code == 64)
    #expect(try run("segment", "m", "x.tiff", "-o", "y", "--tta", "3").code == 64)
    #expect(try run("evaluate", "m", "x", "--kpis", "--overlap", "10%").code == 64)
    expectOneSentence(try run("patch", "/no/such.tiff", "-o", "/tmp/none"), "/no/such.tiff", "no such slide")
    expectOneSentence(try run("segment", "/no/model", "/no/such.tiff", "-o", "/tmp/none"), "/no/such.tiff")
  }

  /// A signal finishes the step, saves and exits with 0; the run that goes on from there ends as if there had been none.
  @Test(arguments: [SIGINT, SIGTERM, SIGHUP])
  func aSignalSavesAndResumingIsExact(_ signal: Int32) throws {
    try withData { folder, data in
      let epochs = ["--epochs", "80"]
      #expect(try run(["train", data, "-o", folder + "/straight"] + small + epochs).code == 0)
      // Where the tests run under nohup, SIGHUP is ignored, and what they start would leave it so.
      let before = Glibc.signal(SIGHUP, SIG_DFL)
      let process = try start(["train", data, "-o", folder + "/parts"] + small + epochs)
      _ = Glibc.signal(SIGHUP, before)
      let log = folder + "/parts/run.jsonl"
      let deadline = Date().addingTimeInterval(30)
      while (try? Data(contentsOf: URL(fileURLWithPath: log)).count) ?? 0 < 2000, Date() < deadline { usleep(1000) }
      kill(process.process.processIdentifier, signal)
      let stopped = finish(process)
      #expect(stopped.code == 0 && stopped.err.contains("go on with: glomseg train"), "\(stopped.err)")
      #expect(try run("train", data, "-o", folder + "/parts", "--resume").code == 0)
      for file in ["last.safetensors", "best.safetensors", "groups.csv"] {
        let (a, b) = (folder + "/straight/" + file, folder + "/parts/" + file)
        #expect(FileManager.default.contentsEqual(atPath: a, andPath: b), "\(file) differs")
      }
      let steps = try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n")
      #expect(steps.count == 80 * 3)
    }
  }
}
