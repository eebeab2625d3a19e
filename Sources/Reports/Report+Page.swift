import Datasets
import Foundation
import Runs

/// The page of a report: its sections, one below the other.
extension Report {
  /// The page's text.
  public func html() throws -> String {
    var notes = problems
    var drawn: [String: String] = [:]
    do {
      let found = try Chart.inline(charts)
      drawn = found.elements
      notes += found.problems
    } catch { notes.append("There are no charts: \(error).") }
    func figures(_ charts: [Chart]) -> String {
      charts.compactMap { chart in
        drawn[chart.name].map { HTML.figure($0, title: chart.title, caption: chart.caption) }
      }.joined()
    }
    func grid(_ inner: String) -> String { inner.isEmpty ? "" : "<div class=\"figures\">\n\(inner)</div>" }

    let isSweep = records.count > 1
    let name = best?.name ?? "no run"
    var sections: [(id: String, title: String, body: String)] = []
    if isSweep {
      sections.append(("runs", "Runs", runsTable + grid(figures(comparisons))))
      let maps = settingCharts
      if !maps.isEmpty {
        let open = grid(figures(maps.prefix(Self.pairsShown).flatMap { $0 }))
        let rest = grid(figures(maps.dropFirst(Self.pairsShown).flatMap { $0 }))
        let more =
          rest.isEmpty
          ? "" : "<details><summary>\(maps.count - Self.pairsShown) more pairs of settings</summary>\(rest)</details>"
        sections.append(
          ("settings", "Scores over settings", HTML.paragraph("Validation scores of each run at its best epoch.") + open + more))
      }
    }
    let ofBest = isSweep ? " of the best run" : ""
    sections.append(("curves", "Curves" + ofBest, (isSweep ? "<p>\(HTML.name(name))</p>" : "") + curvesBody(figures, grid)))
    if let findings {
      sections.append(("thresholds", "Precision and recall" + ofBest, thresholds(findings, figures)))
      sections.append(("patches", "Patches", patches(findings)))
    } else {
      sections.append(("patches", "Precision, recall and patches", HTML.paragraph(withoutFindings)))
    }
    if !slides.isEmpty { sections.append(("slides", "Slides", slidesBody)) }
    sections.append(("data", "Data", dataBody))
    sections.append(("configuration", "Configuration" + ofBest, configuration))
    if !notes.isEmpty {
      sections.append(("notes", "Notes", "<ul>" + notes.map { "<li>\(HTML.escape($0))</li>" }.joined() + "</ul>"))
    }

    let title = isSweep ? "\(records.count) runs" : name
    let links = sections.map { "<a href=\"#\($0.id)\">\(HTML.escape($0.title))</a>" }.joined(separator: "\n")
    let subtitle = isSweep ? "Training runs compared; the best is \(name)." : "A training run of glomseg."
    let header = """
      <header><h1>\(HTML.name(title))</h1><p>\(HTML.name(subtitle))</p>
      \(tiles)
      <nav aria-label="Sections">\(links)</nav></header>

      """
    let body =
      header + "<main>\n" + sections.map { HTML.section($0.id, $0.title, $0.body) }.joined() + "</main>\n"
      + "<footer>Made by glomseg \(HTML.escape(glomsegVersion)).</footer>"
    return HTML.page(title: "glomseg: \(title)", body: body)
  }

  private func curvesBody(_ figures: ([Chart]) -> String, _ grid: (String) -> String) -> String {
    guard let best else { return HTML.paragraph("There is no run.") }
    var parts = ""
    if best.history.count == 0 { parts += HTML.paragraph("No epoch is finished yet.") }
    if case .failed(let reason) = best.status { parts += HTML.paragraph("The run failed: \(reason)") }
    return parts + grid(figures(curves)) + groupTable
  }

