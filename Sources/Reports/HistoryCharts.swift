import Foundation
import Runs

/// Curves over the epochs of one run.
enum HistoryCharts {
  /// Columns that have a chart together or none; every other column gets one of its own.
  private static let known: Set<String> = [
    "epoch", "train_loss", "val_loss", "val_accuracy", "val_precision", "val_recall", "val_f1", "val_dice_mean", "learning_rate",
    "seconds", "val_changed", "val_f1_swing", "val_precision_swing", "val_recall_swing",
  ]

  static func all(_ record: RunRecord) -> [Chart] {
    let history = record.history
    guard history.count > 0 else { return [] }
    var charts = [
      lines(
        record, "loss", "Loss", [("train_loss", "training"), ("val_loss", "validation")],
        caption: "Mean over an epoch's \(history.has("val_loss") ? "" : "training ")patches."),
      lines(
        record, "scores", "Validation scores",
        [("val_f1", "F1"), ("val_precision", "precision"), ("val_recall", "recall"), ("val_dice_mean", "Dice of patches")],
        caption: "Pooled over pixels at a threshold of 0.5; Dice is the mean of patches. The line stands at the best epoch.",
        range: "[0:1]"),
      lines(
        record, "flip-flop", "Flip-flop", [("val_changed", "changed")],
        caption: "Validation pixels whose decision differs from the epoch before.", scale: 100, format: "%g%%"),
      swing(record),
    ]
    let rates = Set(history["learning_rate"].compactMap { $0 })
    if rates.count > 1 { charts.append(lines(record, "learning-rate", "Learning rate", [("learning_rate", "learning rate")])) }
    for name in history.names where !known.contains(name) {
      charts.append(
        lines(record, "column-" + name.filter { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }, name, [(name, name)]))
    }
    return charts.compactMap { $0 }
  }

  /// Steps of the validation scores between epochs. Made of the scores, not of their columns, which results of the PyTorch
  /// project and older runs lack.
  private static func swing(_ record: RunRecord) -> Chart? {
    let history = record.history
    // gnuplot gives up where a curve has no point at all.
    let scores = [("val_f1", "F1"), ("val_precision", "precision"), ("val_recall", "recall")].filter { name, _ in
      history.has(name) && zip(history[name], history[name].dropFirst()).contains { $0 != nil && $1 != nil }
    }
    guard history.count > 1, !scores.isEmpty else { return nil }
    let epochs = epochs(history)
    let rows = (1..<history.count).map { row in
      [epochs[row]]
        + scores.map { name, _ in
          guard let before = history[name][row - 1], let now = history[name][row] else { return nil }
          return abs(now - before)
        }
    }
    let plots = scores.enumerated().map { index, score in
      "$d using 1:\(index + 2) with linespoints pt 7 ps 0.4 lw 1.8 lc rgb '\(Chart.colours[index])' title \(Gnuplot.quoted(score.1))"
    }
    return Chart(
      "swing", title: "Swing of the validation scores", caption: "How far each score is from that of the epoch before.",
      script: Plot.block("d", rows) + axes(Int(record.last("epoch") ?? Double(history.count))) + "set yrange [0:*]\nplot "
        + plots.joined(separator: ", "))
  }

  /// Validation F1 of each group.
  static func groups(_ groups: [GroupScores]) -> Chart? {
    let names = GroupScores.names(groups)
    guard names.count > 1 else { return nil }
    let epochs = Set(groups.map(\.epoch)).sorted()
    var values: [Int: [String: Double]] = [:]
    for row in groups { values[row.epoch, default: [:]][row.group] = row.f1 }
    let rows = epochs.map { epoch in [Double(epoch)] + names.map { values[epoch]?[$0] } }
    let plots = names.enumerated().map { index, name in
      "$d using 1:\(index + 2) with linespoints pt 7 ps 0.4 lw 1.6 lc rgb '\(Chart.colours[index % 8])' title \(Gnuplot.quoted(name))"
    }
    return Chart(
      "groups", title: "Validation F1 by group", caption: "Pooled over each group's pixels.",
      height: 270 + 16 * ((names.count - 1) / 3),
      script: Plot.block("d", rows) + axes(epochs.last ?? 1) + "set yrange [0:1]\nplot "
        + plots.joined(separator: ", "))
  }

