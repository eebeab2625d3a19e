import VectorMath

/// Batch normalisation over images and pixels, as a table that readers apply: a = f((z − mean)·scale + beta).
///
/// scale = γ / √(var + eps) with the biased variance; running = (1 − momentum)·running + momentum·new, the variance
/// unbiased (m / (m − 1), as PyTorch), m = N·H·W. The normalised tensor itself is never stored: `Graph.batchNorm` gives a
/// view of z through the table.
///
/// - Inputs: z (N, C, H, W) stored, γ (C), β (C). Updates: running mean (C), running variance (C).
/// - Result: table (1, C, 1, 4): mean, scale, beta, 1/√(var + eps).
/// - Numerics: on OpenCL mean and variance of runs of pixels by two corrected passes, merged by Chan's formula (the CPU path: one pass in
///   double, shifted): right where the mean is a thousand standard deviations (Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance").
public struct BatchNorm: Operation {
  public static let name = "batch_norm"
  let relu: Bool
  let momentum: Float
  let epsilon: Float

  public func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] {
    let c = inputs[0].c
    guard inputs.count == 3, inputs[1].count == c, inputs[2].count == c else {
      throw .shape(operation: Self.name, problem: "gamma and beta should have \(c) elements")
    }
    return [Shape(1, c, 1, 4)]
  }

  public func differentiate(_ node: Node, _ tape: inout Differentiation) throws(EngineError) {
    try tape.differentiateNorm(node, relu: relu, frozen: false)
  }

  public func reads16Bits(_ input: Int) -> Bool { input == 0 }

  public func cost(_ io: NodeIO) -> Cost {
    Cost(flops: 4 * io.inputs[0].count, bytes: io.readings[0].bytesPerElement * io.inputs[0].count)
  }

  public func scratchBytes(_ io: NodeIO, _ device: DeviceTraits) -> [Int] {
    device.kind == .openCL ? [ChannelRuns(io.inputs[0]).partialBytes(values: 2)] : []
  }

  public func runOnCPU(_ context: CPUContext) {
    let z = context.inputs[0]
    let (n, channels, plane) = (z.shape.n, z.shape.c, z.shape.plane)
    let count = Double(n * plane)
    let (table, runningMean, runningVariance) = (context.targets[0], context.targets[1], context.targets[2])
    parallelFor(context.threads) { part in
      for c in share(channels, part, of: context.threads) {
        let shift = z.element(c * plane)
        var sum = 0.0
        var squares = 0.0
        for image in 0..<n {
          vm_sums(z.data, z.stored, Int64((image * channels + c) * plane), Int64(plane), shift, &sum, &squares)
        }
        let mean = shift + sum / count
        let variance = max(0, (squares - sum * sum / count) / count)
        let inverse = 1 / (variance + Double(epsilon)).squareRoot()
        table[4 * c] = Float(mean)
        table[4 * c + 1] = Float(Double(context.inputs[1].data[c]) * inverse)
        // What rounding took from the mean goes into beta, so that a mean of a thousand σ costs no digits.
        let rounded = mean - Double(Float(mean))
        table[4 * c + 2] = Float(Double(context.inputs[2].data[c]) - rounded * Double(table[4 * c + 1]))
        table[4 * c + 3] = Float(inverse)
        let unbiased = count > 1 ? variance * count / (count - 1) : variance
        runningMean[c] = (1 - momentum) * runningMean[c] + momentum * Float(mean)
        runningVariance[c] = (1 - momentum) * runningVariance[c] + momentum * Float(unbiased)
      }
    }
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    let z = io.inputs[0]
    let runs = ChannelRuns(z)
    // This kernel does not use them: with them it and its gradient are one compiled program, where that is in 32 bits.
    let defines =
      [("RELU", relu ? 1 : 0), ("ACCUMULATE", 0), ("FROZEN", 0)] + storedMacro("Z_STORED", io.readings[0].data)
    return [
      Launch(
        "batch_norm.cl", "batch_norm_partial", defines: defines,
        arguments: [("partial", .scratch(0)), ("z", .input(0))] + runs.arguments,
        runs: runs.global, on: device),
      Launch(
        "batch_norm.cl", "batch_norm_table", defines: defines,
        arguments: [
          ("table", .target(0)), ("running_mean", .target(1)), ("running_variance", .target(2)),
          ("partial", .scratch(0)), ("gamma", .input(1)), ("beta", .input(2)),
        ] + runs.arguments + [
          ("runs", .int(runs.count)), ("momentum", .float(momentum)), ("epsilon", .float(epsilon)),
        ], runs: [z.c], on: device),
    ]
  }
}

/// The table of a batch norm in inference mode, from its running statistics.
///
/// - Inputs: γ, β, running mean, running variance (C each). Result: table (1, C, 1, 4) as `BatchNorm`'s.
public struct BatchNormInference: Operation {
  public static let name = "batch_norm_inference"
  let epsilon: Float

  public func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] { [Shape(1, inputs[0].count, 1, 4)] }

  public func cost(_ io: NodeIO) -> Cost { Cost(flops: 4 * io.inputs[0].count, bytes: io.byteCount) }

  public func runOnCPU(_ context: CPUContext) {
    for c in 0..<context.inputs[0].shape.count {
      let inverse = 1 / (context.inputs[3].data[c] + epsilon).squareRoot()
      let to = context.targets[0] + 4 * c
      to[0] = context.inputs[2].data[c]
      to[1] = context.inputs[0].data[c] * inverse
      to[2] = context.inputs[1].data[c]
      to[3] = inverse
    }
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    [launch(channels: io.inputs[0].count, firstInput: 0)]
  }

  func launch(channels: Int, firstInput i: Int) -> Launch {
    Launch(
      "batch_norm.cl", "batch_norm_inference",
      arguments: [
        ("table", .target(0)), ("gamma", .input(i)), ("beta", .input(i + 1)), ("running_mean", .input(i + 2)),
        ("running_variance", .input(i + 3)), ("channels", .int(channels)), ("epsilon", .float(epsilon)),
      ], global: [channels])
  }
}

extension Graph {
  /// The batch norm of z, with ReLU or not, as a view.
  ///
  /// - Parameters:
  ///   - training: normalise by the batch's statistics and update the running ones; otherwise by the running ones.
  ///   - frozen: in training too by the running ones, which stay as they are.
  public mutating func batchNorm(
    _ z: ValueID, gamma: ValueID, beta: ValueID, runningMean: ValueID, runningVariance: ValueID, relu: Bool,
    training: Bool, frozen: Bool = false, momentum: Float = 0.1, epsilon: Float = 1e-5, named name: String = "batch_norm"
  ) throws(EngineError) -> ValueID {
    let table: ValueID
    if training, frozen {
      table = try apply(
        FrozenBatchNorm(relu: relu, epsilon: epsilon), [z, gamma, beta, runningMean, runningVariance],
        named: name + " table")[0]
    } else if training {
      table = try apply(
        BatchNorm(relu: relu, momentum: momentum, epsilon: epsilon), [z, gamma, beta],
        updates: [runningMean, runningVariance], named: name + " table")[0]
    } else {
      table = try apply(
        BatchNormInference(epsilon: epsilon), [gamma, beta, runningMean, runningVariance], named: name + " table",
        differentiable: false)[0]
    }
    return view(
      name, .normalized(z: z, table: table, relu: relu), shape: shape(z), needsGradient: training && self[z].needsGradient,
      producer: nodes.count - 1)
  }
}
