import Threads

/// The batches of one epoch, in order, made ahead of the caller.
///
/// At most `depth` batches exist besides the caller's. Letting the prefetcher go stops and joins its threads; that takes as long as
/// decoding one patch.
///
/// Not Sendable: one thread calls `next()`.
public final class Prefetcher {
  /// nil is a batch that was given up because nobody wants it any more.
  private let pipeline: OrderedPipeline<Result<Batch, DatasetError>?>
  private var failure: DatasetError?

  init(loader: BatchLoader, epoch: Int, startBatch: Int) {
    precondition(startBatch >= 0, "batches are numbered from 0")
    let options = loader.options
    let order = loader.order(epoch: epoch)
    pipeline = OrderedPipeline(
      count: max(0, loader.batchCount - startBatch), threads: min(options.threadCount, options.depth), depth: options.depth
    ) { number, isCancelled in
      do throws(DatasetError) {
        return try loader.batch(startBatch + number, epoch: epoch, order: order, isCancelled: isCancelled).map { .success($0) }
      } catch {
        return .failure(error)
      }
    }
  }

  /// The next batch, waiting for it if need be; `nil` after the last.
  ///
  /// - Throws: what went wrong while the batch was made; every later call throws the same.
  public func next() throws(DatasetError) -> Batch? {
    if let failure { throw failure }
    switch pipeline.next() ?? nil {
    case nil: return nil
    case .success(let batch): return batch
    case .failure(let error):
      failure = error
      throw error
    }
  }
}
