/// Items made by several threads ahead of one consumer, which gets them in order.
///
/// At most `depth` items are made or being made beyond the one that was handed out last, so memory is bounded whatever
/// the count. The consumer ends the threads by letting the pipeline go.
package final class OrderedPipeline<Item: Sendable> {
  private struct State: Sendable {
    var nextToMake = 0
    var nextToTake = 0
    var made: [Int: Item] = [:]
    var isCancelled = false
  }

  private let count: Int
  private let state = Monitor(State())
  private var workers: [WorkerThread] = []
  private let make: Maker

  /// Makes the item of a number; may give up halfway once the closure says that nobody wants it any more.
  package typealias Maker = @Sendable (_ number: Int, _ isCancelled: () -> Bool) -> Item

  /// - Parameters:
  ///   - threads: 0 makes each item when it is asked for, on the consumer's thread; so does a system that gives no thread.
  ///   - make: called once for each number of 0 ..< count, on any thread.
  package init(count: Int, threads: Int, depth: Int, make: @escaping Maker) {
    self.count = count
    self.make = make
    let state = state, depth = max(1, depth)
    for _ in 0..<min(threads, count) {
      let worker = WorkerThread {
        while true {
          let number: Int? = state.wait { state in
            if state.isCancelled || state.nextToMake >= count { return .some(nil) }
            guard state.nextToMake < state.nextToTake + depth else { return nil }
            state.nextToMake += 1
            return state.nextToMake - 1
          }
          guard let number else { return }
          let item = make(number) { state.change { $0.isCancelled } }
          state.change { $0.made[number] = item }
        }
      }
      if let worker { workers.append(worker) }
    }
  }

  deinit {
    state.change { $0.isCancelled = true }
    for worker in workers { worker.join() }
  }

  /// The next item in order; `nil` when all are taken.
  package func next() -> Item? {
    if workers.isEmpty {
      let number: Int = state.change { state in
        state.nextToTake += 1
        return state.nextToTake - 1
      }
      return number < count ? make(number) { false } : nil
    }
    let count = count
    return state.wait { state -> Item?? in
      guard state.nextToTake < count else { return .some(nil) }
      guard let item = state.made.removeValue(forKey: state.nextToTake) else { return nil }
      state.nextToTake += 1
      return .some(item)
    }
  }
}
