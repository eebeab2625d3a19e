public import Datasets
import Foundation
import Images
public import Runs

/// A page about a run or several, and the same charts as files.
public struct Report: Sendable {
  /// A segmented slide in small.
  public struct Slide: Sendable {
    public let name: String
    /// Glomeruli that were found; nil where its summary is missing.
    public let glomeruli: Int?
    /// A JPEG file's bytes.
    public let picture: [UInt8]
  }

  /// In the order in which they were given.
  public let records: [RunRecord]
  /// What could not be read, a sentence each.
  public var problems: [String] = []
  /// Of the best run's model.
  public var findings: ModelFindings?
  /// Why there are no findings, a sentence.
  public var withoutFindings =
    "The precision–recall curve and patches need the data set and the best model: give the folder with --data."
  /// The split that findings are of.
  public var split = "validation"
  public var data: DatasetInspection?
  public var slides: [Slide] = []
  /// Pairs of settings for heat maps; nil for all that were varied.
  public var pairs: [(x: String, y: String)]?

  public init(_ records: [RunRecord]) { self.records = records }

  /// The run that the page shows in full: of the highest validation F1, without one of the lowest training loss.
  public var best: RunRecord? { ranked.first { $0.bestRow != nil } ?? records.first }

  var ranked: [RunRecord] {
    func score(_ record: RunRecord) -> Double {
      record.best("val_f1") ?? record.best("train_loss").map { -$0 - 1e6 } ?? -.infinity
    }
    return records.enumerated().sorted { (score($0.element), $1.offset) > (score($1.element), $0.offset) }.map(\.element)
  }

  var table: ResultsTable { ResultsTable(records) }
  private static let curvesShown = 6
  /// Heat maps that are open on the page.
  static let pairsShown = 3

  /// Of all runs together.
  var comparisons: [Chart] {
    guard records.count > 1 else { return [] }
    let top = ranked.prefix(Self.curvesShown).enumerated().map { (label: label($1, rank: $0 + 1), record: $1) }
    return [HistoryCharts.best(top)].compactMap { $0 }
  }

  /// Scores over settings, by pair.
  var settingCharts: [[Chart]] {
    guard records.count > 1 else { return [] }
    let varied = table.varied.filter { $0 != "data" }
    if let pairs { return pairs.map { SettingCharts.over($0.x, $0.y, records) } }
    if varied.count == 1 { return [[SettingCharts.over(varied[0], records)].compactMap { $0 }] }
    return SettingCharts.pairs(varied).map { SettingCharts.over($0.0, $0.1, records) }.filter { !$0.isEmpty }
  }

  /// Of the run that is shown in full.
  var curves: [Chart] {
    guard let best else { return [] }
    return HistoryCharts.all(best) + [HistoryCharts.groups(groups)].compactMap { $0 }
  }

  var groups: [GroupScores] { best.map { GroupScores.read(RunDirectory($0.path).groupHistory) } ?? [] }

  /// All charts, by names that differ.
  public var charts: [Chart] {
    comparisons + settingCharts.flatMap { $0 } + curves + [findings?.curve.chart].compactMap { $0 }
  }

  /// A run by what tells it from the others.
  private func label(_ record: RunRecord, rank: Int) -> String {
    let words = table.varied.prefix(5).compactMap { name in
      record.setting(name).map { (RunName.letters(name) ?? name + " ") + $0 }
    }
    return "\(rank). " + (words.isEmpty ? record.name : words.joined(separator: ", "))
  }

  /// Writes the charts as SVG and PNG, and the table of runs, into a folder.
  ///
  /// - Returns: the files' names.
  public func writeFigures(to folder: String) throws -> [String] {
    let charts = charts
    do { try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true) } catch {
      throw RunError.file(path: folder, problem: "cannot be made: \(error.localizedDescription)")
    }
    try Chart.draw(charts, formats: Chart.Format.allCases, into: folder)
    try table.write(to: folder + "/results.csv")
    for (index, patch) in (findings?.patches ?? []).enumerated() {
      try FileBytes.write(patch.picture, to: "\(folder)/patch-\(index + 1)-\(patch.rank.rawValue).jpg")
    }
    return charts.flatMap { chart in Chart.Format.allCases.map { "\(chart.name).\($0.rawValue)" } } + ["results.csv"]
  }
}
