import VectorMath

/// y = x after `rounds` times x ← factor·x + addend: the most fused multiply-adds a second that a device does, for benchmarks; and whether
/// it does them all.
///
/// - Input: x, plain, fewer than 2³¹ elements. Result: y, of x's shape.
public struct RoofArithmetic: Operation {
  public static let name = "roof_arithmetic"
  /// Multiply-adds an element.
  public let rounds: Int
  public let factor: Float
  public let addend: Float
  /// Elements of a work-item: CHAINS vectors of 16.
  private static let itemElements = 128

  public init(rounds: Int, factor: Float = 0.999, addend: Float = 0.001) {
    self.rounds = rounds
    self.factor = factor
    self.addend = addend
  }

  public func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] { [inputs[0]] }

  public func cost(_ io: NodeIO) -> Cost { Cost(flops: 2 * rounds * io.inputs[0].count, bytes: io.byteCount) }

  public func runOnCPU(_ context: CPUContext) {
    parallelFor(context.threads) { part in
      let range = share(context.inputs[0].shape.count, part, of: context.threads)
      vm_multiply_add(
        context.targets[0] + range.lowerBound, context.inputs[0].data + range.lowerBound, Int64(range.count),
        Int64(rounds), factor, addend)
    }
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    let count = io.inputs[0].count
    return [
      Launch(
        "roof.cl", "roof_arithmetic",
        arguments: [
          ("y", .target(0)), ("x", .input(0)), ("count", .int(count)), ("rounds", .int(rounds)), ("a", .float(factor)),
          ("b", .float(addend)),
        ], global: [(count + Self.itemElements - 1) / Self.itemElements])
    ]
  }
}
