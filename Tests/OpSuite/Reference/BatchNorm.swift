extension Reference {
  /// What a batch says about each channel.
  public struct BatchStatistics: Sendable, Equatable {
    /// μ[c], shape (C).
    public let mean: Tensor64
    /// The biased variance Σ (x − μ)² / m, shape (C).
    public let variance: Tensor64
    /// m = N·H·W, the elements a channel has.
    public let elementCount: Int

    public init(mean: Tensor64, variance: Tensor64, elementCount: Int) {
      self.mean = mean
      self.variance = variance
      self.elementCount = elementCount
    }
  }

  /// μ[c] and σ²[c] (biased) over N, H, W, in two passes.
  ///
  /// - Shapes: x (N, C, H, W); results (C).
  public static func batchStatistics(_ x: Tensor64) -> BatchStatistics {
    let (n, c, h, w) = x.nchw
    let m = Double(n * h * w)
    var mean = Tensor64(zeros: [c])
    var variance = Tensor64(zeros: [c])
    forEachPlane(x) { channel, plane in
      for k in plane { mean.values[channel] += x.values[k] / m }
    }
    forEachPlane(x) { channel, plane in
      let mu = mean.values[channel]
      for k in plane { variance.values[channel] += (x.values[k] - mu) * (x.values[k] - mu) / m }
    }
    return BatchStatistics(mean: mean, variance: variance, elementCount: n * h * w)
  }

  /// y = γ·(x − μ)/√(σ² + ε) + β with the batch's own μ and biased σ².
  ///
  /// - Shapes: x, y (N, C, H, W); weight γ, bias β (C).
  /// - Source: Ioffe & Szegedy 2015, "Batch Normalization", algorithm 1.
  public static func batchNormTraining(
    _ x: Tensor64, weight: Tensor64, bias: Tensor64, eps: Double = 1e-5
  ) -> (y: Tensor64, statistics: BatchStatistics) {
    let statistics = batchStatistics(x)
    let y = batchNormInference(
      x, weight: weight, bias: bias, runningMean: statistics.mean,
      runningVariance: statistics.variance, eps: eps)
    return (y, statistics)
  }

  /// y = γ·(x − μ)/√(σ² + ε) + β with values of μ and σ² that are given: the inference mode.
  ///
  /// - Shapes: x, y (N, C, H, W); the others (C).
  public static func batchNormInference(
    _ x: Tensor64, weight: Tensor64, bias: Tensor64, runningMean: Tensor64,
    runningVariance: Tensor64, eps: Double = 1e-5
  ) -> Tensor64 {
    let c = x.nchw.c
    precondition(
      [weight, bias, runningMean, runningVariance].allSatisfy { $0.shape == [c] },
      "batch norm of \(x.shape) wants \(c) values of each kind")
    var y = x
    forEachPlane(x) { channel, plane in
      let scale = weight.values[channel] / (runningVariance.values[channel] + eps).squareRoot()
      for k in plane {
        y.values[k] = (x.values[k] - runningMean.values[channel]) * scale + bias.values[channel]
      }
    }
    return y
  }

  /// running ← (1 − momentum)·running + momentum·batch, with the **unbiased** variance σ²·m/(m − 1).
  ///
  /// - Precondition: a channel has at least two elements (PyTorch refuses one as well).
  /// - Source: PyTorch's `BatchNorm2d`, whose normalisation uses the biased variance all the same.
  public static func batchNormRunning(
    mean: Tensor64, variance: Tensor64, statistics: BatchStatistics, momentum: Double = 0.1
  ) -> (mean: Tensor64, variance: Tensor64) {
    precondition(statistics.elementCount > 1, "one element per channel has no unbiased variance")
    let m = Double(statistics.elementCount)
    return (
      Tensor64(
        mean.shape,
        zip(mean.values, statistics.mean.values).map { (1 - momentum) * $0 + momentum * $1 }),
      Tensor64(
        variance.shape,
        zip(variance.values, statistics.variance.values).map {
          (1 - momentum) * $0 + momentum * $1 * m / (m - 1)
        })
    )
  }

  /// The gradients of ``batchNormTraining(_:weight:bias:eps:)``, μ and σ² being functions of x.
  ///
  /// With x̂ = (x − μ)/√(σ² + ε): dβ = Σ dy, dγ = Σ dy·x̂, dx = γ/√(σ² + ε) · (dy − dβ/m − x̂·dγ/m).
  ///
  /// - Shapes: x, gradY, gradX (N, C, H, W); weight, gradWeight, gradBias (C).
  public static func batchNormGradients(
    x: Tensor64, weight: Tensor64, gradY: Tensor64, eps: Double = 1e-5
  ) -> (gradX: Tensor64, gradWeight: Tensor64, gradBias: Tensor64) {
    precondition(x.shape == gradY.shape, "batch norm of \(x.shape) with gradient \(gradY.shape)")
    precondition(weight.shape == [x.nchw.c], "batch norm of \(x.shape) with \(weight.shape)")
    let statistics = batchStatistics(x)
    let m = Double(statistics.elementCount)
    let inverse = statistics.variance.values.map { 1 / ($0 + eps).squareRoot() }
    var gradX = Tensor64(zeros: x.shape)
    var gradWeight = Tensor64(zeros: weight.shape)
    var gradBias = Tensor64(zeros: weight.shape)
    forEachPlane(x) { channel, plane in
      let mu = statistics.mean.values[channel]
      for k in plane {
        gradBias.values[channel] += gradY.values[k]
        gradWeight.values[channel] += gradY.values[k] * (x.values[k] - mu) * inverse[channel]
      }
    }
    forEachPlane(x) { channel, plane in
      let mu = statistics.mean.values[channel]
      let (dBeta, dGamma) = (gradBias.values[channel] / m, gradWeight.values[channel] / m)
      for k in plane {
        let normalised = (x.values[k] - mu) * inverse[channel]
        gradX.values[k] =
          weight.values[channel] * inverse[channel]
          * (gradY.values[k] - dBeta - normalised * dGamma)
      }
    }
    return (gradX, gradWeight, gradBias)
  }

  /// The gradients of ``batchNormInference(_:weight:bias:runningMean:runningVariance:eps:)``, μ and σ² being constants.
  ///
  /// - Shapes: x, gradY, gradX (N, C, H, W); the others (C).
  public static func frozenBatchNormGradients(
    x: Tensor64, weight: Tensor64, runningMean: Tensor64, runningVariance: Tensor64, gradY: Tensor64, eps: Double = 1e-5
  ) -> (gradX: Tensor64, gradWeight: Tensor64, gradBias: Tensor64) {
    var gradX = gradY
    var (gradWeight, gradBias) = (Tensor64(zeros: weight.shape), Tensor64(zeros: weight.shape))
    forEachPlane(x) { channel, plane in
      let inverse = 1 / (runningVariance.values[channel] + eps).squareRoot()
      for k in plane {
        gradBias.values[channel] += gradY.values[k]
        gradWeight.values[channel] += gradY.values[k] * (x.values[k] - runningMean.values[channel]) * inverse
        gradX.values[k] *= weight.values[channel] * inverse
      }
    }
    return (gradX, gradWeight, gradBias)
  }

  /// a = max(0, (z − mean)·scale + beta): a convolution's output as the next operation loads it.
  ///
  /// scale = γ/√(σ² + ε); the three per-channel values are given, so this is the fused view of batch norm and ReLU.
  ///
  /// - Shapes: z, a (N, C, H, W); mean, scale, beta (C).
  public static func batchNormReLU(
    _ z: Tensor64, mean: Tensor64, scale: Tensor64, beta: Tensor64
  ) -> Tensor64 {
    let c = z.nchw.c
    precondition(
      [mean, scale, beta].allSatisfy { $0.shape == [c] },
      "\(z.shape) wants \(c) values of each kind")
    var a = z
    forEachPlane(z) { channel, plane in
      let (mu, s, b) = (mean.values[channel], scale.values[channel], beta.values[channel])
      for k in plane { a.values[k] = max(0, (z.values[k] - mu) * s + b) }
    }
    return a
  }

  /// scale[c] = γ[c]/√(σ²[c] + ε), what ``batchNormReLU(_:mean:scale:beta:)`` takes.
  public static func batchNormScale(
    weight: Tensor64, variance: Tensor64, eps: Double = 1e-5
  ) -> Tensor64 {
    precondition(weight.shape == variance.shape, "γ \(weight.shape) and σ² \(variance.shape)")
    return Tensor64(
      weight.shape, zip(weight.values, variance.values).map { $0 / ($1 + eps).squareRoot() })
  }

  /// The gradients of ReLU after training-mode batch norm: dy = dA where y > 0, then as batch norm's own.
  ///
  /// - Shapes: z, gradA, gradZ (N, C, H, W); weight, bias and their gradients (C).
  public static func batchNormReLUGradients(
    z: Tensor64, weight: Tensor64, bias: Tensor64, gradA: Tensor64, eps: Double = 1e-5
  ) -> (gradZ: Tensor64, gradWeight: Tensor64, gradBias: Tensor64) {
    let y = batchNormTraining(z, weight: weight, bias: bias, eps: eps).y
    let gradY = reluGradient(x: y, gradY: gradA)
    let (gradZ, gradWeight, gradBias) = batchNormGradients(
      x: z, weight: weight, gradY: gradY, eps: eps)
    return (gradZ, gradWeight, gradBias)
  }

  /// Calls `body` with the channel and the offsets of each (H, W) plane.
  private static func forEachPlane(
    _ x: Tensor64, _ body: (_ channel: Int, _ plane: Range<Int>) -> Void
  ) {
    let (n, c, h, w) = x.nchw
    for index in 0..<n * c { body(index % c, index * h * w..<(index + 1) * h * w) }
  }
}
