import Threads

/// The batches of one epoch, in order, made ahead of the caller.
///
/// ```
/// worker:   wait until  nextToMake < taken + depth  or the end;  n = nextToMake;  nextToMake += 1
///           make batch n without the lock;  ring[n % depth] = batch or error
/// next():   wait until  ring[taken % depth]  is filled;  empty it;  taken += 1
/// ```
///
/// At most `depth` batches exist besides the caller's. Workers hold the ring and not the prefetcher, so dropping the
/// prefetcher early stops and joins them; that takes as long as decoding one patch.
///
/// Not Sendable: one thread calls `next()`.
public final class Prefetcher {
  private struct Ring: Sendable {
    var slots: [Result<Batch, DatasetError>?]
    /// Numbers of batches in the epoch.
    var nextToMake: Int
    var taken: Int
    var isStopped = false
  }

  private let ring: Monitor<Ring>
  private let end: Int
  private var workers: [WorkerThread] = []
  private var failure: DatasetError?

  init(loader: BatchLoader, epoch: Int, startBatch: Int) throws(DatasetError) {
    precondition(startBatch >= 0, "batches are numbered from 0")
    let depth = loader.options.depth
    let end = loader.batchCount
    let order = loader.order(epoch: epoch)
    let ring = Monitor(
      Ring(
        slots: [Result<Batch, DatasetError>?](repeating: nil, count: depth), nextToMake: startBatch,
        taken: startBatch))
    self.ring = ring
    self.end = end

    let work: @Sendable () -> Void = {
      while true {
        let number = ring.wait { ring -> Int? in
          if ring.isStopped || ring.nextToMake >= end { return -1 }
          guard ring.nextToMake < ring.taken + depth else { return nil }
          ring.nextToMake += 1
          return ring.nextToMake - 1
        }
        if number < 0 { return }
        let made: Result<Batch, DatasetError>
        do throws(DatasetError) {
          let isStopped = { ring.change { $0.isStopped } }
          guard let batch = try loader.batch(number, epoch: epoch, order: order, isCancelled: isStopped) else { return }
          made = .success(batch)
        } catch {
          made = .failure(error)
        }
        ring.change { $0.slots[number % depth] = made }
      }
    }
    for _ in 0..<min(loader.options.threadCount, depth, max(0, end - startBatch)) {
      guard let worker = WorkerThread(work) else { break }
      workers.append(worker)
    }
    if workers.isEmpty && startBatch < end { throw .noThread }
  }

  /// The next batch, waiting for it if need be; `nil` after the last.
  ///
  /// - Throws: what went wrong while the batch was made; every later call throws the same.
  public func next() throws(DatasetError) -> Batch? {
    if let failure { throw failure }
    let end = end
    let made = ring.wait { ring -> Result<Batch, DatasetError>?? in
      if ring.taken >= end { return .some(nil) }
      let slot = ring.taken % ring.slots.count
      guard let made = ring.slots[slot] else { return nil }
      ring.slots[slot] = nil
      ring.taken += 1
      return made
    }
    switch made {
    case nil: return nil
    case .success(let batch): return batch
    case .failure(let error):
      failure = error
      throw error
    }
  }

  deinit {
    ring.change { $0.isStopped = true }
    for worker in workers { worker.join() }
  }
}
