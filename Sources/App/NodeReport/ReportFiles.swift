import Engine
import Foundation
import Runs

/// `report.jsonl` and `report.md`, whole after every section.
///
/// The first gets a line for each section, written at once and synced; the second is written anew under another name and
/// renamed. Whatever ends the program, what it had is there.
struct ReportFiles {
  let folder: String
  private let heading: String
  private var records: [SectionRecord] = []

  var lines: String { folder + "/report.jsonl" }
  var page: String { folder + "/report.md" }

  /// - Throws: where the folder cannot be made, or holds a report.
  init(folder: String, heading: String) throws {
    self.folder = folder
    self.heading = heading
    do { try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true) } catch {
      throw EngineError.file(path: folder, problem: "cannot be made: \(systemReason(error))")
    }
    guard !FileManager.default.fileExists(atPath: lines) else {
      throw EngineError.file(path: folder, problem: "holds a report already: choose another folder with -o")
    }
    try writePage()
  }

  /// Adds a section and writes both files.
  mutating func add(_ record: SectionRecord) throws {
    records.append(record)
    let data = try JSONSerialization.data(withJSONObject: record.json, options: [.sortedKeys, .withoutEscapingSlashes])
    let descriptor = open(lines, O_WRONLY | O_CREAT | O_APPEND, 0o644)
    guard descriptor >= 0 else { throw EngineError.file(path: lines, problem: "cannot be written") }
    defer { close(descriptor) }
    let line = Array(data + Data("\n".utf8))
    var written = 0
    while written < line.count {
      let count = line[written...].withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
      guard count > 0 else { throw EngineError.file(path: lines, problem: "cannot be written") }
      written += count
    }
    fsync(descriptor)
    try writePage()
  }

  private func writePage() throws {
    do { try Data(text.utf8).write(to: URL(fileURLWithPath: page), options: .atomic) } catch {
      throw EngineError.file(path: page, problem: "cannot be written: \(systemReason(error))")
    }
  }

  private var text: String {
    var parts = ["# glomseg on one machine", heading]
    if !records.isEmpty {
      parts.append(
        Self.table(
          ["section", "outcome", "seconds", ""],
          records.map { [$0.name, $0.outcome.rawValue, String(format: "%.1f", $0.seconds), Self.brief($0.reason)] }))
    }
    let steps = ReportSummary.steps(records)
    if !steps.isEmpty {
      parts.append(
        "## Steps\n\nMedians. Error: of a convolution and its gradients against double precision. PyTorch's steps were timed in turn "
          + "with glomseg's, pair by pair. Compared: PyTorch's median over glomseg's of the same pairs, with the least and the "
          + "greatest ratio of a pair; above 1, glomseg is faster.")
      if let absent = ReportSummary.peerAbsent(records) { parts.append("Nothing of PyTorch: \(absent).") }
      parts.append(Self.table(["", "size", "seconds", "error", "compared", "memory", "launches, the host's time"], steps))
    }
    let memory = ReportSummary.memory(records)
    if !memory.isEmpty {
      parts.append("## Memory")
      parts.append(
        Self.table(["step", "planned", "process grew by", "GPUs' memory in use grew by, with the driver's own"], memory))
    }
    for record in records where record.outcome != .skipped {
      parts.append("## \(record.title)")
      parts.append(record.commands.map { "`\($0.replacing("`", with: "'"))`" }.joined(separator: "  \n"))
      if !record.reason.isEmpty { parts.append("\(record.outcome.rawValue): \(Self.brief(record.reason))") }
      // A page to read: the ends of long texts; all of them stand in report.jsonl.
      let limit = 12_000
      let shown = record.text.count > limit ? "…\n" + record.text.suffix(limit) : Substring(record.text)
      if !shown.isEmpty { parts.append("```\n\(shown.replacing("```", with: "'''"))\n```") }
    }
    return parts.filter { !$0.isEmpty }.joined(separator: "\n\n") + "\n"
  }

  private static func brief(_ reason: String) -> String {
    String(reason.replacing("\n", with: " ").replacing("|", with: "/").prefix(300))
  }

  private static func table(_ header: [String], _ rows: [[String]]) -> String {
    ([header, header.map { _ in "---" }] + rows).map { "| " + $0.joined(separator: " | ") + " |" }.joined(separator: "\n")
  }
}
