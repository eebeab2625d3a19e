import Foundation
import Yams

/// Columns of numbers by name: what `history.csv` holds, whatever its columns.
public struct HistoryTable: Sendable, Equatable {
  /// Columns in their order.
  public private(set) var names: [String] = []
  private var columns: [String: [Double?]] = [:]
  public private(set) var count = 0

  public init() {}

  /// Columns of one length; shorter ones are filled up with nothing.
  public init(_ series: [(name: String, values: [Double?])]) {
    names = series.map(\.name)
    count = series.map(\.values.count).max() ?? 0
    for (name, values) in series { columns[name] = values + Array(repeating: nil, count: count - values.count) }
  }

  /// Reads comma-separated values below a line of names. Cells that hold no finite number are empty.
  public init(csv text: String) {
    let lines = CSV.rows(text)
    let series = (lines.first ?? []).enumerated().map { column, name in
      let cells = lines.dropFirst().map { column < $0.count ? Double($0[column]) : nil }
      return (name: name, values: cells.map { $0.flatMap { $0.isFinite ? $0 : nil } })
    }
    self.init(series)
  }

  /// The values of a column; empty cells where there is no such column.
  public subscript(_ name: String) -> [Double?] { columns[name] ?? Array(repeating: nil, count: count) }

  /// Whether a column holds any number.
  public func has(_ name: String) -> Bool { (columns[name] ?? []).contains { $0 != nil } }
}

/// A run as its folder tells it, finished or not.
public struct RunRecord: Sendable {
  public enum Status: Sendable, Equatable {
    case finished
    /// It has begun, and epochs are missing: interrupted, or at work now.
    case unfinished
    case failed(String)
    /// Nothing was trained yet.
    case waiting

    public var word: String {
      switch self {
      case .finished: "finished"
      case .unfinished: "unfinished"
      case .failed: "failed"
      case .waiting: "waiting"
      }
    }
  }

  public struct Setting: Sendable, Equatable {
    public let name: String
    public let value: String
    package init(name: String, value: String) { (self.name, self.value) = (name, value) }
  }

  public let name: String
  /// Its folder, or the file that it was read from.
  public let path: String
  public let settings: [Setting]
  public let status: Status
  public let history: HistoryTable
  /// As the log of its steps names it.
  public let device: String?

  package init(
    name: String, path: String, settings: [Setting], status: Status, history: HistoryTable, device: String? = nil
  ) {
    (self.name, self.path, self.settings, self.status, self.history, self.device) =
      (name, path, settings, status, history, device)
  }

  /// The same run under another name.
  package func named(_ name: String) -> RunRecord {
    RunRecord(name: name, path: path, settings: settings, status: status, history: history, device: device)
  }

  public func setting(_ name: String) -> String? { settings.first { $0.name == name }?.value }

  /// The row of the history that the best model is of: by validation F1, without one by training loss.
  public var bestRow: Int? {
    func best(_ column: String, _ isBetter: (Double, Double) -> Bool) -> Int? {
      var found: (row: Int, value: Double)?
      for (row, value) in history[column].enumerated() {
        guard let value else { continue }
        if found.map({ isBetter(value, $0.value) }) ?? true { found = (row, value) }
      }
      return found?.row
    }
    return best("val_f1", >) ?? best("train_loss", <)
  }

  public func best(_ column: String) -> Double? { bestRow.flatMap { history[column][$0] } }
  public func last(_ column: String) -> Double? { history[column].last ?? nil }
  public var seconds: Double? {
    history.has("seconds") ? history["seconds"].reduce(0) { $0 + ($1 ?? 0) } : nil
  }

  /// The defaults of settings beside the patch size of a run, which some follow; empty for settings of another program.
  package static func defaults(besides record: RunRecord) -> [String: String] {
    guard record.settings.contains(where: { $0.name == "base" }) else { return [:] }
    var options = RunOptions()
    options.patch = record.setting("patch").flatMap { Int($0) }
    options.batch = record.setting("micro_batch") == record.setting("batch") ? record.setting("batch").flatMap { Int($0) } : nil
    var usual = (try? RunConfiguration(options).options.scalars()) ?? [:]
    usual["batch"] = usual.isEmpty ? nil : "1"
    return usual
  }

  /// Whether a folder looks like one of a run.
  public static func isRun(_ path: String) -> Bool {
    RunDirectory.exists(path + "/config.yaml")
      && (RunDirectory.exists(path + "/history.csv") || RunDirectory.exists(path + "/failed.txt"))
  }