  private var tiles: String {
    guard let best else { return "" }
    var tiles: [(String, String, isLong: Bool)] = []
    func add(_ title: String, _ column: String) {
      if let value = best.best(column) { tiles.append((title, short(value), false)) }
    }
    if records.count > 1 {
      let finished = records.filter { $0.status == .finished }.count
      tiles.append(("runs finished", "\(finished) of \(records.count)", false))
    }
    add("best F1", "val_f1")
    add("precision", "val_precision")
    add("recall", "val_recall")
    add("Dice of patches", "val_dice_mean")
    if let epoch = best.best("epoch"), let last = best.last("epoch") {
      tiles.append(("best epoch", "\(decimal(epoch)) of \(decimal(last))", false))
    } else if best.history.count > 0, let row = best.bestRow {
      tiles.append(("best epoch", "\(row + 1) of \(best.history.count)", false))
    }
    let seconds = records.compactMap(\.seconds).reduce(0, +)
    if seconds > 0 { tiles.append(("training time", duration(seconds), false)) }
    let devices = Set(records.compactMap(\.device)).sorted()
    if !devices.isEmpty { tiles.append((devices.count == 1 ? "device" : "devices", devices.joined(separator: "; "), true)) }
    return "<dl class=\"tiles\">"
      + tiles.map { "<div\($0.isLong ? " class=\"long\"" : "")><dt>\(HTML.escape($0.0))</dt><dd>\(HTML.escape($0.1))</dd></div>" }
      .joined()
      + "</dl>"
  }

  /// The best first.
  private var runsTable: String {
    let varied = table.varied
    let columns =
      [HTML.Column(title: "rank")] + varied.map { HTML.Column(title: $0, isNumber: isNumeric($0)) }
      + ["F1", "precision", "recall", "Dice", "loss", "epoch", "minutes"].map { HTML.Column(title: $0) }
      + [HTML.Column(title: "status", isNumber: false), HTML.Column(title: "run", isNumber: false, isName: true)]
    let ranked = ranked
    let rows = ranked.enumerated().map { rank, record in
      ["\(rank + 1)"] + varied.map { record.setting($0) ?? "" }
        + ["val_f1", "val_precision", "val_recall", "val_dice_mean", "train_loss"].map { record.best($0).map(short) ?? "" }
        + [
          record.best("epoch").map(decimal) ?? "",
          record.seconds.map { String(format: $0 < 600 ? "%.2f" : "%.1f", $0 / 60) } ?? "", statusText(record), record.name,
        ]
    }
    // Results of other programs lack some.
    let filled = columns.indices.filter { column in rows.contains { !$0[column].isEmpty } }
    return HTML.paragraph("Validation scores at each run's best epoch, by F1; a column's name sorts by it.")
      + HTML.table(
        filled.map { columns[$0] }, rows.map { row in filled.map { row[$0] } }, caption: "Runs", isSortable: true,
        highlighted: ranked.first?.bestRow == nil ? nil : 0)
  }

  private func statusText(_ record: RunRecord) -> String {
    if case .failed(let reason) = record.status { return "failed: " + reason.prefix(120) }
    return record.status.word
  }

  private func isNumeric(_ setting: String) -> Bool {
    records.allSatisfy { record in record.setting(setting).map { Double($0) != nil } ?? true }
  }

  private var groupTable: String {
    let groups = groups
    guard let epoch = best?.best("epoch").map({ Int($0) }) else { return "" }
    let rows = groups.filter { $0.epoch == epoch }
    guard !rows.isEmpty else { return "" }
    return "<h3>Groups at epoch \(epoch)</h3>"
      + HTML.table(
        [HTML.Column(title: "group", isNumber: false)]
          + ["patches", "F1", "precision", "recall", "Dice of patches"].map { HTML.Column(title: $0) },
        rows.map { [$0.group, "\($0.patches)", short($0.f1), short($0.precision), short($0.recall), short($0.diceMean)] },
        caption: "Validation scores by group")
  }

  private func thresholds(_ findings: ModelFindings, _ figures: ([Chart]) -> String) -> String {
    guard let chart = findings.curve.chart, let best = findings.curve.best else {
      return HTML.paragraph("The \(split) patches have no foreground: there is no curve.")
    }
    let rows = [findings.curve.at(0.5).map { ("0.5", $0) }, ("\(decimal(best.threshold)) (best F1)", best)].compactMap { $0 }
    return HTML.paragraph(
      "The best model on \(counted(findings.patchCount, "patch", "patches")) of the split \(split). The best threshold was chosen on these patches, "
        + "so its F1 flatters it a little.")
      + "<div class=\"figures\">\n" + figures([chart]) + "<div>"
      + HTML.table(
        [HTML.Column(title: "threshold", isNumber: false)] + ["precision", "recall", "F1"].map { HTML.Column(title: $0) },
        rows.map { [$0.0, short($0.1.precision), short($0.1.recall), short($0.1.f1)] }, caption: "Scores at two thresholds")
      + "</div></div>"
  }

