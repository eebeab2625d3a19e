import Foundation
import Synchronization

/// Whether the user asked the process to stop: once finishes the step and saves, twice quits at once.
public enum Interrupt {
  // Written by a signal handler, so without a lock.
  private static let firstSeconds = Atomic(0)

  /// Takes over SIGINT, SIGTERM, and SIGHUP where it is not ignored as under nohup.
  public static func install() {
    let handler: @convention(c) (Int32) -> Void = { signal in
      let now = time(nil)
      let (isFirst, first) = Interrupt.firstSeconds.compareExchange(expected: 0, desired: now, ordering: .relaxed)
      if isFirst {
        let words: StaticString = "\nstopping as soon as all is saved; once more to quit at once\n"
        _ = write(2, words.utf8Start, words.utf8CodeUnitCount)
      } else if now - first >= 2 {
        // At once means a person who asked again; a scheduler often signals a process and its group together.
        _exit(128 + signal)
      }
    }
    // Made here, not by the handler.
    _ = firstSeconds.load(ordering: .relaxed)
    signal(SIGINT, handler)
    signal(SIGTERM, handler)
    if unsafeBitCast(signal(SIGHUP, handler), to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self) { signal(SIGHUP, SIG_IGN) }
    // A process that was started by one that blocks them inherits that: the signals would never come.
    var signals = sigset_t()
    sigemptyset(&signals)
    for signal in [SIGINT, SIGTERM, SIGHUP] { sigaddset(&signals, signal) }
    pthread_sigmask(SIG_UNBLOCK, &signals, nil)
  }

  public static var isRequested: Bool { firstSeconds.load(ordering: .relaxed) > 0 }
}