  /// Reads a run's folder.
  ///
  /// - Throws: `.file` for a config.yaml or history.csv that is there and cannot be read.
  public init(folder path: String) throws(RunError) {
    let directory = RunDirectory(path)
    var settings: [Setting] = []
    // Other than RunOptions.parse this takes the settings of a newer program too.
    for file in [directory.configuration, directory.job] where RunDirectory.exists(file) {
      let text = try RunDirectory.read(file)
      let node: Node?
      do { node = try Yams.compose(yaml: text) } catch { throw .file(path: file, problem: "is not YAML") }
      for (key, value) in node?.mapping ?? [:] {
        guard let name = key.string else { continue }
        settings.append(Setting(name: name, value: value.settingText))
      }
    }
    let history =
      RunDirectory.exists(directory.history) ? HistoryTable(csv: try RunDirectory.read(directory.history)) : HistoryTable()
    let name = URL(fileURLWithPath: path).standardizedFileURL.lastPathComponent
    let failure = RunDirectory.exists(directory.failure) ? try RunDirectory.read(directory.failure) : nil
    self.init(
      name: name, path: path, settings: settings, status: .waiting, history: history, device: Self.device(directory.log))
    let status: Status =
      if let failure { .failed(failure.trimmingCharacters(in: .whitespacesAndNewlines)) } else if isComplete { .finished } else {
        history.count > 0 || directory.canResume ? .unfinished : .waiting
      }
    self.init(name: name, path: path, settings: settings, status: status, history: history, device: device)
  }

  /// All epochs are there, or as many without a better one as stop a run early.
  private var isComplete: Bool {
    let epochs = history["epoch"].compactMap { $0 }
    guard let last = epochs.last, let wanted = setting("epochs").flatMap({ Double($0) }) else { return false }
    if last >= wanted { return true }
    guard let patience = setting("early_stop").flatMap({ Double($0) }), patience > 0, let best = best("epoch") else {
      return false
    }
    return last - best >= patience
  }

  private static func device(_ log: String) -> String? {
    struct Step: Decodable { let device: String }
    guard let handle = FileHandle(forReadingAtPath: log) else { return nil }
    defer { try? handle.close() }
    guard let start = try? handle.read(upToCount: 4096) else { return nil }
    let line = start.prefix { $0 != UInt8(ascii: "\n") }
    return try? JSONDecoder().decode(Step.self, from: Data(line)).device
  }
}

extension RunDirectory {
  /// Why the run of a sweep failed, in a sentence; gone once it is tried again.
  public var failure: String { path + "/failed.txt" }
  /// What a sweep knows of a run beside its settings: the data set, and the patches' overlap.
  public var job: String { path + "/job.yaml" }
}

extension Node {
  /// A setting's value as text: numbers as people write them, lists with commas.
  var settingText: String {
    if let sequence { return sequence.map(\.settingText).joined(separator: ", ") }
    guard let scalar else { return "" }
    if tag == Tag(.str) { return scalar.string }
    return Double(scalar.string).map(decimal) ?? scalar.string
  }
}

/// Comma-separated values, RFC 4180.
package enum CSV {
  package static func field(_ text: String) -> String {
    text.contains { ",\"\n\r".contains($0) } ? "\"" + text.replacing("\"", with: "\"\"") + "\"" : text
  }

  package static func line(_ fields: [String]) -> String { fields.map(field).joined(separator: ",") }

  /// Rows of fields; empty lines are left out.
  package static func rows(_ text: String) -> [[String]] {
    var rows: [[String]] = []
    var row: [String] = []
    var field = ""
    var isQuoted = false
    var previous: Character?
    for character in text {
      if isQuoted {
        if character == "\"" { isQuoted = false } else { field.append(character) }
      } else if character == "\"" {
        // A quote again right behind a closing one is a quote of the text.
        if previous == "\"" { field.append("\"") }
        isQuoted = true
      } else if character == "," {
        row.append(field)
        field = ""
      } else if character.isNewline {
        if !row.isEmpty || !field.isEmpty { rows.append(row + [field]) }
        (row, field) = ([], "")
      } else {
        field.append(character)
      }
      previous = character
    }
    if !row.isEmpty || !field.isEmpty { rows.append(row + [field]) }
    return rows
  }
}
