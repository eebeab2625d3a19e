/// A part of a model: appends itself to the builder.
public protocol Layer: Sendable {
  func callAsFunction(_ x: [ValueID], _ b: inout ModelBuilder) throws(EngineError) -> ValueID
}

/// Twice: convolution 3×3, norm, ReLU. Named as PyTorch's `double_conv` sequence.
struct DoubleConv: Layer {
  let channels: Int

  func callAsFunction(_ x: [ValueID], _ b: inout ModelBuilder) throws(EngineError) -> ValueID {
    try b.scope("double_conv") { b throws(EngineError) in
      var sources = x
      for (convolution, norm) in [("0", "1"), ("3", "4")] {
        let z = try b.convolution([convolution], sources, ConvolutionShape(channels: channels, kernel: 3))
        sources = [try b.normReLU([(norm, channels)], z)]
      }
      return sources[0]
    }
  }
}

/// The network: four levels down, a bottleneck, four levels up with skip connections, one logit a pixel.
///
/// Channels c1…c4 = base·(1, 2, 4, 8); the last decoder level has c1/2. Sides must be multiples of 16.
public struct VariableUNet: Sendable, Equatable {
  public var base: Int
  public var bottleneck: Bottleneck
  public var norm: Normalization
  public static let inputChannels = 3
  /// Sides of an input are multiples of this.
  public static let sideMultiple = 16
  /// Sides that a patch may have. Beyond 65,520 nothing that this engine counts with is sure not to overflow.
  public static let sides = stride(from: sideMultiple, through: 65_520, by: sideMultiple)

  /// Channels that the first level may have.
  public static let bases = 2...1024
  /// Elements of the largest map, beyond which work and bytes of a step are numbers that overflow.
  private static let mostElements = 0x1p40

  /// - Parameter base: channels of the first level; even, in `bases`.
  public init(base: Int, bottleneck: Bottleneck = .split, norm: Normalization = .batch) {
    self.base = base
    self.bottleneck = bottleneck
    self.norm = norm
  }

  /// The width that follows the patch: max(16, 64·patch/2048).
  public static func base(forPatch patch: Int) -> Int { max(16, 64 * patch / 2048) }

  /// - Parameter x: (N, 3, H, W). Returns: logits (N, 1, H, W).
  public func callAsFunction(_ x: ValueID, _ b: inout ModelBuilder) throws(EngineError) -> ValueID {
    let shape = b.graph.shape(x)
    guard shape.h % Self.sideMultiple == 0, shape.w % Self.sideMultiple == 0 else {
      throw .shape(
        operation: "VariableUNet", problem: "an input of \(shape.h)x\(shape.w) is not a multiple of 16 on both sides")
    }
    guard Self.bases.contains(base), base % 2 == 0 else {
      throw .shape(
        operation: "VariableUNet", problem: "the base width should be even, from 2 to \(Self.bases.upperBound), not \(base)")
    }
    guard Double(shape.n) * Double(shape.h) * Double(shape.w) * Double(base) <= Self.mostElements else {
      throw .shape(
        operation: "VariableUNet",
        problem: "\(shape.n) images of \(shape.h)x\(shape.w) at base \(base) are more than any device holds")
    }
    b.norm = norm
    let widths = [base, 2 * base, 4 * base, 8 * base]
    var skips: [ValueID] = []
    var y = x
    for (level, width) in widths.enumerated() {
      y = try b.scope("enc\(level + 1)") { b throws(EngineError) in try DoubleConv(channels: width)([y], &b) }
      skips.append(y)
      y = try b.graph.apply(MaxPool(), [y], named: "pool\(level + 1)")[0]
    }
    y = try b.scope("bottleneck") { b throws(EngineError) in
      try BottleneckLayer(kind: bottleneck, channels: widths[3])([y], &b)
    }
    for level in (0..<4).reversed() {
      let width = level == 0 ? base / 2 : widths[level - 1]
      let up = try b.transposedConvolution("up\(level + 1)", y, channels: width)
      y = try b.scope("dec\(level + 1)") { b throws(EngineError) in
        try DoubleConv(channels: width)([up, skips[level]], &b)
      }
    }
    return try b.convolution(["final"], [y], ConvolutionShape(channels: 1, kernel: 1))
  }
}
