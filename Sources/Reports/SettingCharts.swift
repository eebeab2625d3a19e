import Foundation
import Runs

/// Scores over two varied settings: a heat map where both have few values, points in colour where they were drawn at random.
enum SettingCharts {
  static let metrics: [(column: String, title: String)] = [("val_f1", "F1"), ("val_recall", "recall")]

  /// More values than this make no rows of cells.
  private static let mostValues = 12

  /// Every pair of varied settings, in their order.
  static func pairs(_ varied: [String]) -> [(String, String)] {
    varied.indices.flatMap { i in varied.indices.dropFirst(i + 1).map { (varied[i], varied[$0]) } }
  }

  static func over(_ x: String, _ y: String, _ records: [RunRecord]) -> [Chart] {
    metrics.compactMap { over(x, y, $0, records) }
  }

  private static func over(
    _ x: String, _ y: String, _ metric: (column: String, title: String), _ records: [RunRecord]
  ) -> Chart? {
    let points = records.compactMap { record -> (x: String, y: String, value: Double)? in
      guard let a = record.setting(x), let b = record.setting(y), let value = record.best(metric.column) else { return nil }
      return (a, b, value)
    }
    guard !points.isEmpty else { return nil }
    let (columns, rows) = (sorted(points.map(\.x)), sorted(points.map(\.y)))
    let name = "\(metric.title.lowercased())-\(x)-\(y)"
    let title = "\(metric.title) over \(x) and \(y)"
    let low = points.map(\.value).min() ?? 0, high = points.map(\.value).max() ?? 1
    // One colour needs a range too.
    let range = high - low > 1e-9 ? (low, high) : (low - 0.01, high + 0.01)
    let colours = """
      set palette defined (0 '#edf4fb', 0.5 '#6baed6', 1 '#08306b')
      set cbrange [\(range.0):\(range.1)]
      set cbtics textcolor rgb '#475467'
      set xlabel \(Gnuplot.quoted(x))
      set ylabel \(Gnuplot.quoted(y))
      unset key

      """
    guard columns.count <= mostValues, rows.count <= mostValues else {
      guard let data = numbers(points) else { return nil }
      return Chart(
        name, title: title, caption: "A point a run, coloured by its \(metric.title).", height: 300,
        script: Plot.block("d", data) + colours + scale("x", data.map { $0[0] }) + scale("y", data.map { $0[1] })
          + "set grid\nplot $d using 1:2:3 with points pt 7 ps 1.4 lc palette")
    }
    // The best run of each cell.
    var cells: [[Int]: (value: Double, count: Int)] = [:]
    for point in points {
      guard let column = columns.firstIndex(of: point.x), let row = rows.firstIndex(of: point.y) else { continue }
      let old = cells[[column, row]]
      cells[[column, row]] = (max(point.value, old?.value ?? -.infinity), (old?.count ?? 0) + 1)
    }
    let most = cells.values.map(\.count).max() ?? 1
    let data = cells.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map {
      [Double($0.key[0]), Double($0.key[1]), $0.value.value]
    }
    let middle = range.0 + 0.55 * (range.1 - range.0)
    return Chart(
      name, title: title,
      caption: most > 1 ? "Each cell: the highest of up to \(most) runs that differ in other settings." : "A cell a run.",
      height: max(230, 100 + 30 * rows.count),
      script: Plot.block("d", data) + colours + """
        unset grid
        set border 0
        set tics scale 0
        set xrange [-0.5:\(Double(columns.count) - 0.5)]
        set yrange [-0.5:\(Double(rows.count) - 0.5)]
        \(Plot.tics("x", columns))\(Plot.tics("y", rows))\
        plot $d using 1:2:(0.485):(0.485):3 with boxxyerror lc palette, \
        $d using 1:2:(sprintf('%.2f',$3)):($3>\(middle)?0xffffff:0x101828) with labels tc rgb variable font ',11'
        """)
  }

  /// Scores over the one setting that was varied.
  static func over(_ x: String, _ records: [RunRecord]) -> Chart? {
    let points = records.compactMap { record -> (x: String, f1: Double, recall: Double)? in
      guard let a = record.setting(x), let f1 = record.best("val_f1"), let recall = record.best("val_recall") else { return nil }
      return (a, f1, recall)
    }
    guard points.count > 1 else { return nil }
    let data = points.compactMap { point in Double(point.x).map { [$0, point.f1, point.recall] } }
    let plot =
      "plot $d using 1:2 with points pt 7 ps 0.9 lc rgb '\(Chart.colours[0])' title 'F1', "
      + "$d using 1:3 with points pt 5 ps 0.9 lc rgb '\(Chart.colours[1])' title 'recall'"
    let axes = "set yrange [0:1]\nset xlabel \(Gnuplot.quoted(x))\n"
    let (name, title, caption) = ("scores-\(x)", "F1 and recall over \(x)", "Points are runs, at their best epoch.")
    if data.count == points.count {
      return Chart(
        name, title: title, caption: caption, script: Plot.block("d", data) + axes + scale("x", data.map { $0[0] }) + plot)
    }
    let words = sorted(points.map(\.x))
    let places = points.map { [Double(words.firstIndex(of: $0.x) ?? 0), $0.f1, $0.recall] }
    return Chart(
      name, title: title, caption: caption,
      script: Plot.block("d", places) + axes + "set xrange [-0.5:\(Double(words.count) - 0.5)]\n" + Plot.tics("x", words) + plot)
  }

  private static func numbers(_ points: [(x: String, y: String, value: Double)]) -> [[Double]]? {
    let data = points.compactMap { point in
      Double(point.x).flatMap { x in Double(point.y).map { [x, $0, point.value] } }
    }
    return data.count == points.count ? data : nil
  }

  /// By magnitude where the values span more than one.
  private static func scale(_ axis: String, _ values: [Double]) -> String {
    guard let low = values.min(), let high = values.max() else { return "" }
    if low > 0, high / low > 30 {
      return "set logscale \(axis)\nset format \(axis) '%g'\nset \(axis)range [\(low / 1.3):\(high * 1.3)]\n"
    }
    let room = high > low ? 0.06 * (high - low) : 0.5
    return "set \(axis)range [\(low - room):\(high + room)]\n"
  }

  /// Each value once, as numbers where all are.
  private static func sorted(_ values: [String]) -> [String] {
    let once = Array(Set(values))
    let numbers = once.compactMap { Double($0) }
    guard numbers.count == once.count else { return once.sorted() }
    return once.sorted { (Double($0) ?? 0) < (Double($1) ?? 0) }
  }
}
