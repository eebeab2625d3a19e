import VectorMath

/// y = x: the most bytes a second that a device moves, read and written, for benchmarks.
///
/// - Input: x, plain, fewer than 2³¹ elements. Result: y, of x's shape.
public struct RoofCopy: Operation {
  public static let name = "roof_copy"
  /// Items of a work-group, which copy 4 neighbours each.
  private static let group = 64

  public init() {}

  public func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] { [inputs[0]] }

  public func cost(_ io: NodeIO) -> Cost { Cost(flops: 0, bytes: io.byteCount) }

  public func runOnCPU(_ context: CPUContext) {
    parallelFor(context.threads) { part in
      let range = share(context.inputs[0].shape.count, part, of: context.threads)
      vm_copy(context.targets[0] + range.lowerBound, context.inputs[0].data + range.lowerBound, Int64(range.count))
    }
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    let count = io.inputs[0].count
    let groups = (count + 4 * Self.group - 1) / (4 * Self.group)
    return [
      Launch(
        "roof.cl", "roof_copy", arguments: [("y", .target(0)), ("x", .input(0)), ("count", .int(count))],
        global: [groups * Self.group], local: [Self.group])
    ]
  }
}