  private func patches(_ findings: ModelFindings) -> String {
    guard !findings.patches.isEmpty else { return HTML.paragraph("No \(split) patch holds a glomerulus: none is ranked.") }
    let intro = HTML.paragraph(
      "Image, truth (green) and prediction (yellow) of the best model, from \(counted(findings.rankedCount, "patch", "patches")) of the "
        + "split \(split) that hold a glomerulus, ranked by Dice at a threshold of 0.5.")
    return intro
      + ModelFindings.Rank.allCases.map { rank in
        let own = findings.patches.filter { $0.rank == rank }
        guard !own.isEmpty else { return "" }
        let figures = own.map { patch in
          """
          <figure>\(HTML.image(patch.picture, type: "jpeg", alt: "\(rank.rawValue): image, truth, prediction of \(patch.name)"))\
          <figcaption><span class="keys">Dice \(short(patch.dice))</span> \(HTML.name(patch.name))</figcaption></figure>
          """
        }
        return "<h3>\(rank.rawValue.capitalized)</h3><div class=\"figures\">\(figures.joined())</div>"
      }.joined()
  }

  private var slidesBody: String {
    "<div class=\"figures\">"
      + slides.map { slide in
        HTML.figure(
          HTML.image(slide.picture, type: "jpeg", alt: "overview of \(slide.name) with outlines"), title: slide.name,
          caption: slide.glomeruli.map { "\(counted($0, "glomerulus", "glomeruli")) found." } ?? "")
      }.joined() + "</div>"
  }

  private var dataBody: String {
    guard let data else {
      let groups = groups
      let first = groups.first?.epoch
      let rows = groups.filter { $0.epoch == first }.map { [$0.group, "\($0.patches)"] }
      guard !rows.isEmpty else { return HTML.paragraph("Nothing is noted of the data; --data counts a data set.") }
      return HTML.paragraph("Validation patches, as the run counted them; --data counts the whole data set.")
        + HTML.table(
          [HTML.Column(title: "group", isNumber: false), HTML.Column(title: "validation patches")], rows,
          caption: "Validation patches by group")
    }
    let columns =
      [HTML.Column(title: "split", isNumber: false), HTML.Column(title: "group", isNumber: false)]
      + ["patches", "empty masks", "size", "foreground", "glomerulus px"].map { HTML.Column(title: $0) }
    let rows = data.rows.filter { $0.caseName == nil }.map { row in
      [
        row.split.rawValue, row.group, "\(row.patches)", "\(row.emptyMasks)", row.size,
        String(format: "%.2f%%", 100 * row.positiveFraction), row.medianDiameter.map { "\(Int($0.rounded()))" } ?? "",
      ]
    }
    return HTML.paragraph("Patches of each split and group; the last column is the median width of whole glomeruli.")
      + HTML.table(columns, rows, caption: "Data by group")
  }

  private var configuration: String {
    guard let best, !best.settings.isEmpty else { return HTML.paragraph("The settings are not noted.") }
    let usual = RunRecord.defaults(besides: best)
    let rows = best.settings.map { setting in
      let isChanged = usual[setting.name].map { $0 != setting.value } ?? false
      return
        "<div\(isChanged ? " class=\"changed\"" : "")><dt>\(HTML.name(setting.name))</dt><dd>\(HTML.name(setting.value.isEmpty ? "–" : setting.value))</dd></div>"
    }
    return (usual.isEmpty ? "" : HTML.paragraph("Settings that are not as by default are set in bold."))
      + "<dl class=\"settings\">\(rows.joined())</dl>"
  }

  private func short(_ value: Double) -> String { String(format: "%.3f", value) }

  private func counted(_ count: Int, _ one: String, _ many: String) -> String { "\(count) \(count == 1 ? one : many)" }

  private func duration(_ seconds: Double) -> String {
    let s = Int(seconds.rounded())
    return s >= 3600 ? "\(s / 3600) h \(s / 60 % 60) min" : s >= 60 ? "\(s / 60) min \(s % 60) s" : "\(s) s"
  }
}
