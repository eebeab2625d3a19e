import VectorMath

/// y = x after `rounds` times x ← 0.999·x + 0.001: the most fused multiply-adds a second that a device does, for benchmarks.
///
/// - Input: x, plain, fewer than 2³¹ elements. Result: y, of x's shape.
public struct RoofArithmetic: Operation {
  public static let name = "roof_arithmetic"
  /// Multiply-adds an element.
  public let rounds: Int
  static let factor: Float = 0.999
  static let addend: Float = 0.001
  /// Elements of a work-item: CHAINS vectors of 16.
  private static let itemElements = 128

  public init(rounds: Int) { self.rounds = rounds }

  public func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] { [inputs[0]] }

  public func cost(_ io: NodeIO) -> Cost { Cost(flops: 2 * rounds * io.inputs[0].count, bytes: io.byteCount) }

  public func runOnCPU(_ context: CPUContext) {
    parallelFor(context.threads) { part in
      let range = share(context.inputs[0].shape.count, part, of: context.threads)
      vm_multiply_add(
        context.targets[0] + range.lowerBound, context.inputs[0].data + range.lowerBound, Int64(range.count),
        Int64(rounds), Self.factor, Self.addend)
    }
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    let count = io.inputs[0].count
    return [
      Launch(
        "roof.cl", "roof_arithmetic",
        arguments: [
          ("y", .target(0)), ("x", .input(0)), ("count", .int(count)), ("rounds", .int(rounds)), ("a", .float(Self.factor)),
          ("b", .float(Self.addend)),
        ], global: [(count + Self.itemElements - 1) / Self.itemElements])
    ]
  }
}
