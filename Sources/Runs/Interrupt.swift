import Foundation

/// Whether the user asked the process to stop: once finishes the step and saves, twice quits at once.
public enum Interrupt {
  // Written by a signal handler, read by the training loop; a word, so never torn.
  nonisolated(unsafe) private static var firstSeconds = 0

  /// Takes over SIGINT and SIGTERM.
  public static func install() {
    let handler: @convention(c) (Int32) -> Void = { signal in
      let now = time(nil)
      if Interrupt.firstSeconds == 0 {
        Interrupt.firstSeconds = now
      } else if now - Interrupt.firstSeconds >= 2 {
        // At once means a person who asked again; a scheduler often signals a process and its group together.
        _exit(128 + signal)
      }
    }
    signal(SIGINT, handler)
    signal(SIGTERM, handler)
    // A process that was started by one that blocks them inherits that: the signals would never come.
    var both = sigset_t()
    sigemptyset(&both)
    sigaddset(&both, SIGINT)
    sigaddset(&both, SIGTERM)
    pthread_sigmask(SIG_UNBLOCK, &both, nil)
  }

  public static var isRequested: Bool { firstSeconds > 0 }
}
