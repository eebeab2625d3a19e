import Engine

/// How far an fp32 result may be from the Double reference. The one place that says so.
///
/// For every element, |got − want| ≤ min(c · u · √(1 + K) · κ, 1e-4) · s, where
///
/// - u = 2⁻²⁴, the unit roundoff of fp32;
/// - K is the reduction length: the terms summed for an element, added up over the sums that follow each other (a batch
///   norm's statistics go over N·H·W elements). Rounding errors of K terms add up like √K where they are independent.
///   Where a division, a root or an exponential is involved K is at least 16: OpenCL lets each be off by about 3 ulp;
/// - κ is the condition of the mathematics: 1 + |mean|/σ for a batch norm, whose mean fp32 holds to u·|mean|; else 1;
/// - s is max(‖want‖∞, m), where m is the size that the sum has by chance, √K · rms(a) · rms(b) for K products: a
///   sum that happens to cancel isn't more precise for it;
/// - c is the case's constant, ``constant`` unless the case says otherwise.
///
/// Where a device rounds the operands of convolutions (``Precision``), what a convolution has a part in may be off by
/// c · u′ · κ · s more, u′ being the unit roundoff of an operand: both operands of every product are off by up to u′, which adds
/// up like the products themselves. A ReLU behind such a convolution has elements so near its kink that they fall to the other
/// side, some u′ of all; their gradients are off by all of themselves. Those gradients are compared as tensors:
/// ‖got − want‖₂ ≤ √(c · u′) · ‖want‖₂.
///
/// A result that is stored in 16 bits may be off by 2⁻¹¹ more where those are fp16, and by 2⁻⁸ where they are bf16, as often as it is
/// rounded.
///
/// An operation that only moves or compares values, K = 0, has to be exact.
public enum ErrorBound {
  public static let constant = 4.0
  /// The least K where functions of several ulp are involved.
  static let functions = 16
  /// No result is allowed more than this, relative to s.
  public static let ceiling = 1e-4
  static let unitRoundoff = 0x1p-24

  static func relative(_ accuracy: Accuracy, constant: Double, arithmetic: Precision) -> Double {
    guard accuracy.reduction > 0 else { return 0 }
    // fp32's own roundoff is in the other term.
    let rounded = arithmetic == .fp32 ? 0 : constant * arithmetic.unitRoundoff * accuracy.products * accuracy.condition
    return rounded + accuracy.storageRoundoff
      + min(constant * unitRoundoff * Double(1 + accuracy.reduction).squareRoot() * accuracy.condition, ceiling)
  }

  /// The largest allowed |got − want|.
  static func absolute(_ accuracy: Accuracy, want: Tensor64, constant: Double, arithmetic: Precision = .fp32) -> Double {
    let largest = want.values.reduce(0) { max($0, abs($1)) }
    return relative(accuracy, constant: constant, arithmetic: arithmetic) * max(largest, accuracy.magnitude)
  }

  /// The largest allowed ‖got − want‖₂ / ‖want‖₂ where gradients jump within the rounding of operands; nil where elements are
  /// compared.
  static func ofNorm(_ accuracy: Accuracy, constant: Double, arithmetic: Precision) -> Double? {
    guard accuracy.jumps, arithmetic != .fp32 else { return nil }
    return (constant * arithmetic.unitRoundoff).squareRoot()
  }
}

/// One tensor of a case against its reference.
public struct TensorResult: Sendable, CustomStringConvertible {
  public let name: String
  /// The flat index with the largest error; a NaN counts as largest.
  public let worstIndex: Int
  public let got: Double
  public let want: Double
  /// The largest |got − want|.
  public let error: Double
  public let bound: Double

  public var passed: Bool { error <= bound }
  /// Error over bound: 0 is exact, up to 1 passes.
  public var ratio: Double { error == 0 ? 0 : error / bound }

  init(_ name: String, got: [Float], want: Tensor64, bound: Double) {
    self.name = name
    self.bound = bound
    guard got.count == want.count, !got.isEmpty else {
      (worstIndex, self.got, self.want, error) = (0, .nan, .nan, .infinity)
      return
    }
    var worst = (index: 0, error: -1.0)
    got.withUnsafeBufferPointer { got in
      want.values.withUnsafeBufferPointer { want in
        for k in 0..<got.count {
          let difference = abs(Double(got[k]) - want[k])
          if !(difference <= worst.error) {
            worst = (k, difference.isNaN ? .infinity : difference)
            if difference.isNaN { return }
          }
        }
      }
    }
    worstIndex = worst.index
    error = worst.error
    self.got = Double(got[worst.index])
    self.want = want.values[worst.index]
  }

  /// The whole tensor: error and bound are relative to ‖want‖₂.
  init(_ name: String, got: [Float], want: Tensor64, boundOfNorm bound: Double) {
    self.init(name, got: got, want: want, bound: bound, error: Self.distance(got, want))
  }

  private init(_ name: String, got: [Float], want: Tensor64, bound: Double, error: Double) {
    let elements = TensorResult(name, got: got, want: want, bound: .infinity)
    self.name = name
    self.bound = bound
    self.error = error
    (worstIndex, self.got, self.want) = (elements.worstIndex, elements.got, elements.want)
  }

  static func distance(_ got: [Float], _ want: Tensor64) -> Double {
    guard got.count == want.count else { return .infinity }
    var (difference, norm) = (0.0, 0.0)
    for (a, b) in zip(got, want.values) {
      difference += (Double(a) - b) * (Double(a) - b)
      norm += b * b
    }
    let error = (difference / max(norm, 1e-300)).squareRoot()
    return error.isNaN ? .infinity : error
  }

  public var description: String {
    let values = "[\(worstIndex)] is \(got), should be \(want)"
    return "\(name)\(values), error \(error), bound \(bound)"
  }
}
