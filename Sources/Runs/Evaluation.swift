public import Datasets
public import Engine
import Images

/// Scores of a model on a set of patches: pooled, and by split, group and case.
public struct Evaluation: Codable, Sendable, Equatable {
  /// Scores pooled over pixels.
  public struct Pooled: Codable, Sendable, Equatable {
    public let accuracy: Double
    public let precision: Double
    public let recall: Double
    public let f1: Double
  }

  /// Scores of a subset.
  public struct Part: Codable, Sendable, Equatable {
    public let accuracy: Double
    public let precision: Double
    public let recall: Double
    public let f1: Double
    public let dice_mean: Double
    public let patches: Int
  }

  public let pooled: Pooled
  /// The mean over patches of each patch's Dice.
  public let dice_mean: Double
  public let patches: Int
  public let threshold: Double
  public let splits: [String: Part]
  public let groups: [String: Part]
  public let cases: [String: Part]
}

/// Adds up patches' scores.
public struct ScoreTally: Sendable {
  private struct Sum {
    var pixels = PixelMetrics()
    var dice = 0.0
    var patches = 0

    mutating func add(_ metrics: PixelMetrics) {
      pixels += metrics
      dice += metrics.dice
      patches += 1
    }

    var part: Evaluation.Part {
      .init(
        accuracy: pixels.accuracy, precision: pixels.precision, recall: pixels.recall, f1: pixels.f1,
        dice_mean: patches == 0 ? 0 : dice / Double(patches), patches: patches)
    }
  }

  private var all = Sum()
  private var splits: [String: Sum] = [:]
  private var groups: [String: Sum] = [:]
  private var cases: [String: Sum] = [:]
  private let threshold: Double

  public init(threshold: Double) { self.threshold = threshold }

  /// Adds a batch of patches, logits (N, 1, H, W) in the order of the batch.
  public mutating func add(_ batch: Batch, logits: [Float], pairs: [PatchPair]) {
    let plane = batch.height * batch.width
    for (position, index) in batch.indices.enumerated() {
      let range = position * plane..<(position + 1) * plane
      var metrics = PixelMetrics()
      metrics.add(logits: logits[range], mask: batch.masks[range], threshold: threshold)
      add(metrics, of: pairs[index])
    }
  }

  mutating func add(_ metrics: PixelMetrics, of pair: PatchPair) {
    all.add(metrics)
    splits[pair.split.rawValue, default: Sum()].add(metrics)
    groups[pair.group, default: Sum()].add(metrics)
    cases["\(pair.group)/\(pair.caseName)", default: Sum()].add(metrics)
  }

  public var evaluation: Evaluation {
    let total = all.part
    return Evaluation(
      pooled: .init(accuracy: total.accuracy, precision: total.precision, recall: total.recall, f1: total.f1),
      dice_mean: total.dice_mean, patches: total.patches, threshold: threshold, splits: splits.mapValues(\.part),
      groups: groups.mapValues(\.part), cases: cases.mapValues(\.part))
  }

  var scores: PixelScores { PixelScores(all.part) }
  var groupScores: [String: PixelScores] { groups.mapValues { PixelScores($0.part) } }
}

extension PixelScores {
  init(_ part: Evaluation.Part) {
    self.init(
      accuracy: part.accuracy, precision: part.precision, recall: part.recall, f1: part.f1, diceMean: part.dice_mean,
      patches: part.patches)
  }
}

extension Evaluation {
  /// Scores a model on pairs, resized to the patch size.
  ///
  /// - Parameter progress: patches done and in all.
  public static func run(
    _ session: InferenceSession, pairs: [PatchPair], patch: Int, batch: Int, threshold: Double, threads: Int = 1,
    progress: (Int, Int) -> Void = { _, _ in }
  ) throws -> Evaluation {
    var tally = ScoreTally(threshold: threshold)
    try eachBatch(pairs, patch: patch, batch: batch, threads: threads, cacheBytes: 0) { batch, done in
      let shape = Shape(batch.count, VariableUNet.inputChannels, batch.height, batch.width)
      tally.add(batch, logits: try session.predict(batch.images, shape: shape), pairs: pairs)
      progress(done, pairs.count)
    }
    return tally.evaluation
  }
}

extension Evaluation {
  /// Scores a model on pairs at the images' own size: its probabilities are scaled up to the image, and meet the mask as it is.
  ///
  /// Models that work at different sizes can be compared by it, which scores at each one's patch size cannot.
  ///
  /// - Parameter progress: patches done and in all.
  public static func atOwnSize(
    _ predictor: Predictor, pairs: [PatchPair], progress: (Int, Int) -> Void = { _, _ in }
  ) throws -> Evaluation {
    var tally = ScoreTally(threshold: predictor.threshold)
    for (done, pair) in pairs.enumerated() {
      let decided = predictor.mask(try predictor.probabilities(try ImageFile.read(pair.imagePath, channels: 3)))
      let truth = try ImageFile.read(pair.maskPath, channels: 1)
      var metrics = PixelMetrics()
      metrics.add(
        logits: decided.bytes.map { $0 > 0 ? 1 : -1 }[...],
        mask: truth.bytes.map { $0 >= PatchSample.foregroundThreshold ? 1 : 0 }[...], threshold: 0.5)
      tally.add(metrics, of: pair)
      progress(done + 1, pairs.count)
    }
    return tally.evaluation
  }
}

/// Batches of pairs in their order, decoded ahead.
package func eachBatch(
  _ pairs: [PatchPair], patch: Int?, batch: Int, threads: Int, cacheBytes: Int, _ body: (Batch, Int) throws -> Void
) throws {
  let loader = try BatchLoader(
    pairs: pairs,
    options: .init(
      batchSize: batch, patchSize: patch, shuffles: false, threadCount: threads, depth: threads + 1,
      cacheByteLimit: cacheBytes))
  let batches = loader.epoch(0)
  var done = 0
  while let batch = try batches.next() {
    done += batch.count
    try body(batch, done)
  }
}
