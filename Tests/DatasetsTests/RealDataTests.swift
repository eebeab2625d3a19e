import Foundation
import Images
import Testing

@testable import Datasets

/// Real patches, when they lie beside the package (`../shared/data`); the licence of some lets nobody publish them.
@Suite struct RealDataTests {
  private static let data = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("shared/data").path

  private func folder(_ name: String) -> String? {
    let path = "\(Self.data)/\(name)"
    if FileManager.default.fileExists(atPath: path) { return path }
    print("NOT RUN: there are no real patches at \(path)")
    return nil
  }

  @Test func humanPatches() throws {
    guard let root = folder("glomeruli/Task1_patch_level") else { return }
    let dataset = try PatchDataset.scan(root: root)
    #expect(dataset.faults == [])
    #expect(Set(dataset.pairs.map(\.group)) == ["HE", "PAS"])
    #expect(!dataset.pairs(in: .train).isEmpty && !dataset.pairs(in: .validation).isEmpty)
    #expect(dataset.pairs.allSatisfy { $0.width == 384 && $0.height == 384 })
    print(dataset.summary)
    let loader = try BatchLoader(
      pairs: Array(dataset.pairs(in: .train).prefix(6)), options: .init(batchSize: 4, patchSize: 64, threadCount: 2))
    let prefetcher = loader.epoch(0)
    var foreground: Float = 0
    while let batch = try prefetcher.next() {
      foreground += batch.masks.reduce(0, +)
      #expect(batch.images.allSatisfy { (0...1).contains($0) })
    }
    #expect(foreground > 0)
  }

  @Test func mousePatches() throws {
    guard let root = folder("kpis_2048") else { return }
    let dataset = try PatchDataset.scan(root: root).verified(threads: 2)
    try dataset.requireFaultless()
    #expect(dataset.pairs.map(\.index) == [50, 71, 114, 135])
    #expect(dataset.pairs.allSatisfy { $0.width == 2048 && $0.height == 2048 && $0.caseName == "11-363" })
  }
}
