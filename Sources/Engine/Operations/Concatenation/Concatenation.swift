/// Stacks two values over their channels: y[n, :Ca] = a, y[n, Ca:] = b. Inputs: a, b, plain. Result: y.
///
/// The network never runs it: its convolutions take two sources and read each where it is.
public struct Concatenation: Operation {
  public static let name = "concatenation"
  public init() {}

  public func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] {
    let (a, b) = (inputs[0], inputs[1])
    guard (a.n, a.h, a.w) == (b.n, b.h, b.w) else {
      throw .shape(operation: Self.name, problem: "\(a) and \(b) differ beside their channels")
    }
    return [Shape(a.n, a.c + b.c, a.h, a.w)]
  }

  public func differentiate(_ node: Node, _ tape: inout Differentiation) throws(EngineError) {
    guard let dy = tape.storedUpstream(node.results[0]) else { return }
    var first = 0
    for input in node.inputs {
      let shape = tape.graph.shape(input)
      if let target = try tape.target(for: input) {
        tape.apply(
          ChannelSlice(first: first, channels: shape.c, accumulates: target.accumulates), [dy], into: target)
      }
      first += shape.c
    }
  }

  public func cost(_ io: NodeIO) -> Cost { Cost(flops: 0, bytes: io.byteCount) }

  public func runOnCPU(_ context: CPUContext) {
    var first = 0
    for input in context.inputs {
      let (s, out) = (input.shape, context.io.targets[0])
      for n in 0..<s.n {
        (context.targets[0] + (n * out.c + first) * s.plane).update(
          from: input.data + n * s.c * s.plane, count: s.c * s.plane)
      }
      first += s.c
    }
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    var first = 0
    return io.inputs.enumerated().map { index, shape in
      defer { first += shape.c }
      return ChannelSlice.copy(
        from: index, fromFirst: 0, fromChannels: shape.c, toFirst: first, toChannels: io.targets[0].c, shape: shape,
        accumulates: false, on: device)
    }
  }
}

/// y = or += x[:, first ..< first + channels]. Input: x, plain. Target: y.
public struct ChannelSlice: Operation {
  public static let name = "channel_slice"
  let first: Int
  let channels: Int
  let accumulates: Bool

  public func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] {
    [Shape(inputs[0].n, channels, inputs[0].h, inputs[0].w)]
  }

  public func cost(_ io: NodeIO) -> Cost { Cost(flops: 0, bytes: 8 * io.targets[0].count) }

  public func runOnCPU(_ context: CPUContext) {
    let (s, out) = (context.inputs[0].shape, context.io.targets[0])
    for n in 0..<s.n {
      let from = context.inputs[0].data + (n * s.c + first) * s.plane
      let to = context.targets[0] + n * out.c * s.plane
      for i in 0..<(out.c * s.plane) { to[i] = accumulates ? to[i] + from[i] : from[i] }
    }
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    [
      Self.copy(
        from: 0, fromFirst: first, fromChannels: io.inputs[0].c, toFirst: 0, toChannels: channels, shape: io.targets[0],
        accumulates: accumulates, on: device)
    ]
  }

  /// Copies `shape.c` channels between tensors of different channel counts.
  static func copy(
    from: Int, fromFirst: Int, fromChannels: Int, toFirst: Int, toChannels: Int, shape: Shape, accumulates: Bool,
    on device: DeviceTraits
  ) -> Launch {
    let runs = ChannelRuns(shape)
    return Launch(
      "channel_copy.cl", "channel_copy", defines: [("ACCUMULATE", accumulates ? 1 : 0)],
      arguments: [
        ("y", .target(0)), ("x", .input(from)), ("y_first", .int(toFirst)), ("y_channels", .int(toChannels)),
        ("x_first", .int(fromFirst)), ("x_channels", .int(fromChannels)),
      ] + runs.arguments.dropFirst(), runs: runs.global, on: device)
  }
}
