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

  /// Why there are no steps of PyTorch; nil where there are, or where it was not looked for.
  static func peerAbsent(_ records: [SectionRecord]) -> String? {
    guard records.contains(where: { $0.name == "torch" }) else { return nil }
    return ReportPlan.peerProblem(records)
  }

  /// glomseg's steps with their errors, and PyTorch's with the ratio of their times to those of glomseg's in the same pairs.
  static func steps(_ records: [SectionRecord]) -> [[String]] {
    records.filter { $0.name.hasPrefix("step") || $0.name.hasPrefix("torch") }.flatMap(\.results).compactMap { object in
      object["benchmark"] as? String == "pairs" ? pairs(object) : step(object)
    }
  }

  private static func step(_ object: [String: Any]) -> [String]? {
    guard let seconds = number(object, "seconds_median") else { return nil }
    let arithmetic = object["arithmetic"] as? String ?? "fp32", stored = storage(object)
    let launches = number(object, "launches").map { count in
      "\(Int(count)) in \(milliseconds(number(object, "seconds_enqueue") ?? 0)) ms"
    }
    return [
      "glomseg, \(object["device"] ?? "?"), \(arithmetic)\(stored)", size(object), decimals(seconds),
      number(object, "error").map { String(format: "%.1e", $0) } ?? "", "", bytes(object, "peak_bytes_planned"), launches ?? "",
    ]
  }

  /// What alternate.py prints.
  private static func pairs(_ object: [String: Any]) -> [String]? {
    guard let ours = object["ours"] as? [String: Any], let peer = object["peer"] as? [String: Any],
      let seconds = number(peer, "seconds_median"), let own = number(ours, "seconds_median"), let ratio = number(object, "ratio"),
      let least = number(object, "ratio_min"), let most = number(object, "ratio_max"), let count = number(object, "pairs")
    else { return nil }
    let compiled = peer["compile"] as? Bool == true ? "compiled" : "eager"
    return [
      "PyTorch \(peer["version"] ?? "?"), \(peer["precision"] ?? "?"), \(peer["memory_format"] ?? "?"), \(compiled)",
      size(object),
      decimals(seconds), "",
      String(format: "%.2f (%.2f to %.2f)", ratio, least, most)
        + " of \(Int(count)) pairs with \(ours["arithmetic"] ?? "?")\(storage(ours)), \(decimals(own)) s",
      bytes(peer, "peak_device_bytes"), "",
    ]
  }

  /// What a step stores in 16 bits; empty where nothing.
  private static func storage(_ object: [String: Any]) -> String {
    let halved = ["activations", "gradients"].compactMap { name in
      (object[name] as? String).flatMap { $0 == "fp32" ? nil : "\(name) in \($0)" }
    }
    return halved.isEmpty ? "" : ", " + halved.joined(separator: " and ")
  }

  private static func bytes(_ object: [String: Any], _ key: String) -> String {
    number(object, key).map { formatBytes(Int($0)) } ?? ""
  }
}
