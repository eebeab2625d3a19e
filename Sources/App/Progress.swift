import Engine
import Foundation
import Runs

/// Shows a run on standard error: a bar that is drawn over where that is a terminal, else a line now and then.
final class Progress {
  private let isTerminal = isatty(2) == 1
  private let epochs: Int
  private var lastShown = monotonicSeconds()
  private var barShown = false
  /// When the epoch's first step here began, and the images that were done before it (in a resumed epoch).
  private var epochStart: (seconds: Double, images: Int)?

  init(epochs: Int) { self.epochs = epochs }

  func show(_ event: TrainingRun.Event) {
    switch event {
    case .step(let step, let epoch, let images, let done, let all, let mean):
      let now = monotonicSeconds()
      if epochStart == nil { epochStart = (now - step.seconds, done - images) }
      guard let epochStart, now - lastShown > (isTerminal ? 0.2 : 30) else { return }
      lastShown = now
      let rate = Double(done - epochStart.images) / max(1e-9, now - epochStart.seconds)
      let left = Double(all - done + all * (epochs - epoch)) / max(1e-9, rate)
      draw(
        "epoch \(epoch)/\(epochs) \(bar(Double(done) / Double(all))) loss \(decimals(mean)) "
          + "\(String(format: "%.1f", rate)) images/s, \(duration(left)) left")
    case .skipped(let reason, let epoch, let batch, let batches):
      clear()
      printError("epoch \(epoch)/\(epochs)  batch \(batch) of \(batches) left out: \(reason)")
    case .validating(let done, let all):
      epochStart = nil
      guard isTerminal, monotonicSeconds() - lastShown > 0.2 else { return }
      lastShown = monotonicSeconds()
      draw("validating \(bar(Double(done) / Double(all)))")
    case .epoch(let record, let isBest):
      epochStart = nil
      clear()
      var text = "epoch \(record.epoch)/\(epochs)  loss \(record.trainLoss.map(decimals) ?? "none: every batch was left out")"
      if let scores = record.validation {
        text +=
          "  validation F1 \(decimals(scores.f1)) precision \(decimals(scores.precision)) recall \(decimals(scores.recall))"
          + " accuracy \(decimals(scores.accuracy)) Dice \(decimals(scores.diceMean))"
      }
      printError(text + "  \(String(format: "%.1f", record.seconds)) s" + (isBest ? "  (best)" : ""))
    }
  }

  private func bar(_ share: Double) -> String {
    let width = 24
    let full = Int((share * Double(width)).rounded(.down))
    return "[" + String(repeating: "=", count: full) + String(repeating: " ", count: width - full) + "]"
  }

  private func duration(_ seconds: Double) -> String {
    let s = Int(seconds)
    return s >= 3600 ? "\(s / 3600) h \(s / 60 % 60) min" : s >= 60 ? "\(s / 60) min \(s % 60) s" : "\(s) s"
  }

  private func draw(_ text: String) {
    guard isTerminal else { return printError(text) }
    writeError("\r\u{1B}[K" + text)
    barShown = true
  }

  func clear() {
    if barShown { writeError("\r\u{1B}[K") }
    barShown = false
  }
}
