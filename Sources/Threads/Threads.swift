import Glibc
import Host
import Synchronization

/// State that several threads share: a lock, and a condition that every change signals.
package final class Monitor<State: Sendable>: @unchecked Sendable {
  // Sendable by hand: `state` is touched with the lock held, the two pthread objects keep their address.
  private var state: State
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  package init(_ state: State) {
    self.state = state
    mutex.initialize(to: pthread_mutex_t())
    changed.initialize(to: pthread_cond_t())
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(changed, nil)
  }

  deinit {
    pthread_cond_destroy(changed)
    pthread_mutex_destroy(mutex)
    changed.deallocate()
    mutex.deallocate()
  }

  /// Runs `body` alone and wakes those who wait.
  package func change<Result>(_ body: (inout State) -> Result) -> Result {
    pthread_mutex_lock(mutex)
    defer {
      pthread_cond_broadcast(changed)
      pthread_mutex_unlock(mutex)
    }
    return body(&state)
  }

  /// Runs `body` alone, again after each change, until it gives a result.
  package func wait<Result>(for body: (inout State) -> Result?) -> Result {
    pthread_mutex_lock(mutex)
    defer {
      pthread_cond_broadcast(changed)
      pthread_mutex_unlock(mutex)
    }
    while true {
      if let result = body(&state) { return result }
      pthread_cond_wait(changed, mutex)
    }
  }
}

/// A thread that runs one closure. Whoever starts it joins it.
package struct WorkerThread: Sendable {
  private let handle: pthread_t

  private final class Body {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  /// `nil` when the system gives no thread.
  package init?(_ run: @escaping @Sendable () -> Void) {
    let body = Unmanaged.passRetained(Body(run))
    var handle = pthread_t()
    let status = pthread_create(
      &handle, nil,
      { argument in
        if let argument { Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run() }
        return nil
      }, body.toOpaque())
    guard status == 0 else {
      body.release()
      return nil
    }
    self.handle = handle
  }

  package func join() {
    pthread_join(handle, nil)
  }
}

package enum Parallel {
  /// The processors that this process may use, 16 at most.
  package static var defaultThreadCount: Int { min(16, Processors.available) }

  private final class Counter: Sendable {
    let next = Atomic<Int>(0)
  }

  /// Calls `body` once for each number of 0 ..< count on several threads, the caller's among them, and returns when
  /// all are done. Numbers are handed out one at a time, so uneven work spreads.
  package static func forEach(_ count: Int, threads: Int, _ body: @escaping @Sendable (Int) -> Void) {
    let counter = Counter()
    let work: @Sendable () -> Void = {
      while true {
        let number = counter.next.add(1, ordering: .relaxed).oldValue
        guard number < count else { return }
        body(number)
      }
    }
    // Fewer threads than asked for only make it slower.
    let workers = (1..<max(1, min(threads, count))).compactMap { _ in WorkerThread(work) }
    work()
    for worker in workers { worker.join() }
  }
}
