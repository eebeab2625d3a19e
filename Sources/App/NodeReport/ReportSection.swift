import Foundation

/// A part of a node's report: commands one after the other, each a process of its own, so that no driver's fault and no lack of
/// memory ends the report.
struct ReportSection {
  /// As in `report.jsonl`, "step-256".
  let name: String
  let title: String
  let commands: [[String]]
  /// Not begun with less than this left, and stopped after that long, seconds.
  var least = 1.0
  let most: Double
  /// Kept for it by the sections before it, seconds: what a report should not lack however slow the machine.
  var kept = 0.0
  /// Whether its last command is told "--seconds" with this part of the time that it may take.
  var tellsPart: Double?
  /// Whether being stopped at its limit is how it ends: a training run.
  var endsAtLimit = false
  /// Whether to watch what is used of the GPUs' memory meanwhile.
  var watchesMemory = false
  /// Why it makes no sense after what came before; nil where it does.
  var reasonToSkip: ([SectionRecord]) -> String? = { _ in nil }
  /// What a reader of its outcome should know besides, from its results.
  var remark: ([[String: Any]]) -> String = { _ in "" }
  /// More to say at its end.
  var afterwards: () -> String = { "" }
}

/// What came of a section.
struct SectionRecord {
  enum Outcome: String { case done, failed, cut, skipped }

  let name: String
  let title: String
  var outcome: Outcome
  /// Why it failed, was cut or skipped; or what to know of what was done.
  var reason = ""
  var seconds = 0.0
  var commands: [String] = []
  /// What was said, for people.
  var text = ""
  /// The objects of JSON that were printed, one a line.
  var results: [[String: Any]] = []

  /// A line of `report.jsonl`.
  var json: [String: Any] {
    [
      "section": name, "title": title, "outcome": outcome.rawValue, "reason": reason, "seconds": seconds, "commands": commands,
      "results": results, "text": text,
    ]
  }

  /// A line of `report.jsonl`; nil for anything else.
  init?(json: [String: Any]) {
    guard let name = json["section"] as? String, let outcome = (json["outcome"] as? String).flatMap(Outcome.init) else {
      return nil
    }
    self.init(name: name, title: json["title"] as? String ?? name, outcome: outcome)
    reason = json["reason"] as? String ?? ""
    seconds = (json["seconds"] as? NSNumber)?.doubleValue ?? 0
    commands = json["commands"] as? [String] ?? []
    text = json["text"] as? String ?? ""
    results = json["results"] as? [[String: Any]] ?? []
  }

  init(name: String, title: String, outcome: Outcome) { (self.name, self.title, self.outcome) = (name, title, outcome) }

  /// Takes what a command printed: lines that are objects of JSON as results, the rest as text.
  mutating func take(_ child: ChildProcess) {
    var plain: [Substring] = []
    for line in child.out.split(separator: "\n") {
      if line.first == "{", let object = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any] {
        results.append(object)
      } else {
        plain.append(line)
      }
    }
    let said = [child.said, plain.joined(separator: "\n")].map { $0.trimmingCharacters(in: .whitespacesAndNewlines) }
    text = ([text] + said).filter { !$0.isEmpty }.joined(separator: "\n")
  }
}
