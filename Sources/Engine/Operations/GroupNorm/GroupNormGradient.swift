import VectorMath

/// The gradient of `GroupNorm` with its ReLU.
///
/// With m = f′, d = z − mean, M = pixels of a group, A = Σ γ·g·m and B = Σ γ·g·m·d over the group:
/// dz = (γ·g·m − A/M − d·B/(σ²·M))/σ; dβ = Σ g·m and dγ = Σ g·m·d/σ over images and pixels.
///
/// - Inputs: g (gradient with respect to y), z, table, γ. Targets: dz, dγ, dβ, each written or added to.
struct GroupNormGradient: Operation {
  static let name = "group_norm_gradient"
  let norm: GroupNorm
  let accumulates: Bool
  let accumulatesParameters: Bool

  func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] { [inputs[1], inputs[3], inputs[3]] }

  func reads16Bits(_ input: Int) -> Bool { input < 2 }
  func writes16Bits(_ target: Int, _ io: NodeIO, _ device: DeviceTraits) -> Bool { target == places.z }

  func cost(_ io: NodeIO) -> Cost {
    Cost(
      flops: 10 * io.inputs[1].count,
      bytes: (io.readings[0].bytesPerElement + io.readings[1].bytesPerElement) * io.inputs[1].count + io.targetBytes(places.z))
  }

  /// Places of dz, dγ and dβ among the targets: what is written comes before what is added to.
  private var places: (z: Int, gamma: Int, beta: Int) {
    accumulates && !accumulatesParameters ? (2, 0, 1) : (0, 1, 2)
  }

  /// Sums of each image's channel, and the gradient's table; with OpenCL before them the sums of runs.
  func scratchBytes(_ io: NodeIO, _ device: DeviceTraits) -> [Int] {
    let rows = io.inputs[1].n * io.inputs[1].c
    return [rows * 2 * 4, rows * 8 * 4]
      + (device.kind == .openCL ? [ChannelRuns(GroupNorm.flat(io.inputs[1])).partialBytes(values: 2)] : [])
  }

  func runOnCPU(_ context: CPUContext) {
    let (g, z, table, gamma) = (context.inputs[0], context.inputs[1], context.inputs[2].data, context.inputs[3].data)
    let (channels, plane, size) = (z.shape.c, z.shape.plane, norm.channelsPerGroup)
    let (sums, gradientTable) = (context.scratch[0], context.scratch[1])
    let dz = context.targets[places.z]
    parallelFor(context.threads) { part in
      var operand = z.normalized(by: UnsafePointer(gradientTable), gradient: g, relu: norm.relu)
      for group in share(z.shape.n * channels / size, part, of: context.threads) {
        let rows = group * size..<(group + 1) * size
        let inverse = Double(table[4 * rows.lowerBound + 3])
        var all = 0.0
        var products = 0.0
        for row in rows {
          var sum = 0.0
          var product = 0.0
          vm_norm_gradient_sums(
            g.data, g.stored, z.data, z.stored, Int64(row * plane), Int64(plane), table[4 * row], table[4 * row + 1],
            table[4 * row + 2], norm.relu ? 1 : 0, &sum, &product)
          (sums[2 * row], sums[2 * row + 1]) = (Float(sum), Float(product))
          all += Double(gamma[row % channels]) * sum
          products += Double(gamma[row % channels]) * product
        }
        let total = Double(size * plane)
        for row in rows {
          let to = gradientTable + 8 * row
          for index in 0..<3 { to[index] = table[4 * row + index] }
          to[3] = Float(-inverse * inverse * inverse * products / total)
          to[4] = Float(-inverse * all / total)
          for index in 5..<8 { to[index] = 0 }
          vm_put_range(
            dz, context.io.stored(places.z), Int64(row * plane), &operand, 0, Int64(row), 0, Int64(plane), accumulates ? 1 : 0)
        }
      }
    }
    let (dGamma, dBeta) = (context.targets[places.gamma], context.targets[places.beta])
    for c in 0..<channels {
      var (scaled, plain) = (0.0, 0.0)
      for row in stride(from: c, to: z.shape.n * channels, by: channels) {
        plain += Double(sums[2 * row])
        scaled += Double(sums[2 * row + 1]) * Double(table[4 * row + 3])
      }
      dGamma[c] = (accumulatesParameters ? dGamma[c] : 0) + Float(scaled)
      dBeta[c] = (accumulatesParameters ? dBeta[c] : 0) + Float(plain)
    }
  }

  func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    let z = io.inputs[1]
    let runs = ChannelRuns(GroupNorm.flat(z))
    let relu = norm.relu
    let reading = Reading(
      view: relu ? .normalizedReLUGradient : .normalizedGradient, data: io.readings[0].data, aux: io.readings[1].data)
    return [
      Launch(
        "batch_norm.cl", "batch_norm_gradient_partial",
        defines: [("RELU", relu ? 1 : 0), ("ACCUMULATE", 0)] + storedMacro("Z_STORED", reading.aux)
          + storedMacro("G_STORED", reading.data),
        arguments: [("partial", .scratch(2)), ("g", .input(0)), ("z", .input(1)), ("table", .input(2))] + runs.arguments,
        runs: runs.global, on: device),
      Launch(
        "group_norm.cl", "group_norm_gradient_table", defines: [("ACCUMULATE", accumulatesParameters ? 1 : 0)],
        arguments: [
          ("gradient_table", .scratch(1)), ("sums", .scratch(0)), ("partial", .scratch(2)), ("table", .input(2)),
          ("gamma", .input(3)), ("groups", .int(z.c / norm.channelsPerGroup)), ("group_channels", .int(norm.channelsPerGroup)),
          ("plane", .int(z.plane)), ("runs", .int(runs.count)),
        ], global: [z.n * z.c / norm.channelsPerGroup]),
      Launch(
        "group_norm.cl", "group_norm_parameter_gradient", defines: [("ACCUMULATE", accumulatesParameters ? 1 : 0)],
        arguments: [
          ("dgamma", .target(places.gamma)), ("dbeta", .target(places.beta)), ("sums", .scratch(0)), ("table", .input(2)),
          ("channels", .int(z.c)), ("images", .int(z.n)),
        ], global: [z.c]),
      Launch(
        "materialize.cl", "materialize",
        defines: [("X_MODE", reading.code), ("ACCUMULATE", accumulates ? 1 : 0)]
          + storedMacro("Y_STORED", io.targetStorage[places.z]),
        arguments: [("y", .target(places.z)), ("x", .input(0)), ("x_table", .scratch(1)), ("x_aux", .input(1))]
          + runs.arguments, runs: runs.global, on: device),
    ]
  }
}
