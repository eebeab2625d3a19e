/// A line a run: what was varied, how far it came, its best and its last scores.
public struct ResultsTable: Sendable {
  public let records: [RunRecord]
  /// The settings that are columns.
  public let varied: [String]

  /// Scores that are columns, as `best_…` at the epoch of the best validation F1 and `last_…`.
  static let scores = ["val_f1", "val_precision", "val_recall", "val_dice_mean", "val_accuracy", "train_loss"]

  /// - Parameter varied: nil for the settings that are not the same in all runs.
  public init(_ records: [RunRecord], varied: [String]? = nil) {
    self.records = records
    self.varied = varied ?? Self.varied(records)
  }

  /// Settings of which runs say different things, in the order in which they come first. One that some runs do not know, as
  /// those of the PyTorch project know few, is not varied by that: every pair of them would be a heat map.
  static func varied(_ records: [RunRecord]) -> [String] {
    var names: [String] = []
    var values: [String: Set<String>] = [:]
    for record in records {
      for setting in record.settings {
        if values[setting.name] == nil { names.append(setting.name) }
        values[setting.name, default: []].insert(setting.value)
      }
    }
    return names.filter { values[$0, default: []].count > 1 && !RunName.unnamed.contains($0) }
  }

  /// The text of `results.csv`.
  public var csv: String {
    let header =
      ["run", "status"] + varied + ["epochs_done", "best_epoch"] + Self.scores.map { "best_" + $0 }
      + Self.scores.map { "last_" + $0 } + ["seconds", "device", "problem"]
    func text(_ value: Double?) -> String { value.map(decimal) ?? "" }
    let lines = records.map { record in
      var problem = ""
      if case .failed(let reason) = record.status { problem = reason.split(separator: "\n").joined(separator: " ") }
      return [record.name, record.status.word] + varied.map { record.setting($0) ?? "" }
        + [text(record.last("epoch")), text(record.best("epoch"))] + Self.scores.map { text(record.best($0)) }
        + Self.scores.map { text(record.last($0)) } + [text(record.seconds), record.device ?? "", problem]
    }
    return ([header] + lines).map { CSV.line($0) + "\n" }.joined()
  }

  public func write(to path: String) throws(RunError) { try RunDirectory.write(csv, to: path) }
}
