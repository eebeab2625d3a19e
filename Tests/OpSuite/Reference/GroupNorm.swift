extension Reference {
  /// y = γ·(x − μ)/√(σ² + ε) + β, μ and the biased σ² over each image's groups of neighbouring channels: what batch norm makes
  /// of the groups as channels of one image, then γ and β by channel.
  ///
  /// - Shapes: x, y (N, C, H, W); weight γ, bias β (C).
  /// - Source: Wu & He 2018, "Group Normalization".
  public static func groupNorm(
    _ x: Tensor64, channelsPerGroup: Int, weight: Tensor64, bias: Tensor64, eps: Double = 1e-5
  ) -> Tensor64 {
    var y = groupNormalized(x, channelsPerGroup, eps)
    forEachElement(of: y) { k, c in y.values[k] = y.values[k] * weight.values[c] + bias.values[c] }
    return y
  }

  /// The gradients of ``groupNorm(_:channelsPerGroup:weight:bias:eps:)``.
  public static func groupNormGradients(
    x: Tensor64, channelsPerGroup: Int, weight: Tensor64, gradY: Tensor64, eps: Double = 1e-5
  ) -> (gradX: Tensor64, gradWeight: Tensor64, gradBias: Tensor64) {
    let normalised = groupNormalized(x, channelsPerGroup, eps)
    var gradNormalised = gradY
    var (gradWeight, gradBias) = (Tensor64(zeros: weight.shape), Tensor64(zeros: weight.shape))
    forEachElement(of: x) { k, c in
      gradWeight.values[c] += gradY.values[k] * normalised.values[k]
      gradBias.values[c] += gradY.values[k]
      gradNormalised.values[k] *= weight.values[c]
    }
    let groups = grouped(x, channelsPerGroup)
    let gradX = batchNormGradients(
      x: groups, weight: Tensor64([groups.shape[1]], repeating: 1), gradY: grouped(gradNormalised, channelsPerGroup), eps: eps
    ).gradX
    return (Tensor64(x.shape, gradX.values), gradWeight, gradBias)
  }

  private static func grouped(_ x: Tensor64, _ size: Int) -> Tensor64 {
    let (n, c, h, w) = x.nchw
    precondition(c % size == 0, "\(c) channels in groups of \(size)")
    return Tensor64([1, n * c / size, size * h, w], x.values)
  }

  private static func groupNormalized(_ x: Tensor64, _ size: Int, _ eps: Double) -> Tensor64 {
    let groups = grouped(x, size)
    let channels = groups.shape[1]
    let y = batchNormTraining(
      groups, weight: Tensor64([channels], repeating: 1), bias: Tensor64(zeros: [channels]), eps: eps
    ).y
    return Tensor64(x.shape, y.values)
  }

  private static func forEachElement(of x: Tensor64, _ body: (_ offset: Int, _ channel: Int) -> Void) {
    let (_, c, h, w) = x.nchw
    for k in 0..<x.count { body(k, k / (h * w) % c) }
  }
}
