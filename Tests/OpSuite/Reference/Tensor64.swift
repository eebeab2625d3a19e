/// A dense array of Doubles in row-major order: what the reference computes with.
///
/// Feature maps are (N, C, H, W), convolution weights (O, C, K, K), per-channel values (C).
public struct Tensor64: Sendable, Equatable {
  /// The extents, slowest first; empty for a scalar.
  public let shape: [Int]

  /// The elements, `shape.product` of them.
  public var values: [Double]

  /// - Precondition: the values fill the shape exactly.
  public init(_ shape: [Int], _ values: [Double]) {
    precondition(
      values.count == shape.reduce(1, *), "\(values.count) values do not fill shape \(shape)")
    self.shape = shape
    self.values = values
  }

  /// The same value everywhere.
  public init(_ shape: [Int], repeating value: Double) {
    self.init(shape, [Double](repeating: value, count: shape.reduce(1, *)))
  }

  /// All zeros.
  public init(zeros shape: [Int]) {
    self.init(shape, repeating: 0)
  }

  /// A widened copy of fp32 values.
  public init(_ shape: [Int], _ values: [Float]) {
    self.init(shape, values.map(Double.init))
  }

  /// Values uniform in `range`, the same for the same seed.
  public init(random shape: [Int], seed: UInt64, in range: ClosedRange<Double> = -1...1) {
    var source = ReferenceRandom(seed: seed)
    let count = shape.reduce(1, *)
    self.init(shape, (0..<count).map { _ in Double.random(in: range, using: &source) })
  }

  /// How many elements there are.
  public var count: Int { values.count }

  /// The elements rounded to fp32.
  public var floats: [Float] { values.map(Float.init) }

  /// The element at a full index, slowest extent first.
  public subscript(indices: Int...) -> Double {
    get { values[offset(of: indices)] }
    set { values[offset(of: indices)] = newValue }
  }

  private func offset(of indices: [Int]) -> Int {
    precondition(indices.count == shape.count, "index \(indices) into shape \(shape)")
    var offset = 0
    for (index, extent) in zip(indices, shape) {
      precondition(index >= 0 && index < extent, "index \(indices) into shape \(shape)")
      offset = offset * extent + index
    }
    return offset
  }

  /// The four extents of a feature map.
  ///
  /// - Precondition: the tensor has four dimensions.
  package var nchw: (n: Int, c: Int, h: Int, w: Int) {
    precondition(shape.count == 4, "a feature map has four dimensions, not \(shape)")
    return (shape[0], shape[1], shape[2], shape[3])
  }
}

/// A small repeatable random source, so that a case is reproduced by its seed.
///
/// - Source: Steele, Lea, Flood 2014, "Fast Splittable Pseudorandom Number Generators" (SplitMix64).
public struct ReferenceRandom: RandomNumberGenerator, Sendable {
  private var state: UInt64

  public init(seed: UInt64) {
    state = seed
  }

  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

/// The mathematics every backend is held against: plain loops in Double, no BLAS.
///
/// A function is written so that it can be checked against the formula above it. Wrong shapes are a broken
/// case, so they stop the process with a sentence.
public enum Reference {}
