public import Datasets
public import Engine
import Images
import Runs

/// What a model does on patches: the precision–recall curve, and the patches that it does best, usually and worst on.
public struct ModelFindings: Sendable {
  public enum Rank: String, Sendable, CaseIterable { case best, median, worst }

  public struct Patch: Sendable {
    public let rank: Rank
    public let name: String
    public let dice: Double
    /// image | truth | prediction, a JPEG file's bytes.
    public let picture: [UInt8]
  }

  public let curve: ThresholdCurve
  public let patches: [Patch]
  public let patchCount: Int
  /// Patches with foreground: those that are ranked.
  public let rankedCount: Int

  private static let perRank = 4
  private static let pictureSide = 320

  /// - Parameters:
  ///   - patch: the side that patches are resized to.
  ///   - progress: patches done and in all.
  public static func of(
    _ session: InferenceSession, pairs: [PatchPair], patch: Int, batch: Int, threads: Int = 1,
    progress: (Int, Int) -> Void = { _, _ in }
  ) throws -> ModelFindings {
    var curve = ThresholdCurve()
    var scored: [(index: Int, dice: Double)] = []
    try eachBatch(pairs, patch: patch, batch: min(batch, pairs.count), threads: threads, cacheBytes: 0) { batch, done in
      let shape = Shape(batch.count, VariableUNet.inputChannels, batch.height, batch.width)
      let logits = try session.predict(batch.images, shape: shape)
      curve.add(logits: logits, masks: batch.masks)
      let plane = batch.height * batch.width
      for (position, index) in batch.indices.enumerated() {
        let range = position * plane..<(position + 1) * plane
        var metrics = PixelMetrics()
        metrics.add(logits: logits[range], mask: batch.masks[range])
        // A patch without a glomerulus has a Dice of 0 or 1: it would fill both ends.
        if metrics.truePositive + metrics.falseNegative > 0 { scored.append((index, metrics.dice)) }
      }
      progress(done, pairs.count)
    }
    scored.sort { ($0.dice, $1.index) > ($1.dice, $0.index) }
    let predictor = Predictor(session, patch: patch, threshold: 0.5)
    let patches = try ranks(scored.count).map { rank, place in
      let pair = pairs[scored[place].index]
      let image = try ImageFile.read(pair.imagePath, channels: 3)
      var truth = try ImageFile.read(pair.maskPath, channels: 1)
      for i in truth.bytes.indices { truth.bytes[i] = truth.bytes[i] >= PatchSample.foregroundThreshold ? 255 : 0 }
      let mask = predictor.mask(try predictor.probabilities(image))
      let panel = Predictor.panel(image, truth: truth, prediction: mask, side: pictureSide)
      return Patch(
        rank: rank, name: "\(pair.group)/\(pair.caseName)/\(pair.prefix)_\(pair.index)_\(pair.x)_\(pair.y)",
        dice: scored[place].dice, picture: try ImageFile.encodeJPEG(panel, quality: 82))
    }
    return ModelFindings(curve: curve, patches: patches, patchCount: pairs.count, rankedCount: scored.count)
  }

  /// Places in an order of `count` from the best to the worst, none of them twice.
  static func ranks(_ count: Int) -> [(Rank, Int)] {
    guard count > 0 else { return [] }
    let each = max(1, min(perRank, count / 3))
    var taken: Set<Int> = []
    let middle = (count - each) / 2
    let wanted =
      (0..<each).map { (Rank.best, $0) } + (count - each..<count).map { (Rank.worst, $0) }
      + (middle..<middle + each).map { (Rank.median, $0) }
    let once = wanted.filter { $0.1 >= 0 && $0.1 < count && taken.insert($0.1).inserted }
    return Rank.allCases.flatMap { rank in once.filter { $0.0 == rank } }
  }
}

