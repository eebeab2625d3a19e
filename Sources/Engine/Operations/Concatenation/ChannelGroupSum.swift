/// Adds a tensor's channels up over equal parts: y[n, c] = Σ_g x[n, g·C/groups + c]. Input: x (N, C, H, W), plain. Result: y.
public struct ChannelGroupSum: Operation {
  public static let name = "channel_group_sum"
  let groups: Int

  public init(groups: Int) { self.groups = groups }

  public func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] {
    let x = inputs[0]
    guard groups > 0, x.c % groups == 0 else {
      throw .shape(operation: Self.name, problem: "\(x.c) channels do not fall into \(groups) parts")
    }
    return [Shape(x.n, x.c / groups, x.h, x.w)]
  }

  public func differentiate(_ node: Node, _ tape: inout Differentiation) throws(EngineError) {
    guard let dy = tape.storedUpstream(node.results[0]), let target = try tape.target(for: node.inputs[0]) else { return }
    tape.apply(ChannelGroupRepeat(groups: groups, accumulates: target.accumulates), [dy], into: target)
  }

  public func cost(_ io: NodeIO) -> Cost { Cost(flops: io.inputs[0].count, bytes: io.byteCount) }

  public func runOnCPU(_ context: CPUContext) {
    let (x, y) = (context.inputs[0], context.io.targets[0])
    let count = y.c * y.plane
    for n in 0..<y.n {
      for group in 0..<groups {
        let from = x.data + (n * groups + group) * count
        let to = context.targets[0] + n * count
        for i in 0..<count { to[i] = group == 0 ? from[i] : to[i] + from[i] }
      }
    }
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    let y = io.targets[0]
    return (0..<groups).map { group in
      ChannelSlice.copy(
        from: 0, fromFirst: group * y.c, fromChannels: io.inputs[0].c, toFirst: 0, toChannels: y.c, shape: y,
        accumulates: group > 0, on: device)
    }
  }
}

/// The gradient of `ChannelGroupSum`: every part of y = or += x. Input: x, plain. Target: y.
struct ChannelGroupRepeat: Operation {
  static let name = "channel_group_repeat"
  let groups: Int
  let accumulates: Bool

  func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] {
    [Shape(inputs[0].n, inputs[0].c * groups, inputs[0].h, inputs[0].w)]
  }

  func cost(_ io: NodeIO) -> Cost { Cost(flops: 0, bytes: io.byteCount) }

  func runOnCPU(_ context: CPUContext) {
    let x = context.inputs[0]
    let count = x.shape.c * x.shape.plane
    for part in 0..<x.shape.n * groups {
      let from = x.data + part / groups * count
      let to = context.targets[0] + part * count
      for i in 0..<count { to[i] = accumulates ? to[i] + from[i] : from[i] }
    }
  }

  func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    let x = io.inputs[0]
    return (0..<groups).map { group in
      ChannelSlice.copy(
        from: 0, fromFirst: 0, fromChannels: x.c, toFirst: group * x.c, toChannels: io.targets[0].c, shape: x,
        accumulates: accumulates, on: device)
    }
  }
}
