import Engine
import Foundation

/// Lines that stand beside each other at the head of a report.
enum ReportSummary {
  private static func number(_ object: [String: Any], _ key: String) -> Double? { (object[key] as? NSNumber)?.doubleValue }

  private static func size(_ object: [String: Any]) -> String {
    "\(object["patch"] ?? "?")² × \(object["batch"] ?? "?"), base \(object["base"] ?? "?")"
  }

  /// Planned and measured: of the process where the device has no memory of its own, else what NVIDIA's driver says that
  /// the GPUs have in use beyond what they had, with the driver's own share.
  static func memory(_ records: [SectionRecord]) -> [[String]] {
    records.filter { $0.name.hasPrefix("memory") }.compactMap { record in
      guard let step = record.results.first, let planned = number(step, "peak_bytes_planned") else { return nil }
      let process = number(step, "peak_bytes_measured").map { formatBytes(Int($0)) } ?? "of the device's own"
      let device = record.results.lazy.compactMap { number($0, "bytes_grown") }.first.map { formatBytes(Int($0)) } ?? ""
      return [size(step), formatBytes(Int(planned)), process, device]
    }
  }

  /// glomseg's steps with their errors, and PyTorch's of the same size with the ratio of their times: to glomseg's of the same
  /// precision, else to its fp32.
  static func steps(_ records: [SectionRecord]) -> [[String]] {
    let results = records.filter { $0.name.hasPrefix("step") || $0.name.hasPrefix("torch") }.flatMap(\.results)
    var ours: [String: Double] = [:]
    var rows: [[String]] = []
    for object in results {
      guard let seconds = number(object, "seconds_median") else { continue }
      var name = "glomseg, \(object["device"] ?? "?")"
      let precision = object["precision"] as? String ?? "fp32"
      var ratio = ""
      var error = ""
      if object["framework"] is String {
        let compiled = object["compile"] as? Bool == true ? ", compiled" : ""
        name = "PyTorch \(object["version"] ?? "?"), \(object["precision"] ?? "?"), \(object["memory_format"] ?? "?")\(compiled)"
        ratio = (ours[size(object) + precision] ?? ours[size(object) + "fp32"]).map { String(format: "%.2f", seconds / $0) } ?? ""
      } else {
        let arithmetic = object["arithmetic"] as? String ?? precision
        name += ", \(arithmetic)"
        // The device's own kernels come first; others are there to compare.
        ours[size(object) + arithmetic] = ours[size(object) + arithmetic] ?? seconds
        error = number(object, "error").map { String(format: "%.1e", $0) } ?? ""
      }
      let bytes = number(object, "peak_device_bytes") ?? number(object, "peak_bytes_planned")
      let launches = number(object, "launches").map { count in
        "\(Int(count)) in \(milliseconds(number(object, "seconds_enqueue") ?? 0)) ms"
      }
      rows.append(
        [name, size(object), decimals(seconds), error, ratio, bytes.map { formatBytes(Int($0)) } ?? "", launches ?? ""])
    }
    return rows
  }
}