  /// Validation F1 of the best runs over their epochs.
  static func best(_ records: [(label: String, record: RunRecord)]) -> Chart? {
    let shown = records.filter { $0.record.history.has("val_f1") }
    guard shown.count > 1 else { return nil }
    var script = ""
    var plots: [String] = []
    for (index, (label, record)) in shown.enumerated() {
      script += Plot.block("d\(index)", zip(epochs(record.history), record.history["val_f1"]).map { [$0, $1] })
      plots.append(
        "$d\(index) using 1:2 with linespoints pt 7 ps 0.35 lw 1.6 lc rgb '\(Chart.colours[index % 8])' title \(Gnuplot.quoted(label))"
      )
    }
    let count = shown.map { Int($0.record.last("epoch") ?? Double($0.record.history.count)) }.max() ?? 1
    return Chart(
      "best-runs", title: "Validation F1 of the best runs", caption: "The \(shown.count) runs of the highest F1 at any epoch.",
      height: 250 + 16 * shown.count,
      script: script + axes(count) + "set yrange [0:1]\nset key vertical maxcols 1\nplot "
        + plots.joined(separator: ", "))
  }

  private static func epochs(_ history: HistoryTable) -> [Double?] {
    history.has("epoch") ? history["epoch"] : (1...max(1, history.count)).map { Double($0) }
  }

  private static func axes(_ count: Int) -> String {
    "set xlabel 'epoch'\nset xrange [0.5:\(Double(count) + 0.5)]\n" + (count <= 12 ? "set xtics 1\n" : "")
  }

  /// nil where the history has none of the columns.
  private static func lines(
    _ record: RunRecord, _ name: String, _ title: String, _ columns: [(column: String, label: String)], caption: String = "",
    range: String = "", scale: Double = 1, format: String = ""
  ) -> Chart? {
    let history = record.history
    let shown = columns.filter { history.has($0.column) }
    guard !shown.isEmpty else { return nil }
    let epochs = epochs(history)
    let rows = (0..<history.count).map { row in [epochs[row]] + shown.map { history[$0.column][row].map { $0 * scale } } }
    var script = Plot.block("d", rows) + axes(Int(record.last("epoch") ?? Double(history.count)))
    if !range.isEmpty { script += "set yrange \(range)\n" }
    if !format.isEmpty { script += "set format y '\(format)'\n" }
    if let best = record.best("epoch"), name == "scores" {
      script += "set arrow 1 from \(best), graph 0 to \(best), graph 1 nohead dt 2 lw 1 lc rgb '#98a2b3'\n"
    }
    if shown.count == 1 { script += "unset key\n" }
    let plots = shown.enumerated().map { index, column in
      "$d using 1:\(index + 2) with linespoints pt 7 ps 0.4 lw 1.8 lc rgb '\(Chart.colours[index])' title \(Gnuplot.quoted(column.label))"
    }
    return Chart(name, title: title, caption: caption, script: script + "plot " + plots.joined(separator: ", "))
  }
}

/// Lines of `groups.csv`.
public struct GroupScores: Sendable, Equatable {
  public let epoch: Int
  public let group: String
  public let patches: Int
  public let precision: Double
  public let recall: Double
  public let f1: Double
  public let diceMean: Double

  /// Empty where there is no such file, or of other columns.
  static func read(_ path: String) -> [GroupScores] {
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return [] }
    let rows = CSV.rows(text)
    guard let header = rows.first else { return [] }
    let places = Dictionary(header.enumerated().map { ($1, $0) }) { first, _ in first }
    return rows.dropFirst().compactMap { row in
      func field(_ name: String) -> String? { places[name].flatMap { $0 < row.count ? row[$0] : nil } }
      func number(_ name: String) -> Double? { field(name).flatMap { Double($0) } }
      guard let epoch = number("epoch"), let group = field("group"), let patches = number("patches"),
        let precision = number("precision"), let recall = number("recall"), let f1 = number("f1"), let dice = number("dice_mean")
      else { return nil }
      return GroupScores(
        epoch: Int(epoch), group: group, patches: Int(patches), precision: precision, recall: recall, f1: f1, diceMean: dice)
    }
  }

  static func names(_ rows: [GroupScores]) -> [String] { Set(rows.map(\.group)).sorted() }
}
