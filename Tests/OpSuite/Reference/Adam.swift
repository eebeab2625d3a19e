import Foundation

extension Reference {
  /// The constants of Adam.
  public struct AdamAttributes: Sendable, Equatable {
    public var learningRate: Double
    public var beta1: Double
    public var beta2: Double
    public var eps: Double

    public init(
      learningRate: Double = 1e-3, beta1: Double = 0.9, beta2: Double = 0.999, eps: Double = 1e-8
    ) {
      self.learningRate = learningRate
      self.beta1 = beta1
      self.beta2 = beta2
      self.eps = eps
    }
  }

  /// The two moments of one parameter and how many steps were taken.
  public struct AdamState: Sendable, Equatable {
    public var firstMoment: Tensor64
    public var secondMoment: Tensor64
    public var step: Int

    /// Before the first step.
    public init(shape: [Int]) {
      firstMoment = Tensor64(zeros: shape)
      secondMoment = Tensor64(zeros: shape)
      step = 0
    }
  }

  /// One step: t ← t + 1, m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g²,
  /// param ← param − lr/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε).
  ///
  /// - Source: Kingma & Ba 2015, algorithm 1, with ε where PyTorch's `Adam` adds it (after the correction of v).
  public static func adamStep(
    parameter: inout Tensor64, gradient: Tensor64, state: inout AdamState,
    _ attributes: AdamAttributes
  ) {
    precondition(
      parameter.shape == gradient.shape && parameter.shape == state.firstMoment.shape,
      "Adam step of \(parameter.shape) with gradient \(gradient.shape)")
    state.step += 1
    let (beta1, beta2) = (attributes.beta1, attributes.beta2)
    let correction1 = 1 - pow(beta1, Double(state.step))
    let correction2 = (1 - pow(beta2, Double(state.step))).squareRoot()
    for k in 0..<parameter.count {
      let g = gradient.values[k]
      let m = beta1 * state.firstMoment.values[k] + (1 - beta1) * g
      let v = beta2 * state.secondMoment.values[k] + (1 - beta2) * g * g
      state.firstMoment.values[k] = m
      state.secondMoment.values[k] = v
      parameter.values[k] -=
        attributes.learningRate / correction1 * m / (v.squareRoot() / correction2 + attributes.eps)
    }
  }
}
