import VectorMath

/// Writes out what a view shows: y = or += view(x).
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

  /// What is added to is read as well as written.
  public func cost(_ io: NodeIO) -> Cost {
    Cost(flops: 2 * io.inputs[0].count, bytes: io.byteCount + (accumulates ? 4 * io.targets[0].count : 0))
  }

  public func runOnCPU(_ context: CPUContext) {
    let x = context.inputs[0]
    let planes = x.shape.n * x.shape.c
    parallelFor(context.threads) { part in
      var operand = x.vector
      for index in share(planes, part, of: context.threads) {
        vm_load_range(
          context.targets[0] + index * x.shape.plane, &operand, Int64(index / x.shape.c), Int64(index % x.shape.c), 0,
          Int64(x.shape.plane), accumulates ? 1 : 0)
      }
    }
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    let runs = ChannelRuns(io.inputs[0])
    return [
      Launch(
        "materialize.cl", "materialize",
        defines: [("X_MODE", io.modes[0].rawValue), ("ACCUMULATE", accumulates ? 1 : 0)],
        arguments: [("y", .target(0))] + Launch.operand("x", 0) + runs.arguments, runs: runs.global, on: device)
    ]
  }
}
