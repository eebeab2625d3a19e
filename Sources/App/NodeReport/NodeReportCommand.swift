import ArgumentParser
import Engine
import Foundation
import PeerScripts
import Runs

/// `glomseg node-report`.
struct NodeReportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "node-report", abstract: "Check and measure everything on this machine within a budget of time.",
    discussion: """
      Devices, doctor, a quick check, whole steps, roof, memory, tiles for the device ('glomseg tune'), a training run, every operation against its reference, \
      single operations; and PyTorch's steps in turn with glomseg's where python3 can import torch and it sees a CUDA device. \
      Each section is a process of its own. One that fails is recorded with its error, one that takes too long is cut, and one \
      for which no time is left is skipped; time for the checks and the training is kept.

      DIR gets report.md to read and report.jsonl, a line for each section, written as each ends: a run that is cut off \
      leaves what it had, and --resume goes on with what was cut, failed or skipped, in as much time again.

      Example: glomseg node-report -o node --budget 8m
      """)

  @Option(name: [.customShort("o"), .long], help: "Folder to write into.") var output: String
  @Option(help: "Time that it may take, such as 90s, 8m or 1h.") var budget = Budget(seconds: 480)
  @Option(help: "auto, gpu, cpu, opencl, opencl:P:D, or part of a device's name.") var device = "auto"
  @Flag(help: "Go on with the report in DIR: what is done there stays.") var resume = false

  /// Seconds, minutes or hours.
  struct Budget: ExpressibleByArgument, CustomStringConvertible {
    let seconds: Double

    init(seconds: Double) { self.seconds = seconds }

    init?(argument: String) {
      let units: [Character: Double] = ["s": 1, "m": 60, "h": 3600]
      let unit = argument.last.flatMap { units[$0] }
      guard let number = Double(unit == nil ? argument[...] : argument.dropLast()), number > 0, number.isFinite else {
        return nil
      }
      seconds = number * (unit ?? 1)
    }

    var description: String { seconds.truncatingRemainder(dividingBy: 60) == 0 ? "\(Int(seconds / 60))m" : "\(Int(seconds))s" }
  }

  func run() throws { try failing { try write() } }

  private func write() throws {
    Interrupt.install()
    let date = Date().ISO8601Format()
    let files = try ReportFiles(
      folder: output,
      heading:
        "glomseg \(glomsegVersion), begun at \(date), with \(budget) to take and --device \(device)\(resume ? ", on what an earlier one had not done" : "").",
      resuming: resume)
    try Self.writePeers(into: output + "/peers")
    Self.keepCaches(in: output)
    let program = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().path
    let plan = ReportPlan(program: program, budget: budget.seconds, folder: output)
    var runner = ReportRunner(files: files, seconds: budget.seconds)
    runner.report = { record in
      let reason = record.reason.isEmpty ? "" : ": \(record.reason)"
      printError(String(format: "%@: %@, %.1f s", record.name, record.outcome.rawValue, record.seconds) + reason)
    }
    if let machine = runner.records.first(where: { $0.name == "machine" }) {
      let before = machine.results.first?["device asked for"] as? String ?? device
      guard before == device else {
        throw RunError.setting(
          name: "--device", problem: "the report in \(output) was begun with \(before) and cannot go on with \(device)")
      }
    } else {
      try runner.add(Machine.record(device: device))
    }
    // A training run that was cut begins anew.
    if !runner.records.contains(where: { $0.name == "training" }) {
      try? FileManager.default.removeItem(atPath: output + "/training/run")
    }
    try runner.run(plan.first)
    if device == "auto", let problem = Self.missingGPU(runner.records) { throw EngineError.request(problem) }
    let device = chosen(runner.records)
    try runner.run(plan.sections(device: device, kernels: Self.kernels(device, runner.records)))
    var counts: [String] = []
    for outcome in [SectionRecord.Outcome.done, .failed, .cut, .skipped] {
      counts.append("\(runner.records.filter { $0.outcome == outcome }.count) \(outcome.rawValue)")
    }
    print("\(files.page), \(files.lines): \(counts.joined(separator: ", "))")
  }

  /// What 'auto' stands for on this machine, as `devices` found it in a process of its own.
  private func chosen(_ records: [SectionRecord]) -> String {
    guard device == "auto" else { return device }
    return Self.chosen(records) ?? device
  }

  /// What `auto` takes, but a GPU where there is one, though it did not pass its self-check: what is wrong with it is what to report.
  static func chosen(_ records: [SectionRecord]) -> String? {
    guard let found = records.first(where: { $0.name == "devices" })?.results.first else { return nil }
    let auto = (found["auto"] as? String)?.split(separator: " ").first.map(String.init)
    let gpus = (found["devices"] as? [[String: Any]] ?? []).filter {
      $0["kind"] as? String == OpenCLDevice.Kind.gpu.rawValue && $0["available"] as? Bool == true
    }
    guard let first = gpus.first?["selector"] as? String else { return auto }
    return gpus.contains { $0["selector"] as? String == auto.map { DeviceSelection.split($0).device } } ? auto : first
  }

  /// Why nothing is measured where a GPU is there that OpenCL does not have: the time would go to the CPU. Nil where all is well.
  static func missingGPU(_ records: [SectionRecord]) -> String? {
    guard records.contains(where: { $0.name == "gpus" && $0.outcome == .done }),
      let found = records.first(where: { $0.name == "devices" })?.results.first
    else { return nil }
    let devices = found["devices"] as? [[String: Any]] ?? []
    guard !devices.contains(where: { $0["kind"] as? String == OpenCLDevice.Kind.gpu.rawValue }) else { return nil }
    return "nvidia-smi lists a GPU and OpenCL has none (the section 'devices' of the report says what it found): "
      + "OCL_ICD_FILENAMES can name the driver's libnvidia-opencl.so.1; --device cpu or opencl measures without it"
  }

  /// The class of the device, for its kernels without matrix units.
  static func kernels(_ device: String, _ records: [SectionRecord]) -> String {
    found(device, records)?["kernels_for"] as? String ?? "nvidia"
  }

  /// What `devices` found of the device that a selector means; nil for the CPU path, and where it was not found.
  static func found(_ device: String, _ records: [SectionRecord]) -> [String: Any]? {
    let all = records.first { $0.name == "devices" }?.results.first?["devices"] as? [[String: Any]] ?? []
    let wanted = DeviceSelection.split(device).device
    guard wanted != "cpu" else { return nil }
    return all.first {
      DeviceSelection.means(
        wanted, selector: $0["selector"] as? String ?? "", name: $0["name"] as? String ?? "",
        isGPU: $0["kind"] as? String == OpenCLDevice.Kind.gpu.rawValue)
    }
  }

  /// Where no home can be written to, as on some nodes: what is compiled and found is then kept for this report. Each section would
  /// compile everything anew.
  static func keepCaches(in folder: String) {
    let environment = ProcessInfo.processInfo.environment
    let mine = environment["XDG_CACHE_HOME"] ?? environment["HOME"].map { $0 + "/.cache" }
    if let mine, !mine.isEmpty {
      try? FileManager.default.createDirectory(atPath: mine, withIntermediateDirectories: true)
      if access(mine, W_OK) == 0 { return }
    }
    let caches = URL(fileURLWithPath: folder).path + "/caches"
    setenv("XDG_CACHE_HOME", caches, 1)
    setenv("CUDA_CACHE_PATH", caches + "/nvidia", 0)
  }

  /// Writes the Python programs that the report runs.
  static func writePeers(into folder: String) throws {
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      for index in 0..<peer_scripts_count() {
        guard let name = peer_scripts_name(index), let text = peer_scripts_text(index) else { continue }
        try Data(String(cString: text).utf8).write(to: URL(fileURLWithPath: folder + "/" + String(cString: name)))
      }
    } catch { throw EngineError.file(path: folder, problem: "cannot be written: \(systemReason(error))") }
  }
}
