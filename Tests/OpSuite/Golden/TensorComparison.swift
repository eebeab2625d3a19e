import Foundation

/// How far a tensor is from what it should be.
///
/// The error is ‖got − want‖₂ / max(‖want‖₂, 1e-30). Where ‖want‖₂ < 1e-12, as for a gradient that is zero, there is
/// nothing to be relative to: the error is ‖got − want‖₂. A NaN or an infinity in `got` fails, as does another shape.
public struct TensorComparison: Sendable, CustomStringConvertible {
  /// The tensor's name.
  public let name: String
  /// See above; infinite when the shapes differ.
  public let error: Double
  /// The largest error that passes.
  public let bound: Double
  /// Whether the error is absolute.
  public let isAbsolute: Bool
  /// The flat index with the largest |got − want|, a NaN counting as largest; nil when empty or the shapes differ.
  public let worstIndex: Int?
  /// The values at ``worstIndex``.
  public let worstGot: Double?
  public let worstWant: Double?
  /// The two shapes, where they differ.
  public let shapes: (got: [Int], want: [Int])?

  /// Whether the error is within the bound.
  public var passed: Bool { error <= bound }

  public init(name: String, got: Tensor64, want: Tensor64, tolerance: Double) {
    self.name = name
    bound = tolerance
    guard got.shape == want.shape else {
      (error, isAbsolute, worstIndex, worstGot, worstWant) = (.infinity, false, nil, nil, nil)
      shapes = (got.shape, want.shape)
      return
    }
    var (squares, reference, worst) = (0.0, 0.0, -1.0)
    var index: Int?
    for k in 0..<want.count {
      let difference = abs(got.values[k] - want.values[k])
      squares += difference * difference
      reference += want.values[k] * want.values[k]
      if !(difference <= worst), !worst.isNaN {
        worst = difference
        index = k
      }
    }
    let norm = reference.squareRoot()
    isAbsolute = norm < 1e-12
    let distance = squares.squareRoot()
    error = isAbsolute ? distance : distance / max(norm, 1e-30)
    worstIndex = index
    worstGot = index.map { got.values[$0] }
    worstWant = index.map { want.values[$0] }
    shapes = nil
  }

  /// Compares fp32 values of the wanted tensor's shape; another count of values fails.
  public init(name: String, got: [Float], want: Tensor64, tolerance: Double) {
    self.init(
      name: name, got: Tensor64(got.count == want.count ? want.shape : [got.count], got),
      want: want,
      tolerance: tolerance)
  }

  public var description: String {
    if let shapes { return "\(name): shape \(shapes.got) should be \(shapes.want)" }
    let kind = isAbsolute ? "absolute" : "relative"
    var text = "\(name): \(kind) error \(Self.short(error)), bound \(Self.short(bound))"
    if let worstIndex, let worstGot, let worstWant {
      text += ", worst at [\(worstIndex)]: \(worstGot), should be \(worstWant)"
    }
    return text
  }

  private static func short(_ value: Double) -> String { String(format: "%.2e", value) }
}
