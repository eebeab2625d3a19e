public import Slides

/// How well a mask of a slide agrees with the true one.
public struct SlideScores: Codable, Sendable, Equatable {
  /// Of pixels. Dice and F1 of pixels are one number but where both masks are empty: Dice is 1 there, F1 0.
  public struct Pixels: Codable, Sendable, Equatable {
    public var dice: Double
    public var precision: Double
    public var recall: Double
    public var f1: Double
  }

  /// Of objects.
  public struct Detection: Codable, Sendable, Equatable {
    public var precision: Double
    public var recall: Double
    public var f1: Double
  }

  public var pixels: Pixels
  public var detection: Detection
  /// Objects in the prediction and in the truth.
  public var predicted: Int
  public var annotated: Int

  /// How predicted and true objects are paired at an IoU of 0.5 or more.
  public enum Matching: Sendable {
    /// Each with one of the other at most, the best pairs first.
    case oneToOne
    /// Anything that has a partner counts, however many share it: the KPIs challenge's rule.
    case any
  }

  /// - Parameters:
  ///   - prediction, truth: masks of one size.
  ///   - matching: of objects, which are 8-connected components with their holes filled.
  public init(prediction: RunMask, truth: RunMask, matching: Matching = .oneToOne) {
    let common = prediction.intersectionArea(truth), found = prediction.area, real = truth.area
    func ratio(_ a: Int, _ b: Int) -> Double { b == 0 ? 0 : Double(a) / Double(b) }
    pixels = Pixels(
      dice: found + real == 0 ? 1 : ratio(2 * common, found + real), precision: ratio(common, found),
      recall: ratio(common, real), f1: ratio(2 * common, found + real))

    var a = prediction, b = truth
    a.fillHoles()
    b.fillHoles()
    let objectsA = MaskObjects(a), objectsB = MaskObjects(b)
    (predicted, annotated) = (objectsA.objects.count, objectsB.objects.count)
    let pairs = objectsA.overlaps(a, objectsB, b).filter { $0.iou >= 0.5 }
    var usedA: Set<Int> = [], usedB: Set<Int> = []
    for pair in pairs.sorted(by: { ($0.iou, $1.first, $1.second) > ($1.iou, $0.first, $0.second) }) {
      if matching == .oneToOne && (usedA.contains(pair.first) || usedB.contains(pair.second)) { continue }
      usedA.insert(pair.first)
      usedB.insert(pair.second)
    }
    // The challenge counts true positives from the predictions and what is missed from the truth.
    let matched = usedA.count, missed = annotated - usedB.count
    let precision = ratio(matched, predicted), recall = ratio(matched, matched + missed)
    detection = Detection(
      precision: precision, recall: recall,
      f1: precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0)
  }

  /// The mean of each score over slides; counts are summed.
  public init(meanOf scores: [SlideScores]) {
    func mean(_ value: (SlideScores) -> Double) -> Double {
      scores.isEmpty ? 0 : scores.reduce(0) { $0 + value($1) } / Double(scores.count)
    }
    pixels = Pixels(
      dice: mean(\.pixels.dice), precision: mean(\.pixels.precision), recall: mean(\.pixels.recall), f1: mean(\.pixels.f1))
    detection = Detection(
      precision: mean(\.detection.precision), recall: mean(\.detection.recall), f1: mean(\.detection.f1))
    predicted = scores.reduce(0) { $0 + $1.predicted }
    annotated = scores.reduce(0) { $0 + $1.annotated }
  }
}

/// Scores of a model on slides.
public struct SlideEvaluation: Codable, Sendable, Equatable {
  /// "slides", or "kpis" for the challenge's protocol.
  public let `protocol`: String
  public let slides: [String: SlideScores]
  public let groups: [String: SlideScores]
  /// The mean over slides.
  public let mean: SlideScores

  /// - Parameter scores: by group and case.
  public init(protocol name: String, scores: [(group: String, name: String, scores: SlideScores)]) {
    `protocol` = name
    slides = Dictionary(scores.map { ("\($0.group)/\($0.name)", $0.scores) }, uniquingKeysWith: { $1 })
    groups = Dictionary(grouping: scores, by: \.group).mapValues { SlideScores(meanOf: $0.map(\.scores)) }
    mean = SlideScores(meanOf: scores.map(\.scores))
  }
}

extension MaskObjects {
  /// Two objects that have pixels in common, and their intersection over union.
  struct Overlap {
    let first: Int
    let second: Int
    let iou: Double
  }

  func overlaps(_ mask: RunMask, _ others: MaskObjects, _ otherMask: RunMask) -> [Overlap] {
    struct Pair: Hashable {
      let first, second: Int32
    }
    var areas: [Pair: Int] = [:]
    for row in 0..<mask.height {
      var a = mask.rowStarts[row], b = otherMask.rowStarts[row]
      while a < mask.rowStarts[row + 1], b < otherMask.rowStarts[row + 1] {
        let left = max(mask.runs[a].start, otherMask.runs[b].start)
        let right = min(mask.runs[a].end, otherMask.runs[b].end)
        if left < right { areas[Pair(first: labels[a], second: others.labels[b]), default: 0] += Int(right - left) }
        if mask.runs[a].end < otherMask.runs[b].end { a += 1 } else { b += 1 }
      }
    }
    return areas.map { pair, area in
      let union = objects[Int(pair.first)].area + others.objects[Int(pair.second)].area - area
      return Overlap(first: Int(pair.first), second: Int(pair.second), iou: Double(area) / Double(union))
    }
  }
}
