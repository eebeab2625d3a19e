import Foundation
import Images
import Testing

@testable import Datasets

@Suite struct LoaderTests {
  /// Ten patches of 4 × 4 whose red byte is 20 times their index.
  private func pairs(_ folder: TemporaryFolder, count: Int = 10) throws -> [PatchPair] {
    for i in 0..<count { try folder.pair("train/g/c", "c_\(i)_0_0", value: UInt8(20 * i)) }
    return try PatchDataset.scan(root: folder.path).pairs
  }

  private func all(_ prefetcher: Prefetcher) throws -> [Batch] {
    var batches: [Batch] = []
    while let batch = try prefetcher.next() { batches.append(batch) }
    return batches
  }

  private func same(_ a: [Batch], _ b: [Batch]) -> Bool {
    a.count == b.count
      && zip(a, b).allSatisfy {
        $0.number == $1.number && $0.indices == $1.indices && $0.images == $1.images && $0.masks == $1.masks
      }
  }

  @Test func anEpochHoldsEachPatchOnce() throws {
    let folder = try TemporaryFolder()
    let loader = try BatchLoader(pairs: pairs(folder), options: .init(batchSize: 4, patchSize: nil, seed: 5))
    let batches = try all(loader.epoch(0))
    #expect(batches.map(\.count) == [4, 4, 2])
    #expect(batches.map(\.number) == [0, 1, 2])
    #expect(batches.flatMap(\.indices).sorted() == Array(0..<10))
    #expect(batches.flatMap(\.indices) == loader.order(epoch: 0))
    #expect(loader.order(epoch: 0) != loader.order(epoch: 1))
    for batch in batches {
      #expect((batch.width, batch.height) == (4, 4))
      #expect(batch.images.count == batch.count * 3 * 16 && batch.masks.count == batch.count * 16)
      for (slot, index) in batch.indices.enumerated() {
        #expect(batch.images[slot * 48..<(slot + 1) * 48].allSatisfy { $0 == Float(20 * index) / 255 })
        #expect(batch.masks[slot * 16..<(slot + 1) * 16].allSatisfy { $0 == (20 * index >= 128 ? 1 : 0) })
      }
    }
  }

  @Test func orderAndLastBatchFollowTheOptions() throws {
    let folder = try TemporaryFolder()
    let pairs = try pairs(folder)
    let loader = try BatchLoader(
      pairs: pairs, options: .init(batchSize: 4, patchSize: nil, shuffles: false))
    #expect(loader.batchCount == 3)
    #expect(try all(loader.epoch(3)).map(\.indices) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]])
    #expect(throws: DatasetError.self) { try BatchLoader(pairs: [], options: .init(batchSize: 1, patchSize: nil)) }
    #expect(throws: DatasetError.self) { try BatchLoader(pairs: pairs, options: .init(batchSize: 0, patchSize: nil)) }
  }

  @Test func threadsCacheAndDepthChangeNothing() throws {
    let folder = try TemporaryFolder()
    try Synthesis.write(
      to: folder.path, options: .init(patchSize: 32, trainCount: 11, validationCount: 0, testCount: 0))
    let pairs = try PatchDataset.scan(root: folder.path).pairs
    var options = BatchLoader.Options(batchSize: 3, patchSize: 24, seed: 7, augmentation: .init())
    let plain = try BatchLoader(pairs: pairs, options: options)
    let expected = try (0..<2).map { try all(plain.epoch($0)) }
    #expect(!same(expected[0], expected[1]))
    for (threads, depth, cache) in [(3, 4, 0), (3, 2, 1 << 20), (1, 1, 5 * 24 * 24 * 4), (4, 8, 1 << 20)] {
      options.threadCount = threads
      options.depth = depth
      options.cacheByteLimit = cache
      let loader = try BatchLoader(pairs: pairs, options: options)
      for epoch in 0..<2 {
        let whole = try all(loader.epoch(epoch))
        #expect(same(whole, expected[epoch]), "\(threads) threads, depth \(depth), cache \(cache)")
        let rest = try all(loader.epoch(epoch, startBatch: 2))
        #expect(same(rest, Array(expected[epoch].dropFirst(2))))
      }
    }
    #expect(try plain.epoch(0, startBatch: 4).next() == nil)
    #expect(try plain.epoch(0, startBatch: 99).next() == nil)
  }

  @Test func cacheKeepsToItsLimit() throws {
    let folder = try TemporaryFolder()
    let pairs = try pairs(folder)
    let cache = DecodedCache(byteLimit: 3 * 64)
    var loads = 0
    for _ in 0..<2 {
      for i in pairs.indices {
        _ = try cache.patch(i) { () throws(DatasetError) in
          loads += 1
          return try DecodedPatch.load(pairs[i], patchSize: nil)
        }
      }
    }
    #expect(cache.byteCount == 3 * 64)
    #expect(loads == 10 + 7)
  }

  @Test func aWorkersErrorComesOutOfNext() throws {
    let folder = try TemporaryFolder()
    let pairs = try pairs(folder)
    try FileManager.default.removeItem(atPath: pairs[5].imagePath)
    for threads in [1, 3] {
      let loader = try BatchLoader(
        pairs: pairs, options: .init(batchSize: 2, patchSize: nil, shuffles: false, threadCount: threads, depth: 3))
      let prefetcher = loader.epoch(0)
      #expect(try prefetcher.next()?.indices == [0, 1])
      #expect(try prefetcher.next()?.indices == [2, 3])
      let error = DatasetError.image(
        ImageError(.missing, path: pairs[5].imagePath, reason: "there is no such file"))
      #expect(throws: error) { try prefetcher.next() }
      #expect(throws: error) { try prefetcher.next() }
    }
  }

  @Test func mixedSizesAreNamed() throws {
    let folder = try TemporaryFolder()
    _ = try pairs(folder, count: 2)
    try folder.picture("train/g/c/img/c_9_0_0_img.jpg", width: 6)
    try folder.picture("train/g/c/mask/c_9_0_0_mask.jpg", width: 6)
    let pairs = try PatchDataset.scan(root: folder.path).pairs
    let native = try BatchLoader(pairs: pairs, options: .init(batchSize: 3, patchSize: nil))
    #expect(throws: DatasetError.self) { try native.epoch(0).next() }
    let scaled = try BatchLoader(pairs: pairs, options: .init(batchSize: 3, patchSize: 4))
    #expect(try scaled.epoch(0).next()?.count == 3)
  }

  @Test func droppingEarlyStopsTheThreads() throws {
    let folder = try TemporaryFolder()
    let pairs = try pairs(folder)
    for round in 0..<50 {
      let loader = try BatchLoader(
        pairs: pairs,
        options: .init(batchSize: 1, patchSize: nil, threadCount: 1 + round % 4, depth: 1 + round % 3))
      let prefetcher = loader.epoch(round)
      for _ in 0..<round % 4 { _ = try prefetcher.next() }
    }
  }
}
