import Glibc

/// Counts of pixel decisions, and the scores made of them. Counts add, so scores pool over any set of patches.
public struct PixelMetrics: Sendable, Equatable {
  public var truePositive = 0
  public var falsePositive = 0
  public var falseNegative = 0
  public var trueNegative = 0

  public init() {}

  /// Counts logits above a threshold on the probability (0.5: logit 0) against a mask of 0 and 1.
  public mutating func add(logits: some Collection<Float>, mask: some Collection<Float>, threshold: Double = 0.5) {
    let limit = Float(_log(threshold / (1 - threshold)))
    for (logit, truth) in zip(logits, mask) {
      switch (logit > limit, truth >= 0.5) {
      case (true, true): truePositive += 1
      case (true, false): falsePositive += 1
      case (false, true): falseNegative += 1
      case (false, false): trueNegative += 1
      }
    }
  }

  /// σ(logit).
  public static func probability(logit: Float) -> Float { 1 / (1 + _exp(-logit)) }

  public static func += (a: inout PixelMetrics, b: PixelMetrics) {
    a.truePositive += b.truePositive
    a.falsePositive += b.falsePositive
    a.falseNegative += b.falseNegative
    a.trueNegative += b.trueNegative
  }

  public var count: Int { truePositive + falsePositive + falseNegative + trueNegative }
  public var accuracy: Double { ratio(truePositive + trueNegative, count) }
  /// 0 where nothing was predicted.
  public var precision: Double { ratio(truePositive, truePositive + falsePositive) }
  /// 0 where there is nothing to find.
  public var recall: Double { ratio(truePositive, truePositive + falseNegative) }
  public var f1: Double { ratio(2 * truePositive, 2 * truePositive + falsePositive + falseNegative) }
  /// Dice of one patch: 1 where truth and prediction are both empty.
  public var dice: Double { 2 * truePositive + falsePositive + falseNegative == 0 ? 1 : f1 }

  private func ratio(_ a: Int, _ b: Int) -> Double { b == 0 ? 0 : Double(a) / Double(b) }
}

private func _log(_ x: Double) -> Double { log(x) }
private func _exp(_ x: Float) -> Float { exp(x) }
