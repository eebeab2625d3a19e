import VectorMath

/// Group normalisation and ReLU, stored: y = max(0, (z − mean)·γ/√(var + eps) + β), mean and biased variance over the pixels of a
/// group's channels in one image. Batches of any size train alike, and inference needs no running statistics.
///
/// Unlike a batch norm it is no view: its table has a row an image and channel, and readers of views know rows by channel.
///
/// - Inputs: z (N, C, H, W) stored, γ (C), β (C). Results: y (N, C, H, W); table (1, N·C, 1, 4): mean, scale, beta, 1/σ.
/// - Source: Wu & He 2018, "Group Normalization", arXiv:1803.08494. Numerics as `BatchNorm`.
public struct GroupNorm: Operation {
  public static let name = "group_norm"
  let channelsPerGroup: Int
  let relu: Bool
  let epsilon: Float

  public init(channelsPerGroup: Int, relu: Bool, epsilon: Float = 1e-5) {
    self.channelsPerGroup = channelsPerGroup
    self.relu = relu
    self.epsilon = epsilon
  }

  public func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] {
    let z = inputs[0]
    guard inputs.count == 3, inputs[1].count == z.c, inputs[2].count == z.c else {
      throw .shape(operation: Self.name, problem: "gamma and beta should have \(z.c) elements")
    }
    guard channelsPerGroup > 0, z.c % channelsPerGroup == 0 else {
      throw .shape(operation: Self.name, problem: "\(z.c) channels do not fall into groups of \(channelsPerGroup)")
    }
    return [z, Shape(1, z.n * z.c, 1, 4)]
  }

  public func differentiate(_ node: Node, _ tape: inout Differentiation) throws(EngineError) {
    guard let g = tape.storedUpstream(node.results[0]) else { return }
    var targets: [(value: ValueID, accumulates: Bool)] = []
    for input in node.inputs {
      let shape = tape.graph.shape(input)
      let target = try tape.target(for: input)
      targets.append((target?.value ?? tape.arena("unused gradient", shape), target?.accumulates ?? false))
    }
    guard targets[1].accumulates == targets[2].accumulates else {
      throw .unsupported(operation: Self.name, problem: "gamma and beta have different numbers of consumers")
    }
    tape.add(
      GroupNormGradient(
        norm: self, accumulates: targets[0].accumulates, accumulatesParameters: targets[1].accumulates),
      [g, node.inputs[0], node.results[1], node.inputs[1]], results: targets.filter { !$0.accumulates }.map(\.value),
      updates: targets.filter(\.accumulates).map(\.value))
  }

  public func reads16Bits(_ input: Int) -> Bool { input == 0 }
  public func writes16Bits(_ target: Int, _ io: NodeIO, _ device: DeviceTraits) -> Bool { device.kind == .openCL }

  public func cost(_ io: NodeIO) -> Cost {
    Cost(
      flops: 6 * io.inputs[0].count,
      bytes: io.readings[0].bytesPerElement * io.inputs[0].count + io.targetBytes(0))
  }

  /// z as moments see it: a channel a group of an image.
  func grouped(_ z: Shape) -> Shape { Shape(1, z.n * z.c / channelsPerGroup, channelsPerGroup * z.h, z.w) }
  /// z as tables see it: a channel a channel of an image.
  static func flat(_ z: Shape) -> Shape { Shape(1, z.n * z.c, z.h, z.w) }

  public func scratchBytes(_ io: NodeIO, _ device: DeviceTraits) -> [Int] {
    device.kind == .openCL ? [ChannelRuns(grouped(io.inputs[0])).partialBytes(values: 2)] : []
  }

  public func runOnCPU(_ context: CPUContext) {
    let z = context.inputs[0]
    let (channels, plane) = (z.shape.c, z.shape.plane)
    let (y, table) = (context.targets[0], context.targets[1])
    let count = channelsPerGroup * plane
    parallelFor(context.threads) { part in
      var operand = z.normalized(by: UnsafePointer(table), relu: relu)
      for group in share(z.shape.n * channels / channelsPerGroup, part, of: context.threads) {
        let shift = z.element(group * count)
        var sum = 0.0
        var squares = 0.0
        vm_sums(z.data, z.stored, Int64(group * count), Int64(count), shift, &sum, &squares)
        let mean = shift + sum / Double(count)
        let inverse = 1 / (max(0, (squares - sum * sum / Double(count)) / Double(count)) + Double(epsilon)).squareRoot()
        let rounded = mean - Double(Float(mean))
        for c in group * channelsPerGroup..<(group + 1) * channelsPerGroup {
          let to = table + 4 * c
          let scale = Float(Double(context.inputs[1].data[c % channels]) * inverse)
          to[0] = Float(mean)
          to[1] = scale
          to[2] = Float(Double(context.inputs[2].data[c % channels]) - rounded * Double(scale))
          to[3] = Float(inverse)
          vm_load_range(y + c * plane, &operand, 0, Int64(c), 0, Int64(plane))
        }
      }
    }
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    let z = io.inputs[0]
    let moments = ChannelRuns(grouped(z))
    let flat = ChannelRuns(Self.flat(z))
    return [
      Launch(
        "batch_norm.cl", "batch_norm_partial", defines: storedMacro("Z_STORED", io.readings[0].data),
        arguments: [("partial", .scratch(0)), ("z", .input(0))] + moments.arguments,
        runs: moments.global, on: device),
      Launch(
        "group_norm.cl", "group_norm_table",
        arguments: [
          ("table", .target(1)), ("partial", .scratch(0)), ("gamma", .input(1)), ("beta", .input(2)),
          ("groups", .int(z.c / channelsPerGroup)), ("group_channels", .int(channelsPerGroup)), ("plane", .int(z.plane)),
          ("runs", .int(moments.count)), ("run_length", .int(ChannelRuns.length)), ("epsilon", .float(epsilon)),
        ], global: [z.n * z.c / channelsPerGroup]),
      Launch(
        "materialize.cl", "materialize",
        defines: [
          ("X_MODE", Reading(view: relu ? .normalizedReLU : .normalized, data: io.readings[0].data).code),
          ("ACCUMULATE", 0),
        ] + storedMacro("Y_STORED", io.targetStorage[0]),
        arguments: [("y", .target(0)), ("x", .input(0)), ("x_table", .target(1)), ("x_aux", .input(0))] + flat.arguments,
        runs: flat.global, on: device),
    ]
  }
}

extension CPUOperand {
  /// This tensor, its images' channels side by side, as the view through a table of a row each: normalised, or with
  /// `gradient` the gradient of that.
  func normalized(by table: UnsafePointer<Float>, gradient: CPUOperand? = nil, relu: Bool) -> vm_operand {
    let reading: Reading
    if let gradient {
      reading = Reading(
        view: relu ? .normalizedReLUGradient : .normalizedGradient, data: gradient.reading.data, aux: self.reading.data)
    } else {
      reading = Reading(view: relu ? .normalizedReLU : .normalized, data: self.reading.data)
    }
    return vm_operand(
      data: gradient?.data ?? data, table: table, aux: data, mode: Int32(reading.code), channels: Int64(shape.n * shape.c),
      height: Int64(shape.h), width: Int64(shape.w))
  }
}
