import Foundation
import Images
import Testing

@testable import Datasets

@Suite struct SynthesisTests {
  private let options = Synthesis.Options(
    patchSize: 64, trainCount: 5, validationCount: 2, testCount: 1, seed: 11)

  private func bytes(_ folder: TemporaryFolder) throws -> [String: Data] {
    var found: [String: Data] = [:]
    for name in try FileManager.default.subpathsOfDirectory(atPath: folder.path) where name.hasSuffix(".jpg") {
      found[name] = FileManager.default.contents(atPath: "\(folder.path)/\(name)")
    }
    return found
  }

  @Test func sameSeedSameBytes() throws {
    let (first, second, other) = (try TemporaryFolder(), try TemporaryFolder(), try TemporaryFolder())
    #expect(try Synthesis.write(to: first.path + "/new/folder", options: options, threads: 1) == 8)
    try Synthesis.write(to: second.path + "/new/folder", options: options, threads: 3)
    var changed = options
    changed.seed = 12
    try Synthesis.write(to: other.path + "/new/folder", options: changed)
    let files = try bytes(first)
    #expect(files.count == 16)
    #expect(try bytes(second) == files)
    #expect(try Set(bytes(other).keys) == Set(files.keys) && bytes(other) != files)
  }

  @Test func layoutIsTheChallenges() throws {
    let folder = try TemporaryFolder()
    try Synthesis.write(to: folder.path, options: options)
    let dataset = try PatchDataset.scan(root: folder.path).verified()
    try dataset.requireFaultless()
    let summary = dataset.summary
    #expect(Split.allCases.map { summary.patchCount(in: $0) } == [5, 2, 1])
    #expect(summary.groups.filter { $0.split == .train }.map(\.name) == ["56Nx", "DN", "NEP25", "normal"])
    #expect(summary.casesInSeveralSplits == [])
    #expect(summary.sizes.map(\.width) == [64])
    #expect(FileManager.default.fileExists(atPath: folder.path + "/train/DN/s01/img/s01_1_64_0_img.jpg"))
    #expect(throws: DatasetError.self) { try Synthesis.write(to: folder.path, options: .init(patchSize: 8)) }
  }

  @Test func masksSurviveJPEG() throws {
    let (_, mask) = Synthesis.patch(size: 96, seed: 1, index: 1)
    let back = try ImageFile.read(bytes: ImageFile.encodeJPEG(mask, quality: 95), channels: 1)
    #expect(zip(mask.bytes, back.bytes).count { ($0 >= 128) != ($1 >= 128) } <= 2)
    #expect(Set(mask.bytes) == [0, 255])
  }

  /// The best threshold, either way, on any simple feature of a pixel's colour must leave the task unsolved:
  /// F1 = 2 TP / (2 TP + FP + FN) over all pixels of all patches stays below 0.75.
  @Test func noColourThresholdSolvesIt() throws {
    let features: [(name: String, value: (Int, Int, Int) -> Int)] = [
      ("red", { r, _, _ in r }), ("green", { _, g, _ in g }), ("blue", { _, _, b in b }),
      ("grey", { r, g, b in (r + g + b) / 3 }), ("red − blue", { r, _, b in (r - b + 255) / 2 }),
      ("red − green", { r, g, _ in (r - g + 255) / 2 }), ("blue − green", { _, g, b in (b - g + 255) / 2 }),
      ("saturation", { r, g, b in 255 * (max(r, g, b) - min(r, g, b)) / max(r, g, b, 1) }),
      ("red share", { r, g, b in 255 * r / max(r + g + b, 1) }),
      ("blue share", { r, g, b in 255 * b / max(r + g + b, 1) }),
    ]
    var foreground = [[Int]](repeating: [Int](repeating: 0, count: 256), count: features.count)
    var background = foreground
    for index in 0..<3 {
      for group in 0..<4 {
        let (image, mask) = Synthesis.patch(size: 96, seed: 1, group: group, caseNumber: group + 1, index: index)
        for i in mask.bytes.indices {
          let (r, g, b) = (Int(image.bytes[3 * i]), Int(image.bytes[3 * i + 1]), Int(image.bytes[3 * i + 2]))
          for (f, feature) in features.enumerated() {
            let value = feature.value(r, g, b)
            if mask.bytes[i] > 0 { foreground[f][value] += 1 } else { background[f][value] += 1 }
          }
        }
      }
    }
    let total = foreground[0].reduce(0, +), pixels = 12 * 96 * 96
    #expect((0.04...0.4).contains(Double(total) / Double(pixels)))
    for (f, feature) in features.enumerated() {
      var best = 0.0
      // True and false positives of "at most the threshold"; "above it" is what they leave.
      var (tp, fp) = (0, 0)
      for threshold in 0..<256 {
        tp += foreground[f][threshold]
        fp += background[f][threshold]
        let below = 2 * Double(tp) / Double(tp + fp + total)
        let (restTP, restFP) = (total - tp, pixels - total - fp)
        let above = 2 * Double(restTP) / Double(restTP + restFP + total)
        best = max(best, below, above)
      }
      #expect(best < 0.75, "\(feature.name)")
      print("best threshold on \(feature.name): F1 \((best * 1000).rounded() / 1000)")
    }
  }
}
