import Randomness
import Threads

/// Patches side by side, as a network takes them.
public struct Batch: Sendable {
  public let epoch: Int
  /// Place of the batch in its epoch, from 0.
  public let number: Int
  /// Patches in the batch: the batch size, or fewer in the last one.
  public let count: Int
  public let height: Int
  public let width: Int
  /// (N, 3, H, W), 0 … 1.
  public let images: [Float]
  /// (N, 1, H, W), 0 or 1.
  public let masks: [Float]
  /// Which of the loader's pairs the patches are.
  public let indices: [Int]
}

/// Makes the batches of any epoch from a list of pairs.
///
/// What a batch holds depends on the pairs, the options, the epoch and its number alone: not on threads, and not on
/// the batches before it. So a run that is taken up in the middle of an epoch sees what it would have seen.
///
/// `epoch(_:startBatch:)` gives the batches in order, made ahead of the caller on other threads.
public struct BatchLoader: Sendable {
  public struct Options: Sendable, Equatable {
    public var batchSize: Int
    /// The side of the square that patches are scaled to; `nil` keeps their size, which must then be one.
    public var patchSize: Int?
    /// Of the order and the augmentation.
    public var seed: UInt64
    /// A new order each epoch; otherwise the order of the pairs.
    public var shuffles: Bool
    /// How often each patch comes, where `shuffles`.
    public var balance: PatchBalance
    public var augmentation: Augmentation
    /// Threads that decode; each makes one batch at a time.
    public var threadCount: Int
    /// Batches made ahead of the caller.
    public var depth: Int
    /// Bytes of decoded, scaled patches kept from one epoch to the next (4 · side² a patch); 0 keeps none.
    public var cacheByteLimit: Int

    public init(
      batchSize: Int, patchSize: Int?, seed: UInt64 = 0, shuffles: Bool = true, balance: PatchBalance = .none,
      augmentation: Augmentation = .none, threadCount: Int = 1, depth: Int = 2, cacheByteLimit: Int = 0
    ) {
      self.batchSize = batchSize
      self.patchSize = patchSize
      self.seed = seed
      self.shuffles = shuffles
      self.balance = balance
      self.augmentation = augmentation
      self.threadCount = threadCount
      self.depth = depth
      self.cacheByteLimit = cacheByteLimit
    }
  }

  public let pairs: [PatchPair]
  public let options: Options
  private let cache: DecodedCache

  /// - Throws: `.empty` without pairs, `.option` for an option out of range.
  public init(pairs: [PatchPair], options: Options) throws(DatasetError) {
    guard !pairs.isEmpty else { throw .empty("there are no patches to make batches of") }
    guard options.batchSize >= 1 else { throw .option("the batch size is \(options.batchSize); it must be 1 or more") }
    if let side = options.patchSize, !(1...65_535).contains(side) {
      throw .option("the patch size is \(side); it must be 1 to 65,535")
    }
    guard options.threadCount >= 1, options.depth >= 1, options.cacheByteLimit >= 0 else {
      throw .option("loader threads and depth must be 1 or more, the cache's limit 0 or more")
    }
    self.pairs = pairs
    self.options = options
    cache = DecodedCache(byteLimit: options.cacheByteLimit)
  }

  /// Batches in an epoch, the last of which may be smaller.
  public var batchCount: Int { (pairs.count + options.batchSize - 1) / options.batchSize }

  /// The order of the pairs in an epoch.
  public func order(epoch: Int) -> [Int] {
    guard options.shuffles else { return Array(pairs.indices) }
    var random = RandomSource(
      seed: options.seed, RandomStream.order.rawValue, UInt64(bitPattern: Int64(epoch)))
    return options.balance.order(pairs, random: &random)
  }

  /// Starts to make the batches of an epoch, from `startBatch` on.
  public func epoch(_ epoch: Int, startBatch: Int = 0) -> Prefetcher {
    Prefetcher(loader: self, epoch: epoch, startBatch: startBatch)
  }

  /// How often each of a batch's patches was in the epoch before: a patch that is shown again is changed in another way.
  private static func timesShown(_ order: [Int], before start: Int, _ indices: [Int]) -> [Int] {
    var counts = Dictionary(indices.map { ($0, 0) }) { first, _ in first }
    for i in order[..<start] { if let count = counts[i] { counts[i] = count + 1 } }
    return indices.map { i in
      defer { counts[i, default: 0] += 1 }
      return counts[i, default: 0]
    }
  }

  /// Makes one batch on the calling thread.
  ///
  /// - Parameters:
  ///   - order: `order(epoch:)` of the same epoch.
  ///   - isCancelled: looked at between patches; `nil` is returned when it says yes.
  func batch(
    _ number: Int, epoch: Int, order: [Int], isCancelled: () -> Bool = { false }
  ) throws(DatasetError) -> Batch? {
    let range = number * options.batchSize..<min((number + 1) * options.batchSize, pairs.count)
    let indices = Array(order[range])
    var patches: [DecodedPatch] = []
    for i in indices {
      if isCancelled() { return nil }
      let patch = try cache.patch(i) { () throws(DatasetError) in
        try DecodedPatch.load(pairs[i], patchSize: options.patchSize)
      }
      if let first = patches.first, first.width != patch.width || first.height != patch.height {
        throw .mixedSizes(
          "\(pairs[i].imagePath) is \(patch.width) × \(patch.height) pixels and \(pairs[indices[0]].imagePath) is "
            + "\(first.width) × \(first.height); patches of one batch have one size, so give a patch size")
      }
      patches.append(patch)
    }

    let shown = Self.timesShown(order, before: range.lowerBound, indices)
    let (width, height) = (patches[0].width, patches[0].height)
    let plane = width * height
    var masks = [Float](repeating: 0, count: indices.count * plane)
    let images = [Float](unsafeUninitializedCapacity: 3 * indices.count * plane) { images, filled in
      masks.withUnsafeMutableBufferPointer { masks in
        for (slot, patch) in patches.enumerated() {
          let draw = options.augmentation.draw(seed: options.seed, epoch: epoch, sample: indices[slot], time: shown[slot])
          patch.write(
            draw,
            image: UnsafeMutableBufferPointer(rebasing: images[3 * slot * plane..<3 * (slot + 1) * plane]),
            mask: UnsafeMutableBufferPointer(rebasing: masks[slot * plane..<(slot + 1) * plane]))
        }
      }
      filled = 3 * indices.count * plane
    }
    return Batch(
      epoch: epoch, number: number, count: indices.count, height: height, width: width, images: images, masks: masks,
      indices: indices)
  }
}

/// Decoded patches of a loader, by their index. Filled until its limit and then left as it is: an epoch visits
/// every patch once, so throwing out old ones to keep new ones would only lose hits.
final class DecodedCache: Sendable {
  private struct Store: Sendable {
    var patches: [Int: DecodedPatch] = [:]
    var byteCount = 0
  }

  private let byteLimit: Int
  private let store = Monitor(Store())

  init(byteLimit: Int) {
    self.byteLimit = byteLimit
  }

  /// The patch, from memory or by `load`, which runs without the lock.
  func patch(_ index: Int, load: () throws(DatasetError) -> DecodedPatch) throws(DatasetError) -> DecodedPatch {
    if byteLimit == 0 { return try load() }
    if let kept = store.change({ $0.patches[index] }) { return kept }
    let patch = try load()
    store.change { store in
      guard store.patches[index] == nil, store.byteCount + patch.byteCount <= byteLimit else { return }
      store.patches[index] = patch
      store.byteCount += patch.byteCount
    }
    return patch
  }

  var byteCount: Int { store.change { $0.byteCount } }
}
