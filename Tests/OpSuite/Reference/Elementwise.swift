import Foundation

extension Reference {
  /// Σ aᵢ.
  public static func sum(_ a: Tensor64) -> Double {
    a.values.reduce(0, +)
  }

  /// Σ aᵢ².
  public static func sumOfSquares(_ a: Tensor64) -> Double {
    a.values.reduce(0) { $0 + $1 * $1 }
  }

  /// ‖a‖₂ = √Σ aᵢ².
  public static func norm(_ a: Tensor64) -> Double {
    sumOfSquares(a).squareRoot()
  }

  /// Σ aᵢ·bᵢ; with a random `b`, the projection a gradient check differentiates.
  public static func dot(_ a: Tensor64, _ b: Tensor64) -> Double {
    precondition(a.shape == b.shape, "dot of shapes \(a.shape) and \(b.shape)")
    return zip(a.values, b.values).reduce(0) { $0 + $1.0 * $1.1 }
  }

  /// a + b, element by element.
  public static func add(_ a: Tensor64, _ b: Tensor64) -> Tensor64 {
    precondition(a.shape == b.shape, "sum of shapes \(a.shape) and \(b.shape)")
    return Tensor64(a.shape, zip(a.values, b.values).map { $0 + $1 })
  }

  /// σ(x) = 1 / (1 + e⁻ˣ), without overflow for large |x|.
  public static func sigmoid(_ x: Double) -> Double {
    if x >= 0 { return 1 / (1 + exp(-x)) }
    let e = exp(x)
    return e / (1 + e)
  }

  /// σ of every element.
  public static func sigmoid(_ x: Tensor64) -> Tensor64 {
    Tensor64(x.shape, x.values.map { sigmoid($0) })
  }
}
