import Foundation

extension CheckReport {
  /// What `--json` writes.
  struct JSON: Encodable {
    struct Result: Encodable {
      let name: String
      let operation: String
      let device: String
      let passed: Bool
      let skipped: Bool
      /// Absent where it is not a finite number, for JSON has no others; the problem then says so.
      let error: Double?
      let bound: Double?
      let problem: String
      let seconds: Double
    }
    /// A device in short.
    struct Summary: Encodable {
      let device: String
      let platform: String
      let driver: String
      let passed: Int
      let failed: Int
      let skipped: Int
      let worst_ratio: Double?
      let worst_case: String
      let seconds: Double
    }

    let passed: Int
    let failed: Int
    let skipped: Int
    let devices: [String]
    let summary: [Summary]
    let results: [Result]
  }

  var json: JSON {
    func finite(_ value: Double) -> Double? { value.isFinite ? value : nil }
    return JSON(
      passed: count(.passed), failed: count(.failed), skipped: count(.skipped), devices: devices.map(\.name),
      summary: devices.map { device in
        let mine = entries.filter { $0.device == device.name }
        let worst = mine.max { $0.ratio < $1.ratio }
        return JSON.Summary(
          device: device.name, platform: device.platform, driver: device.driver,
          passed: count(.passed, on: device.name), failed: count(.failed, on: device.name),
          skipped: count(.skipped, on: device.name), worst_ratio: finite(worst?.ratio ?? 0), worst_case: worst?.name ?? "",
          seconds: mine.reduce(0) { $0 + $1.seconds })
      },
      results: entries.map { entry in
        JSON.Result(
          name: entry.name, operation: entry.operation, device: entry.device, passed: entry.outcome == .passed,
          skipped: entry.outcome == .skipped, error: finite(entry.error), bound: finite(entry.bound),
          problem: entry.problems.joined(separator: "\n"), seconds: entry.seconds)
      })
  }
}
