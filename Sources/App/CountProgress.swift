import Engine
import Foundation
import Synchronization

/// Shows how far a long piece of work is, on standard error: a bar that is drawn over where that is a terminal, else a line
/// now and then. May be called from any thread.
final class CountProgress: Sendable {
  private struct State {
    let isTerminal = isatty(2) == 1
    let start = monotonicSeconds()
    var lastShown = monotonicSeconds()
    var barShown = false
    /// What the rate is taken over.
    var name = ""
    var nameStart = monotonicSeconds()
    var firstDone = 0
  }

  private let unit: String
  private let state = Mutex(State())

  /// - Parameter unit: what is counted, such as "patches".
  init(unit: String) { self.unit = unit }

  func show(_ name: String, done: Int, all: Int) {
    state.withLock { state in
      let now = monotonicSeconds()
      if state.name != name {
        (state.name, state.nameStart, state.firstDone) = (name, now, max(0, done - 1))
      }
      guard now - state.lastShown > (state.isTerminal ? 0.2 : 30) else { return }
      state.lastShown = now
      let rate = Double(done - state.firstDone) / max(1e-9, now - state.nameStart)
      let share = all > 0 ? Double(done) / Double(all) : 1
      let width = 24, full = Int(share * 24)
      let bar = "[" + String(repeating: "=", count: full) + String(repeating: " ", count: width - full) + "]"
      let left = Int(Double(all - done) / max(1e-9, rate))
      let time =
        left >= 3600 ? "\(left / 3600) h \(left / 60 % 60) min" : left >= 60 ? "\(left / 60) min \(left % 60) s" : "\(left) s"
      let text = "\(name) \(bar) \(done) of \(all) \(unit), \(time) left"
      if state.isTerminal {
        writeError("\r\u{1B}[K" + text)
        state.barShown = true
      } else {
        printError(text)
      }
    }
  }

  func clear() {
    state.withLock { state in
      if state.barShown { writeError("\r\u{1B}[K") }
      state.barShown = false
    }
  }
}
