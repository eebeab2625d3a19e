import VectorMath

/// Writes out what a view shows: y = or += view(x). Also how a value gets into 16 bits, or out of them: x and y are each read and
/// written as they are stored.
///
/// - Inputs: x through any view. Target: y of the same shape.
public struct Materialize: Operation {
  public static let name = "materialize"
  public static let readsViews = true
  let accumulates: Bool

  public init(accumulates: Bool = false) { self.accumulates = accumulates }

  public func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] { [inputs[0]] }

  public func differentiate(_ node: Node, _ tape: inout Differentiation) throws(EngineError) {
    guard let dy = tape.storedUpstream(node.results[0]), let target = try tape.target(for: node.inputs[0]) else { return }
    tape.apply(Materialize(accumulates: target.accumulates), [dy], into: target)
  }

  public func reads16Bits(_ input: Int) -> Bool { true }
  public func writes16Bits(_ target: Int, _ io: NodeIO, _ device: DeviceTraits) -> Bool { true }

  /// What is added to is read as well as written.
  public func cost(_ io: NodeIO) -> Cost {
    Cost(flops: 2 * io.inputs[0].count, bytes: io.byteCount + (accumulates ? io.targetBytes(0) : 0))
  }

  public func runOnCPU(_ context: CPUContext) {
    let x = context.inputs[0]
    let planes = x.shape.n * x.shape.c
    parallelFor(context.threads) { part in
      var operand = x.vector
      for index in share(planes, part, of: context.threads) {
        let (n, c, count) = (Int64(index / x.shape.c), Int64(index % x.shape.c), Int64(x.shape.plane))
        vm_put_range(
          context.targets[0], context.io.stored(0), Int64(index) * count, &operand, n, c, 0, count, accumulates ? 1 : 0)
      }
    }
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    let runs = ChannelRuns(io.inputs[0])
    return [
      Launch(
        "materialize.cl", "materialize",
        defines: [("X_MODE", io.readings[0].code), ("ACCUMULATE", accumulates ? 1 : 0)]
          + storedMacro("Y_STORED", io.targetStorage[0]),
        arguments: [("y", .target(0))] + Launch.operand("x", 0) + runs.arguments, runs: runs.global, on: device)
    ]
  }
}
