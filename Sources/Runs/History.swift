/// What an epoch gave.
public struct EpochRecord: Sendable, Equatable {
  public let epoch: Int
  /// Nil where every batch was left out, as not finite.
  public let trainLoss: Double?
  public let validation: PixelScores?
  /// Share of the validation pixels whose decision differs from the epoch before; nil in the first epoch.
  public let changed: Double?
  public let learningRate: Double
  public let seconds: Double
}

/// Scores pooled over pixels, and the mean of patches' Dice.
public struct PixelScores: Codable, Sendable, Equatable {
  public let accuracy: Double
  public let precision: Double
  public let recall: Double
  public let f1: Double
  public let diceMean: Double
  public let patches: Int
}

/// `history.csv`: a line an epoch; and `groups.csv`: a line an epoch and group of the validation split.
public struct History: Sendable {
  static let header =
    "epoch,train_loss,val_accuracy,val_precision,val_recall,val_f1,val_dice_mean,learning_rate,seconds,val_changed"
    + ",val_f1_swing,val_precision_swing,val_recall_swing"
  static let groupHeader = "epoch,group,patches,accuracy,precision,recall,f1,dice_mean"
  public private(set) var records: [EpochRecord] = []
  private var groupLines: [(epoch: Int, text: String)] = []

  mutating func add(_ record: EpochRecord, groups: [String: PixelScores]) {
    records.append(record)
    for (name, scores) in groups.sorted(by: { $0.key < $1.key }) {
      let field = name.contains { ",\"\n".contains($0) } ? "\"\(name.replacing("\"", with: "\"\""))\"" : name
      let values = [scores.accuracy, scores.precision, scores.recall, scores.f1, scores.diceMean].map { "\($0)" }
      let line = ["\(record.epoch)", field, "\(scores.patches)"] + values
      groupLines.append((record.epoch, line.joined(separator: ",")))
    }
  }

  /// - Parameter previous: the epoch before, from which the scores' swings are taken: the sizes of their steps, empty without one.
  static func line(_ record: EpochRecord, after previous: EpochRecord?) -> String {
    let scores = record.validation.map { [$0.accuracy, $0.precision, $0.recall, $0.f1, $0.diceMean].map { "\($0)" } }
    let fields =
      ["\(record.epoch)", record.trainLoss.map { "\($0)" } ?? ""] + (scores ?? Array(repeating: "", count: 5))
      + ["\(record.learningRate)", "\(record.seconds)", record.changed.map { "\($0)" } ?? ""]
      + swings(previous?.validation, record.validation)
    return fields.joined(separator: ",")
  }

  private static func swings(_ before: PixelScores?, _ now: PixelScores?) -> [String] {
    guard let before, let now else { return ["", "", ""] }
    return [now.f1 - before.f1, now.precision - before.precision, now.recall - before.recall].map { "\($0.magnitude)" }
  }

  private var text: String {
    let lines = zip(records, [nil] + records).map { Self.line($0, after: $1) }
    return ([Self.header] + lines).joined(separator: "\n") + "\n"
  }
  private var groupText: String { ([Self.groupHeader] + groupLines.map(\.text)).joined(separator: "\n") + "\n" }

  func write(to run: RunDirectory) throws(RunError) {
    try RunDirectory.write(text, to: run.history)
    try RunDirectory.write(groupText, to: run.groupHistory)
  }

  /// Reads the epochs before `epoch`, so that a resumed run goes on from there.
  static func read(_ run: RunDirectory, before epoch: Int) throws(RunError) -> History {
    var history = History()
    if RunDirectory.exists(run.groupHistory) {
      for line in try RunDirectory.read(run.groupHistory).split(separator: "\n").dropFirst() {
        guard let index = Int(line.prefix { $0 != "," }), index < epoch else { continue }
        history.groupLines.append((index, String(line)))
      }
    }
    let path = run.history
    guard RunDirectory.exists(path) else { return history }
    for (number, line) in try RunDirectory.read(path).split(separator: "\n").enumerated() where number > 0 {
      let fields = line.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
      // Runs of version 0.1.0's first days lack the last column or the last four. Swings are made again of the scores.
      guard [9, 10, 13].contains(fields.count), let index = Int(fields[0]), fields[1].isEmpty || Double(fields[1]) != nil,
        let rate = Double(fields[7]),
        let seconds = Double(fields[8])
      else { throw .file(path: path, problem: "line \(number + 1) is not a line of glomseg's") }
      guard index < epoch else { break }
      let values = fields[2..<7].compactMap(Double.init)
      let scores =
        values.count == 5
        ? PixelScores(
          accuracy: values[0], precision: values[1], recall: values[2], f1: values[3], diceMean: values[4], patches: 0)
        : nil
      history.records.append(
        EpochRecord(
          epoch: index, trainLoss: Double(fields[1]), validation: scores, changed: fields.count > 9 ? Double(fields[9]) : nil,
          learningRate: rate, seconds: seconds))
    }
    return history
  }
}
