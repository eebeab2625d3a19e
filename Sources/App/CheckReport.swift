import Engine
import Foundation
import OpSuite

/// What a check found: a line for each case on each device.
struct CheckReport {
  /// A case of the catalogue or of a golden file, on a device.
  struct Entry: Sendable {
    enum Outcome: String, Sendable { case passed, failed, skipped }

    let name: String
    /// Groups the table: `convolution`, or `golden/conv2d`.
    let operation: String
    let device: String
    let outcome: Outcome
    /// The largest error and its bound of the tensor nearest to, or furthest beyond, its bound; zero where nothing was
    /// compared.
    var error = 0.0
    var bound = 0.0
    /// What went wrong, one sentence each.
    var problems: [String] = []
    var seconds = 0.0

    /// Error over bound: 0 is exact, up to 1 passes.
    var ratio: Double { error == 0 ? 0 : error / bound }
  }

  /// A device and what its driver calls itself.
  struct Device: Sendable {
    let name: String
    var platform = ""
    var driver = ""
  }

  private(set) var devices: [Device] = []
  private(set) var entries: [Entry] = []

  mutating func begin(_ device: Device) { devices.append(device) }
  mutating func add(_ entry: Entry) { entries.append(entry) }

  func count(_ outcome: Entry.Outcome, on device: String? = nil) -> Int {
    entries.reduce(0) { $0 + ($1.outcome == outcome && (device == nil || $1.device == device) ? 1 : 0) }
  }

  /// Whether everything was right: a check of nothing isn't.
  var passed: Bool { count(.failed) == 0 && count(.passed) > 0 }

  /// A line for each reason for which cases were not run.
  var skipped: [String] {
    let reasons = Dictionary(grouping: entries.filter { $0.outcome == .skipped }) { $0.problems.joined(separator: ", ") }
    return reasons.sorted { $0.key < $1.key }.map { reason, entries in
      let names = entries.count > 3 ? "\(entries.count) cases" : entries.map(\.name).joined(separator: ", ")
      return "skipped: \(names): \(reason)"
    }
  }

  /// A line for each operation on each device, then one for each device.
  func summary() -> String {
    var rows: [[String]] = []
    for device in devices {
      let mine = entries.filter { $0.device == device.name }
      for (operation, group) in Dictionary(grouping: mine, by: \.operation).sorted(by: { $0.key < $1.key }) {
        rows.append([operation, device.name] + Self.cells(group))
      }
      rows.append(["all", device.name] + Self.cells(mine))
    }
    return table(["operation", "device", "passed", "failed", "skipped", "worst error/bound", "seconds"], rows)
  }

  private static func cells(_ group: [Entry]) -> [String] {
    func count(_ outcome: Entry.Outcome) -> String { String(group.filter { $0.outcome == outcome }.count) }
    let worst = group.map(\.ratio).max() ?? 0
    return [
      count(.passed), count(.failed), count(.skipped), worst.isFinite ? String(format: "%.2f", worst) : "not a number",
      String(format: "%.1f", group.reduce(0) { $0 + $1.seconds }),
    ]
  }
}

extension CheckReport.Entry {
  init(_ result: CaseResult, operation: String) {
    let failures = result.problems + result.tensors.filter { !$0.passed }.map(\.description)
    self.init(
      name: result.name, operation: operation, device: result.device,
      outcome: result.skipReason != nil ? .skipped : result.passed ? .passed : .failed,
      error: result.worst?.error ?? 0, bound: result.worst?.bound ?? 0,
      problems: result.passed || !failures.isEmpty ? failures : ["nothing was compared"], seconds: result.elapsedSeconds)
  }

  init(_ result: GoldenRunner.Result, name: String, operation: String) {
    let failures = result.problems + result.comparisons.filter { !$0.passed }.map(\.description)
    self.init(
      name: name, operation: operation, device: result.device, outcome: result.passed ? .passed : .failed,
      error: result.worst?.error ?? 0, bound: result.worst?.bound ?? 0,
      problems: result.passed || !failures.isEmpty ? failures : ["nothing was compared"], seconds: result.elapsedSeconds)
  }

  /// The name, and what went wrong a line each.
  var description: String {
    (["\(name) on \(device): \(outcome.rawValue)"] + problems.map { "  \($0)" }).joined(separator: "\n")
  }
}
