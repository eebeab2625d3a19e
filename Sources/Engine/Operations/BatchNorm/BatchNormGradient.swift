import VectorMath

/// Sums for the gradient of a training batch norm (and of the ReLU after it).
///
/// With m = f′ and M = N·H·W: dβ = Σ g·m, dγ = Σ g·m·(z − mean)/σ; the gradient with respect to z is the view
/// scale·g·m + q·(z − mean) + r with q = −scale·dγ/(σ·M), r = −scale·dβ/M.
///
/// - Inputs: g (gradient with respect to the normalised value), z, table. Targets: gradient table (1, C, 1, 8), dγ, dβ.
public struct BatchNormGradient: Operation {
  public static let name = "batch_norm_gradient"
  let relu: Bool
  let accumulates: Bool
  /// The statistics are constants: q = r = 0.
  let frozen: Bool

  public func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] {
    let c = inputs[1].c
    return [Shape(1, c, 1, 8), .vector(c), .vector(c)]
  }

  public func reads16Bits(_ input: Int) -> Bool { input < 2 }

  public func cost(_ io: NodeIO) -> Cost {
    Cost(
      flops: 5 * io.inputs[0].count, bytes: (io.readings[0].bytesPerElement + io.readings[1].bytesPerElement) * io.inputs[0].count
    )
  }

  public func scratchBytes(_ io: NodeIO, _ device: DeviceTraits) -> [Int] {
    device.kind == .openCL ? [ChannelRuns(io.inputs[1]).partialBytes(values: 2)] : []
  }

  public func runOnCPU(_ context: CPUContext) {
    let (g, z, table) = (context.inputs[0], context.inputs[1], context.inputs[2])
    let (n, channels, plane) = (z.shape.n, z.shape.c, z.shape.plane)
    let count = Double(n * plane)
    let (out, dGamma, dBeta) = (context.targets[0], context.targets[1], context.targets[2])
    parallelFor(context.threads) { part in
      for c in share(channels, part, of: context.threads) {
        let (mean, scale, beta) = (table.data[4 * c], table.data[4 * c + 1], table.data[4 * c + 2])
        let inverse = Double(table.data[4 * c + 3])
        var sum = 0.0
        var products = 0.0
        for image in 0..<n {
          let at = (image * channels + c) * plane
          vm_norm_gradient_sums(
            g.data, g.stored, z.data, z.stored, Int64(at), Int64(plane), mean, scale, beta, relu ? 1 : 0, &sum, &products)
        }
        let to = out + 8 * c
        to[0] = mean
        to[1] = scale
        to[2] = beta
        to[3] = frozen ? 0 : Float(-Double(scale) * inverse * inverse * products / count)
        to[4] = frozen ? 0 : Float(-Double(scale) * sum / count)
        to[5] = 0
        to[6] = 0
        to[7] = 0
        dGamma[c] = (accumulates ? dGamma[c] : 0) + Float(products * inverse)
        dBeta[c] = (accumulates ? dBeta[c] : 0) + Float(sum)
      }
    }
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    let z = io.inputs[1]
    let runs = ChannelRuns(z)
    let defines =
      [("RELU", relu ? 1 : 0), ("ACCUMULATE", accumulates ? 1 : 0), ("FROZEN", frozen ? 1 : 0)]
      + storedMacro("Z_STORED", io.readings[1].data) + storedMacro("G_STORED", io.readings[0].data)
    return [
      Launch(
        "batch_norm.cl", "batch_norm_gradient_partial", defines: defines,
        arguments: [("partial", .scratch(0)), ("g", .input(0)), ("z", .input(1)), ("table", .input(2))] + runs.arguments,
        runs: runs.global, on: device),
      Launch(
        "batch_norm.cl", "batch_norm_gradient_table", defines: defines,
        arguments: [
          ("gradient_table", .target(0)), ("dgamma", .target(1)), ("dbeta", .target(2)), ("partial", .scratch(0)),
          ("table", .input(2)), ("channels", .int(z.c)), ("count", .int(z.n * z.plane)), ("runs", .int(runs.count)),
        ], runs: [z.c], on: device),
    ]
  }
}

extension Differentiation {
  /// The gradient rule of a batch norm over inputs z, γ, β, …, whose table some view of z uses.
  mutating func differentiateNorm(_ node: Node, relu: Bool, frozen: Bool) throws(EngineError) {
    let z = node.inputs[0]
    let table = node.results[0]
    guard let view = offeredView(of: z, table: table), let g = storedUpstream(view) else { return }
    let channels = graph.shape(z).c
    let gammaTarget = try target(for: node.inputs[1])
    let betaTarget = try target(for: node.inputs[2])
    let accumulates = gammaTarget?.accumulates ?? false
    guard accumulates == betaTarget?.accumulates ?? false else {
      throw .unsupported(operation: BatchNorm.name, problem: "gamma and beta have different numbers of consumers")
    }
    let gradientTable = arena("gradient table", Shape(1, channels, 1, 8))
    let dGamma = gammaTarget?.value ?? arena("unused gradient", .vector(channels))
    let dBeta = betaTarget?.value ?? arena("unused gradient", .vector(channels))
    add(
      BatchNormGradient(relu: relu, accumulates: accumulates, frozen: frozen), [g, z, table],
      results: accumulates ? [gradientTable] : [gradientTable, dGamma, dBeta],
      updates: accumulates ? [dGamma, dBeta] : [])
    // Statistics of the batch take away each channel's mean, and with it whatever a bias adds.
    try setGradient(
      of: z, to: .normalizedGradient(gradient: g, z: z, table: gradientTable, relu: relu), sumsToZero: !frozen)
  }
}
