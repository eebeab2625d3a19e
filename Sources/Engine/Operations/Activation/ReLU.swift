import VectorMath

/// y = max(x, 0). Input: x, plain. Result: y. (After a batch norm, ReLU is part of the view instead.)
public struct ReLU: Operation {
  public static let name = "relu"
  public init() {}

  public func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] { [inputs[0]] }

  public func differentiate(_ node: Node, _ tape: inout Differentiation) throws(EngineError) {
    guard let dy = tape.storedUpstream(node.results[0]), let target = try tape.target(for: node.inputs[0]) else { return }
    tape.apply(ReLUGradient(accumulates: target.accumulates), [node.inputs[0], dy], into: target)
  }

  public func cost(_ io: NodeIO) -> Cost { Cost(flops: io.inputs[0].count, bytes: io.byteCount) }

  public func runOnCPU(_ context: CPUContext) {
    parallelFor(context.threads) { part in
      let range = share(context.inputs[0].shape.count, part, of: context.threads)
      vm_relu(context.targets[0] + range.lowerBound, context.inputs[0].data + range.lowerBound, Int64(range.count))
    }
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    let runs = ChannelRuns(io.inputs[0])
    return [
      Launch(
        "relu.cl", "relu_forward", arguments: [("y", .target(0)), ("x", .input(0))] + runs.arguments, runs: runs.global,
        on: device)
    ]
  }
}

/// dx = or += dy where x > 0. Inputs: x, dy. Target: dx.
public struct ReLUGradient: Operation {
  public static let name = "relu_gradient"
  let accumulates: Bool

  public func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] { [inputs[0]] }

  public func cost(_ io: NodeIO) -> Cost { Cost(flops: io.inputs[0].count, bytes: io.byteCount) }

  public func runOnCPU(_ context: CPUContext) {
    parallelFor(context.threads) { part in
      let range = share(context.inputs[0].shape.count, part, of: context.threads)
      vm_relu_gradient(
        context.targets[0] + range.lowerBound, context.inputs[0].data + range.lowerBound,
        context.inputs[1].data + range.lowerBound, Int64(range.count), accumulates ? 1 : 0)
    }
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    let runs = ChannelRuns(io.inputs[0])
    return [
      Launch(
        "relu.cl", "relu_backward", defines: [("ACCUMULATE", accumulates ? 1 : 0)],
        arguments: [("dx", .target(0)), ("x", .input(0)), ("dy", .input(1))] + runs.arguments,
        runs: runs.global, on: device)
    ]
  }
}
