import Foundation

/// Whether the user asked the process to stop: once finishes the step and saves, twice quits at once.
public enum Interrupt {
  // Written by a signal handler, read by the training loop; a word, so never torn.
  nonisolated(unsafe) private static var count: sig_atomic_t = 0

  /// Takes over SIGINT and SIGTERM.
  public static func install() {
    let handler: @convention(c) (Int32) -> Void = { signal in
      Interrupt.count += 1
      if Interrupt.count > 1 { _exit(128 + signal) }
    }
    signal(SIGINT, handler)
    signal(SIGTERM, handler)
  }

  public static var isRequested: Bool { count > 0 }
}
