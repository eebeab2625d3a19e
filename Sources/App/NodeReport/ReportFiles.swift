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
  private(set) var records: [SectionRecord] = []

  var lines: String { folder + "/report.jsonl" }
  var page: String { folder + "/report.md" }

  /// - Parameter resuming: takes the sections that are done from a report in the folder; the others may be added anew.
  /// - Throws: where the folder cannot be made, or holds a report and this does not go on with it.
  init(folder: String, heading: String, resuming: Bool = false) throws {
    self.folder = folder
    self.heading = heading
    do { try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true) } catch {
      throw EngineError.file(path: folder, problem: "cannot be made: \(systemReason(error))")
    }
    if FileManager.default.fileExists(atPath: lines) {
      guard resuming else {
        throw EngineError.file(
          path: folder, problem: "holds a report already: choose another folder with -o, or go on with it with --resume")
      }
      let text = FileManager.default.contents(atPath: lines) ?? Data()
      records = Self.done(text)
      // A line that was cut is ended, so that the next one stands alone.
      if let last = text.last, last != UInt8(ascii: "\n") { try append([UInt8(ascii: "\n")]) }
    }
    try writePage()
  }

  /// The sections of a report that came to their end. A line that was cut is none.
  private static func done(_ lines: Data) -> [SectionRecord] {
    var found: [SectionRecord] = []
    for line in lines.split(separator: UInt8(ascii: "\n")) {
      guard let json = try? JSONSerialization.jsonObject(with: line) as? [String: Any], let record = SectionRecord(json: json),
        record.outcome == .done
      else { continue }
      found.removeAll { $0.name == record.name }
      found.append(record)
    }
    return found
  }

  /// Adds a section and writes both files.
  mutating func add(_ record: SectionRecord) throws {
    records.append(record)
    let data = try JSONSerialization.data(withJSONObject: record.json, options: [.sortedKeys, .withoutEscapingSlashes])
    try append(Array(data + Data("\n".utf8)))
    try writePage()
  }

  private func append(_ line: [UInt8]) throws {
    let descriptor = open(lines, O_WRONLY | O_CREAT | O_APPEND, 0o644)
    guard descriptor >= 0 else { throw EngineError.file(path: lines, problem: "cannot be written") }
    defer { close(descriptor) }
    var written = 0
    while written < line.count {
      let count = line[written...].withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
      guard count > 0 else { throw EngineError.file(path: lines, problem: "cannot be written") }
      written += count
    }
    fsync(descriptor)
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
