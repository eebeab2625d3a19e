import Foundation
import Runs

/// A chart: what gnuplot is told, without terminal and output, so that one text makes SVG for the page and files for papers.
public struct Chart: Sendable {
  /// File name without suffix.
  public let name: String
  public let title: String
  /// A sentence below the chart; may be empty.
  public let caption: String
  /// Points of the page; text has 12.
  public let width: Int
  public let height: Int
  let script: String

  init(_ name: String, title: String, caption: String = "", width: Int = 420, height: Int = 270, script: String) {
    (self.name, self.title, self.caption, self.width, self.height, self.script) = (name, title, caption, width, height, script)
  }

  /// Colours that differ for colour-blind eyes and in grey: Okabe and Ito's, the palest left out.
  static let colours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f5fc0"]

  /// Before each chart: whatever the one before it set is gone.
  private static let style = """
    reset
    set encoding utf8
    set datafile missing '?'
    set border 3 lc rgb '#98a2b3'
    set tics nomirror textcolor rgb '#475467'
    set grid ytics lt 1 lw 0.5 lc rgb '#e4e7ec'
    set style fill solid noborder
    set key tmargin center horizontal reverse Left samplen 1.5 textcolor rgb '#344054'
    set xlabel textcolor rgb '#344054'
    set ylabel textcolor rgb '#344054'

    """

  public enum Format: String, CaseIterable, Sendable {
    case svg, png

    fileprivate func terminal(_ chart: Chart) -> String {
      switch self {
      case .svg:
        "set terminal svg size \(chart.width),\(chart.height) dynamic noenhanced font 'sans-serif,12' background 'white'"
      case .png:
        """
        set terminal pngcairo size \(4 * chart.width),\(4 * chart.height) noenhanced font 'sans,12' fontscale 4 \
        linewidth 3.5 pointscale 3.5 background 'white'
        """
      }
    }
  }

  /// Draws charts into files of a folder, `<name>.svg` and so on.
  static func draw(_ charts: [Chart], formats: [Format], into folder: String) throws(Gnuplot.Problem) {
    guard !charts.isEmpty else { return }
    var script = ""
    for chart in charts {
      for format in formats {
        let file = Gnuplot.quoted("\(folder)/\(chart.name).\(format.rawValue)")
        // `reset` keeps the terminal.
        script += "\(format.terminal(chart))\n\(style)set output \(file)\n\(chart.script)\nunset output\n"
      }
    }
    try Gnuplot.run(script)
  }

  /// The charts as elements for a page, by name, and what is wrong with those that could not be drawn.
  static func inline(_ charts: [Chart]) throws -> (elements: [String: String], problems: [String]) {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("glomseg-charts-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var problems: [String] = []
    do throws(Gnuplot.Problem) { try draw(charts, formats: [.svg], into: folder) } catch {
      guard charts.count > 1, case .failed = error else { throw error }
      // One that cannot be drawn should not take the others with it.
      for chart in charts {
        let file = "\(folder)/\(chart.name).svg"
        try? FileManager.default.removeItem(atPath: file)
        do throws(Gnuplot.Problem) { try draw([chart], formats: [.svg], into: folder) } catch {
          try? FileManager.default.removeItem(atPath: file)
          problems.append("The chart '\(chart.title)' could not be drawn: \(error).")
        }
      }
      guard problems.count < charts.count else { throw error }
    }
    var elements: [String: String] = [:]
    for (index, chart) in charts.enumerated() where FileManager.default.fileExists(atPath: "\(folder)/\(chart.name).svg") {
      let text = try String(contentsOfFile: "\(folder)/\(chart.name).svg", encoding: .utf8)
      elements[chart.name] = element(text, of: chart, prefix: "c\(index)-")
    }
    return (elements, problems)
  }

  /// An SVG file's element, with identifiers of its own and without the declarations that a page has no need of.
  static func element(_ svg: String, of chart: Chart, prefix: String) -> String {
    guard let start = svg.range(of: "<svg") else { return "" }
    var text = String(svg[start.lowerBound...])
    for (old, new) in [
      (" xmlns=\"http://www.w3.org/2000/svg\"", ""), (" xmlns:xlink=\"http://www.w3.org/1999/xlink\"", ""),
      ("<title>Gnuplot</title>\n", ""), ("id='", "id='\(prefix)"), ("id=\"", "id=\"\(prefix)"), ("'#gp", "'#\(prefix)gp"),
      ("url(#", "url(#\(prefix)"), ("xlink:href", "href"),
    ] { text = text.replacing(old, with: new) }
    // gnuplot gives each curve a title of its own, which browsers show as a tool tip: "gnuplot_plot_1".
    text = text.replacing(/<title>gnuplot_plot_[^<]*<\/title>/, with: "").replacing(/<desc>[^<]*<\/desc>/, with: "")
    return text.replacing("<svg", with: "<svg role=\"img\" aria-label=\"\(HTML.escape(chart.title))\"", maxReplacements: 1)
  }
}

/// Numbers and texts as gnuplot takes them.
enum Plot {
  /// A block of data; empty cells where there is no number.
  static func block(_ name: String, _ rows: [[Double?]]) -> String {
    let lines = rows.map { row in row.map { $0.map { "\($0)" } ?? "?" }.joined(separator: " ") }
    return "$\(name) << EOD\n" + lines.joined(separator: "\n") + "\nEOD\n"
  }

  static func tics(_ axis: String, _ labels: [String]) -> String {
    "set \(axis)tics (" + labels.enumerated().map { "\(Gnuplot.quoted($1)) \($0)" }.joined(separator: ", ") + ")\n"
  }
}
