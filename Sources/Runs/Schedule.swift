import Glibc

/// The learning rate over a run's steps: a linear rise over the warm-up, then constant, a cosine or a polynomial to zero.
///
/// It depends on the step's number alone, so a resumed run goes on as it would have.
public struct Schedule: Sendable, Equatable {
  public enum Kind: String, Sendable, CaseIterable {
    case constant, cosine, polynomial
  }

  public let kind: Kind
  /// The highest rate.
  public let rate: Double
  public let warmupSteps: Int
  public let totalSteps: Int

  /// Of `polynomial`: (1 − progress)^0.9, as nnU-Net has it.
  static let power = 0.9

  /// - Parameter warmupEpochs: may be a fraction.
  public init(kind: Kind, rate: Double, epochs: Int, stepsPerEpoch: Int, warmupEpochs: Double = 0) {
    self.kind = kind
    self.rate = rate
    warmupSteps = Int((warmupEpochs * Double(stepsPerEpoch)).rounded())
    totalSteps = epochs * stepsPerEpoch
  }

  /// For step `number`, from 1.
  public func rate(step number: Int) -> Double {
    if number <= warmupSteps { return rate * Double(number) / Double(warmupSteps) }
    // From 0 at the first step after the warm-up towards 1 after the last.
    let progress = min(1, Double(number - 1 - warmupSteps) / Double(max(1, totalSteps - warmupSteps)))
    switch kind {
    case .constant: return rate
    case .cosine: return rate * 0.5 * (1 + cos(.pi * progress))
    case .polynomial: return rate * pow(1 - progress, Self.power)
    }
  }
}