/// Precision and recall of pixels at every threshold, from histograms of the probabilities.
public struct ThresholdCurve: Sendable {
  public struct Point: Sendable, Equatable {
    public let threshold: Double
    public let precision: Double
    public let recall: Double
    public let f1: Double
  }

  static let bins = 1000
  /// Pixels of the foreground and of the background by probability.
  private var foreground = [Int](repeating: 0, count: bins)
  private var background = [Int](repeating: 0, count: bins)

  public init() {}

  public mutating func add(logits: [Float], masks: [Float]) {
    foreground.withUnsafeMutableBufferPointer { foreground in
      background.withUnsafeMutableBufferPointer { background in
        for (logit, truth) in zip(logits, masks) {
          let bin = min(Self.bins - 1, Int(PixelMetrics.probability(logit: logit) * Float(Self.bins)))
          if truth >= 0.5 { foreground[bin] += 1 } else { background[bin] += 1 }
        }
      }
    }
  }

  /// By rising threshold, k/1000: as foreground counts what has at least that probability. Without those at which nothing is found.
  public var points: [Point] {
    let all = foreground.reduce(0, +)
    guard all > 0 else { return [] }
    var points: [Point] = []
    var (hits, alarms) = (0, 0)
    for bin in stride(from: Self.bins - 1, through: 0, by: -1) {
      hits += foreground[bin]
      alarms += background[bin]
      guard hits + alarms > 0 else { continue }
      points.append(
        Point(
          threshold: Double(bin) / Double(Self.bins), precision: Double(hits) / Double(hits + alarms),
          recall: Double(hits) / Double(all), f1: 2 * Double(hits) / Double(hits + alarms + all)))
    }
    return points.reversed()
  }

  /// Of the highest F1; nil without foreground.
  public var best: Point? { points.max { $0.f1 < $1.f1 } }

  /// nil where nothing has so high a probability.
  public func at(_ threshold: Double) -> Point? { points.first { $0.threshold >= threshold - 1e-9 } }

  var chart: Chart? {
    guard let best else { return nil }
    // Neighbours that make no visible step are left out.
    var shown: [Point] = []
    for point in points {
      if let last = shown.last, abs(last.recall - point.recall) < 0.002, abs(last.precision - point.precision) < 0.002 {
        continue
      }
      shown.append(point)
    }
    var script =
      Plot.block("curve", shown.map { [$0.recall, $0.precision] }) + Plot.block("best", [[best.recall, best.precision]])
    let half = at(0.5)
    if let half { script += Plot.block("half", [[half.recall, half.precision]]) }
    script += """
      set xrange [0:1]
      set yrange [0:1]
      set xlabel 'recall'
      set ylabel 'precision'
      set rmargin 7
      set samples 400
      level(f, x) = (2*x-f > 0 && f*x/(2*x-f) <= 1) ? f*x/(2*x-f) : 1/0

      """
    for level in [0.2, 0.4, 0.6, 0.8] {
      script += "set label 'F1 \(level)' at 1.015,\(level / (2 - level)) left textcolor rgb '#667085' font ',11'\n"
    }
    var plots = [0.2, 0.4, 0.6, 0.8].map { "level(\($0), x) with lines lw 1 dt 3 lc rgb '#98a2b3' notitle" }
    plots.append("$curve using 1:2 with lines lw 2 lc rgb '\(Chart.colours[0])' notitle")
    if half != nil { plots.append("$half using 1:2 with points pt 6 ps 1.1 lw 2 lc rgb '#101828' title 'threshold 0.5'") }
    plots.append(
      "$best using 1:2 with points pt 7 ps 1.1 lc rgb '\(Chart.colours[1])' title 'best threshold \(decimal(best.threshold))'")
    return Chart(
      "precision-recall", title: "Precision and recall",
      caption: "Pooled over pixels, thresholds from 0 to 1. Dotted: equal F1.", height: 340,
      script: script + "plot " + plots.joined(separator: ", "))
  }
}
