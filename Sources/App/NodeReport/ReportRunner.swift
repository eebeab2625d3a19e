import Engine
import Foundation
import Runs

/// Runs sections one after the other within a budget, and writes each as it ends.
struct ReportRunner {
  private(set) var files: ReportFiles
  private(set) var records: [SectionRecord] = []
  /// On the monotonic clock.
  let deadline: Double
  var shouldStop: () -> Bool = { Interrupt.isRequested }
  /// Called after each section, once its record is on disk.
  var report: (SectionRecord) -> Void = { _ in }

  init(files: ReportFiles, seconds: Double) {
    self.files = files
    // What may have changed since is asked anew: drivers, and what is installed.
    records = files.records.filter { !["gpus", "devices", "torch"].contains($0.name) }
    deadline = monotonicSeconds() + seconds
  }

  /// Each gets what is left without what is kept for those after it. What a report that this goes on with has done stays as it is.
  mutating func run(_ sections: [ReportSection]) throws {
    let sections = sections.filter { section in !records.contains { $0.name == section.name } }
    for (index, section) in sections.enumerated() {
      try add(run(section, keeping: sections[(index + 1)...].reduce(0) { $0 + $1.kept }))
    }
  }

  mutating func add(_ record: SectionRecord) throws {
    records.append(record)
    try files.add(record)
    report(record)
  }

  private func run(_ section: ReportSection, keeping kept: Double) -> SectionRecord {
    var record = SectionRecord(name: section.name, title: section.title, outcome: .skipped)
    let left = max(0, deadline - monotonicSeconds() - kept)
    if shouldStop() {
      record.reason = "the report was interrupted"
    } else if let reason = section.reasonToSkip(records) {
      record.reason = reason
    } else if left < section.least {
      record.reason = String(format: "%.0f s of the budget are left for it, and it needs %.0f", left, section.least)
    } else if let missing = section.commands.first(where: { !$0[0].contains("/") && ChildProcess.find($0[0]) == nil }) {
      record.reason = "\(missing[0]) is not on the PATH"
    } else {
      work(on: section, for: min(left, section.most), &record)
    }
    return record
  }

  private func work(on section: ReportSection, for limit: Double, _ record: inout SectionRecord) {
    record.outcome = .done
    let start = monotonicSeconds()
    let memory = section.watchesMemory ? DeviceMemory() : nil
    for command in section.commands(within: limit) {
      record.commands.append(Self.shown(command))
      do {
        let child = try ChildProcess.run(
          command, in: files.folder, seconds: max(0, start + limit - monotonicSeconds()), shouldStop: shouldStop,
          meanwhile: { memory?.look() })
        record.take(child)
        switch child.end {
        case .exited(0): continue
        case .stopped(status: 0) where section.endsAtLimit: continue
        case .exited(let status): record.fail("it ended with status \(status)", child)
        case .signalled(let signal): record.fail("it was ended by signal \(signal)", child)
        case .stopped:
          record.outcome = .cut
          record.reason = String(format: "stopped after %.0f s", child.seconds)
        }
      } catch {
        record.outcome = .failed
        record.reason = "\(command[0]) could not be run: \(systemReason(error))"
      }
      break
    }
    record.seconds = monotonicSeconds() - start
    if let used = memory?.grown { record.results.append(["benchmark": "device memory", "bytes_grown": used]) }
    if record.outcome == .done { record.reason = section.remark(record.results) }
    let more = section.afterwards()
    if !more.isEmpty { record.text += (record.text.isEmpty ? "" : "\n") + more }
  }

  private static func shown(_ command: [String]) -> String {
    command.enumerated().map { index, word in
      let word = index == 0 ? String(word.split(separator: "/").last ?? "") : word
      return word.contains(" ") || word.contains("\n") ? "'\(word.prefix(60))'" : word
    }.joined(separator: " ")
  }
}

extension ReportSection {
  /// What to run where it may take `seconds`.
  func commands(within seconds: Double) -> [[String]] {
    guard let tellsPart, let last = commands.last else { return commands }
    return commands.dropLast() + [last + ["--seconds", String(format: "%.0f", max(1, tellsPart * seconds))]]
  }
}

extension SectionRecord {
  /// The program's own last sentence says more than its status.
  fileprivate mutating func fail(_ status: String, _ child: ChildProcess) {
    outcome = .failed
    let last = child.said.split(separator: "\n").last.map { String($0.trimmingPrefix("glomseg: ")) }
    reason = [last, status].compactMap(\.self).joined(separator: "; ")
  }
}

/// What NVIDIA's GPUs have in use, watched from outside: OpenCL does not tell.
private final class DeviceMemory {
  private var program = ChildProcess.find("nvidia-smi")
  private var before: Int?
  private var most = 0
  private var lastLook = 0.0

  init() {
    before = used()
    most = before ?? 0
  }

  /// Bytes beyond what was in use at the start, at most; nil where nobody tells.
  var grown: Int? { before.map { most - $0 } }

  func look() {
    guard before != nil, monotonicSeconds() - lastLook > 2 else { return }
    lastLook = monotonicSeconds()
    most = max(most, used() ?? 0)
  }

  private func used() -> Int? {
    guard let program else { return nil }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = ["--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    let out = Pipe()
    process.standardOutput = out
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return nil }
    // Its answer is a line a GPU, which the pipe holds. Where the driver hangs it hangs too, and is not asked again.
    let start = monotonicSeconds()
    while process.isRunning && monotonicSeconds() - start < 3 { usleep(5000) }
    guard !process.isRunning else {
      kill(process.processIdentifier, SIGKILL)
      self.program = nil
      return nil
    }
    let text = String(decoding: out.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    let numbers = text.split(whereSeparator: \.isNewline).compactMap { Int($0.trimmingCharacters(in: .whitespaces)) }
    return process.terminationStatus == 0 && !numbers.isEmpty ? numbers.reduce(0, +) << 20 : nil
  }
}
