import Foundation

/// Text as HTML.
enum HTML {
  /// Text that stays text, in elements and in attributes.
  static func escape(_ text: String) -> String {
    var escaped = ""
    for character in text.unicodeScalars {
      switch character {
      case "&": escaped += "&amp;"
      case "<": escaped += "&lt;"
      case ">": escaped += "&gt;"
      case "\"": escaped += "&quot;"
      case "'": escaped += "&#39;"
      default: escaped.unicodeScalars.append(character)
      }
    }
    return escaped
  }

  /// A long name that may break behind underscores and slashes.
  static func name(_ text: String) -> String {
    escape(text).replacing("_", with: "_<wbr>").replacing("/", with: "/<wbr>")
  }

  struct Column {
    let title: String
    var isNumber = true
    var isName = false
  }

  /// A table that scrolls by itself where the page is too narrow.
  ///
  /// - Parameters:
  ///   - rows: cells of text; numbers sort as numbers.
  ///   - caption: for those who cannot see the heading above.
  static func table(_ columns: [Column], _ rows: [[String]], caption: String, isSortable: Bool = false, highlighted: Int? = nil)
    -> String
  {
    let heads = columns.map { column in
      let kind = column.isNumber ? " class=\"n\"" : ""
      let title = name(column.title)
      return isSortable
        ? "<th scope=\"col\"\(kind)><button type=\"button\">\(title)</button></th>" : "<th scope=\"col\"\(kind)>\(title)</th>"
    }
    // Names of many settings get a wider column, so that rows stay low; the table scrolls.
    let isLong = rows.contains { row in zip(columns, row).contains { $0.isName && $1.count > 100 } }
    let nameClass = isLong ? " class=\"name long\"" : " class=\"name\""
    let lines = rows.enumerated().map { index, row in
      let cells = zip(columns, row).map { column, cell in
        "<td\(column.isNumber ? " class=\"n\"" : column.isName ? nameClass : "")>\(column.isName ? name(cell) : escape(cell))</td>"
      }
      return "<tr\(index == highlighted ? " class=\"best\"" : "")>" + cells.joined() + "</tr>"
    }
    return """
      <div class="wide" tabindex="0" role="region" aria-label="\(escape(caption))"><table\(isSortable ? " class=\"sortable\"" : "")>
      <thead><tr>\(heads.joined())</tr></thead>
      <tbody>
      \(lines.joined(separator: "\n"))
      </tbody></table></div>
      """
  }

  static func section(_ id: String, _ title: String, _ body: String) -> String {
    "<section id=\"\(id)\"><h2>\(escape(title))</h2>\n\(body)\n</section>\n"
  }

  static func paragraph(_ text: String) -> String { "<p>\(escape(text))</p>" }

  static func figure(_ element: String, title: String, caption: String) -> String {
    """
    <figure><h3>\(escape(title))</h3>\(element)\
    \(caption.isEmpty ? "" : "<figcaption>\(escape(caption))</figcaption>")</figure>

    """
  }

  static func image(_ bytes: [UInt8], type: String, alt: String) -> String {
    "<img src=\"data:image/\(type);base64,\(Data(bytes).base64EncodedString())\" alt=\"\(escape(alt))\">"
  }

  /// A page of its own: styles and script inside, and a policy that forbids it to ask for anything.
  static func page(title: String, body: String) -> String {
    """
    <!DOCTYPE html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <link rel="icon" href="data:,">
    <title>\(escape(title))</title>
    <style>
    \(style)
    </style>
    </head>
    <body>
    \(body)
    <script>
    \(script)
    </script>
    </body>
    </html>

    """
  }

  private static let style = """
    :root { color-scheme: light; --ink: #101828; --soft: #475467; --line: #e4e7ec; --wash: #f7f8fa; --accent: #0072b2; }
    * { box-sizing: border-box; }
    html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
    body { margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 72rem; font: 16px/1.5 system-ui, -apple-system, "Segoe UI",
      Roboto, "Helvetica Neue", "Noto Sans", "DejaVu Sans", sans-serif; color: var(--ink); background: #fff; }
    h1 { margin: 0; font-size: 1.75rem; line-height: 1.2; letter-spacing: -0.015em; overflow-wrap: anywhere; }
    h2 { margin: 0 0 1rem; font-size: 1.25rem; line-height: 1.3; letter-spacing: -0.01em; }
    h3 { margin: 0 0 .5rem; font-size: .9375rem; line-height: 1.35; overflow-wrap: anywhere; }
    p { margin: 0 0 1rem; max-width: 44rem; }
    header p { margin: .5rem 0 0; color: var(--soft); overflow-wrap: anywhere; }
    nav { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: 1.25rem 0 0; font-size: .9375rem; }
    nav a { color: var(--accent); text-decoration: none; padding: .25rem 0; }
    nav a:hover { text-decoration: underline; }
    section { margin: 2.5rem 0 0; padding: 2rem 0 0; border-top: 1px solid var(--line); }
    .tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .75rem; margin: 1.5rem 0 0; padding: 0; }
    .tiles div { padding: .75rem 1rem; background: var(--wash); border-radius: .5rem; min-width: 0; }
    .tiles dt { font-size: .8125rem; color: var(--soft); }
    .tiles dd { margin: 0; font-size: 1.375rem; font-weight: 600; line-height: 1.3; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
    .tiles .long { grid-column: span 2; }
    .tiles .long dd { font-size: .9375rem; line-height: 1.45; }
    .figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 27rem), 1fr)); gap: 1rem; align-items: start; margin: 0 0 1.5rem; }
    figure { margin: 0; padding: 1rem; border: 1px solid var(--line); border-radius: .5rem; min-width: 0; background: #fff; }
    figure svg, figure img { display: block; width: 100%; height: auto; }
    figure svg g, figure svg tspan { font-family: inherit; }
    figcaption { margin: .5rem 0 0; font-size: .8125rem; color: var(--soft); overflow-wrap: anywhere; }
    .keys { display: inline-block; margin-right: .35rem; font-weight: 600; }
    .wide { overflow-x: auto; border: 1px solid var(--line); border-radius: .5rem; margin: 0 0 1rem; }
    .wide:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
    table { width: 100%; border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
    th, td { padding: .5rem .65rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); white-space: nowrap; }
    tbody tr:last-child td { border-bottom: 0; }
    th { background: var(--wash); font-weight: 600; color: var(--soft); vertical-align: bottom; }
    .n { text-align: right; }
    td.name { min-width: 13rem; white-space: normal; font: .75rem/1.5 ui-monospace, "SF Mono", "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
    td.name.long { min-width: 28rem; }
    tr.best td { background: #eef6fb; }
    th button { all: unset; cursor: pointer; position: relative; }
    th button:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 2px; }
    th button::after { content: ""; position: absolute; left: 100%; bottom: 0; color: var(--accent); }
    th[aria-sort=ascending] button::after { content: "\\2191"; }
    th[aria-sort=descending] button::after { content: "\\2193"; }
    .settings { columns: 17rem; column-gap: 2rem; margin: 0; font-size: .875rem; }
    .settings div { display: flex; justify-content: space-between; gap: 1rem; padding: .3rem 0; border-bottom: 1px solid var(--line); break-inside: avoid; }
    .settings dt { color: var(--soft); }
    .settings dd { margin: 0; text-align: right; overflow-wrap: anywhere; min-width: 0; font-variant-numeric: tabular-nums; }
    .settings .changed dt, .settings .changed dd { font-weight: 600; color: var(--ink); }
    details { margin: 1rem 0 0; }
    summary { cursor: pointer; color: var(--accent); margin: 0 0 1rem; }
    footer { margin: 3rem 0 0; padding: 1rem 0 0; border-top: 1px solid var(--line); font-size: .8125rem; color: var(--soft); }
    @media (max-width: 40rem) {
      body { padding: 1.5rem 1rem 3rem; }
      h1 { font-size: 1.375rem; }
      section { margin-top: 2rem; padding-top: 1.5rem; }
      figure { padding: .6rem; }
      .tiles { grid-template-columns: repeat(2, 1fr); }
      .tiles .long { grid-column: 1 / -1; }
      th, td { padding: .4rem .55rem; }
      td.name, td.name.long { min-width: 0; white-space: nowrap; }
      td.name wbr { display: none; }
    }
    @media print {
      @page { margin: 14mm; }
      html { font-size: 12px; }
      body { max-width: none; padding: 0; font-size: 12px; }
      nav { display: none; }
      section { margin-top: 1.25rem; padding-top: 1rem; }
      h2, h3 { break-after: avoid; }
      figure, tr, .tiles div { break-inside: avoid; }
      .figures { grid-template-columns: repeat(2, 1fr); }
      .wide { overflow: visible; border: 0; }
      table { font-size: 7.5pt; }
      th, td { padding: .2rem .3rem; white-space: normal; }
      th button { position: static; }
      th button::after { display: none; }
      td.name, td.name.long { min-width: 0; white-space: normal; font-size: 6.5pt; }
      details::details-content { content-visibility: visible; height: auto; }
      summary { display: none; }
      * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
    }
    """

  private static let script = """
    for (const table of document.querySelectorAll("table.sortable")) {
      const heads = [...table.tHead.rows[0].cells];
      heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") === "descending" || (!head.ariaSort && !head.classList.contains("n"));
        heads.forEach(other => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const body = table.tBodies[0];
        const keyed = [...body.rows].map(row => ({ row, text: row.cells[column].textContent }));
        const value = text => text === "" ? NaN : Number(text);
        keyed.sort((a, b) => {
          if (a.text === "" || b.text === "") return (a.text === "") - (b.text === "");
          const x = value(a.text), y = value(b.text);
          const order = isNaN(x) || isNaN(y) ? a.text.localeCompare(b.text) : x - y;
          return up ? order : -order;
        });
        keyed.forEach(({ row }) => body.append(row));
      }));
    }
    """
}
