import Foundation

extension CheckReport {
  /// JUnit XML as CI services read it: a suite for each device, a case for each entry, the failures' text in full.
  func junit() -> String {
    var lines = [#"<?xml version="1.0" encoding="UTF-8"?>"#]
    lines.append("<testsuites\(counts(entries))>")
    for device in devices {
      let mine = entries.filter { $0.device == device.name }
      lines.append("  <testsuite name=\"\(Self.escape(device.name))\"\(counts(mine))>")
      for entry in mine {
        let start =
          "    <testcase classname=\"\(Self.escape(entry.operation))\" name=\"\(Self.escape(entry.name))\" "
          + "time=\"\(decimals(entry.seconds))\""
        let text = Self.escape(entry.problems.joined(separator: "\n"))
        switch entry.outcome {
        case .passed: lines.append(start + "/>")
        case .skipped: lines.append(start + "><skipped message=\"\(text)\"/></testcase>")
        case .failed:
          let first = Self.escape(entry.problems.first ?? "failed")
          lines.append(start + "><failure message=\"\(first)\">\(text)</failure></testcase>")
        }
      }
      lines.append("  </testsuite>")
    }
    lines.append("</testsuites>")
    return lines.joined(separator: "\n") + "\n"
  }

  private func counts(_ entries: [Entry]) -> String {
    let failed = entries.filter { $0.outcome == .failed }.count
    let skipped = entries.filter { $0.outcome == .skipped }.count
    let seconds = entries.reduce(0) { $0 + $1.seconds }
    return " tests=\"\(entries.count)\" failures=\"\(failed)\" errors=\"0\" skipped=\"\(skipped)\" "
      + "time=\"\(decimals(seconds))\""
  }

  /// Text for an attribute or an element. XML 1.0 has no way to write most control characters: they become U+FFFD.
  static func escape(_ text: String) -> String {
    var escaped = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": escaped += "&amp;"
      case "<": escaped += "&lt;"
      case ">": escaped += "&gt;"
      case "\"": escaped += "&quot;"
      case "'": escaped += "&apos;"
      // As a reference, a line break survives in an attribute.
      case "\n": escaped += "&#10;"
      case "\t": escaped += "&#9;"
      case "\r": escaped += "&#13;"
      default:
        let value = scalar.value
        escaped.unicodeScalars.append(value < 0x20 || value == 0xfffe || value == 0xffff ? "\u{fffd}" : scalar)
      }
    }
    return escaped
  }
}
