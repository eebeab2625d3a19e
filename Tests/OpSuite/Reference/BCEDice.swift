import Foundation

extension Reference {
  /// The constants of the loss.
  public struct BCEDiceAttributes: Sendable, Equatable {
    /// w, the share of the cross-entropy; the Dice term has 1 − w.
    public var bceWeight: Double
    /// The factor on the cross-entropy of pixels inside the mask.
    public var posWeight: Double
    /// s, added above and below in Dice: it decides when mask and prediction are both empty.
    public var diceSmooth: Double

    public init(bceWeight: Double, posWeight: Double, diceSmooth: Double) {
      self.bceWeight = bceWeight
      self.posWeight = posWeight
      self.diceSmooth = diceSmooth
    }
  }

  /// w·BCE + (1 − w)·(1 − Dice), p = σ(x).
  ///
  /// BCE = mean of (1 − t)·x + (1 + (posWeight − 1)·t)·softplus(−x), softplus(−x) = log(1 + e^(−|x|)) + max(−x, 0);
  /// Dice = (2·Σ p·t + s) / (Σ p + Σ t + s), the sums going over the whole batch at once.
  ///
  /// - Shapes: logits x and target t alike, any shape; t in [0, 1].
  /// - Source: PyTorch's `binary_cross_entropy_with_logits` for the stable form.
  public static func bceDice(
    logits: Tensor64, target: Tensor64, _ attributes: BCEDiceAttributes
  ) -> Double {
    let sums = diceSums(logits: logits, target: target)
    var bce = 0.0
    for (x, t) in zip(logits.values, target.values) {
      let softplus = log1p(exp(-abs(x))) + max(-x, 0)
      bce += (1 - t) * x + (1 + (attributes.posWeight - 1) * t) * softplus
    }
    bce /= Double(logits.count)
    let s = attributes.diceSmooth
    let dice = (2 * sums.intersection + s) / (sums.predicted + sums.target + s)
    return attributes.bceWeight * bce + (1 - attributes.bceWeight) * (1 - dice)
  }

  /// The gradient of ``bceDice(logits:target:_:)`` with respect to the logits.
  ///
  /// dBCE/dx = ((1 − t) − (1 + (posWeight − 1)·t)·σ(−x)) / count;
  /// dDice/dx = (2t·D − (2·Σ p·t + s)) / D² · p·(1 − p) with D = Σ p + Σ t + s.
  public static func bceDiceGradient(
    logits: Tensor64, target: Tensor64, _ attributes: BCEDiceAttributes
  ) -> Tensor64 {
    let sums = diceSums(logits: logits, target: target)
    let (w, s) = (attributes.bceWeight, attributes.diceSmooth)
    let above = 2 * sums.intersection + s
    let below = sums.predicted + sums.target + s
    let count = Double(logits.count)
    return Tensor64(
      logits.shape,
      zip(logits.values, target.values).map { x, t in
        let (p, q) = (sigmoid(x), sigmoid(-x))
        let bce = ((1 - t) - (1 + (attributes.posWeight - 1) * t) * q) / count
        let dice = (2 * t * below - above) / (below * below) * p * q
        return w * bce - (1 - w) * dice
      })
  }

  /// Σ p·t, Σ p and Σ t.
  private static func diceSums(
    logits: Tensor64, target: Tensor64
  ) -> (intersection: Double, predicted: Double, target: Double) {
    precondition(
      logits.shape == target.shape, "logits \(logits.shape) against a target of \(target.shape)")
    var sums = (intersection: 0.0, predicted: 0.0, target: 0.0)
    for (x, t) in zip(logits.values, target.values) {
      let p = sigmoid(x)
      sums.intersection += p * t
      sums.predicted += p
      sums.target += t
    }
    return sums
  }
}
