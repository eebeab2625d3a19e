import Engine

/// A batch norm in front of an operation (its input is a normalised view) or after it.
struct Norm: Sendable {
  enum Mode: String, Sendable {
    case training = ""
    case inference = "eval"
    /// Training by running statistics that are constants.
    case frozen
  }

  /// Before the names of its inputs: `x` gives `x.gamma`, `x.beta`, `x.running_mean`, `x.running_var`.
  let prefix: String
  let relu: Bool
  var mode: Mode = .training
  var epsilon = 1e-5
  var momentum = 0.1

  var label: String { (relu ? "relu" : "norm") + mode.rawValue }

  /// Its inputs for a tensor that it normalises.
  ///
  /// ReLU has a kink where the normalised value is 0, and rounding may put an element on its other side: β is chosen so
  /// that 0 lies in the middle of the widest gap between elements near a random place.
  func inputs(_ z: Tensor64, seed: UInt64, needsGradient: Bool = true) -> [CaseInput] {
    let channels = z.shape[1]
    var random = ReferenceRandom(seed: seed)
    let gamma = Tensor64(
      [channels],
      (0..<channels).map { _ in Double.random(in: 0.5...1.5, using: &random) * (Bool.random(using: &random) ? 1 : -1) }
    ).roundedToFloat
    let runningMean = Tensor64(random: [channels], seed: seed &+ 1, in: -0.5...0.5).roundedToFloat
    let runningVariance = Tensor64(random: [channels], seed: seed &+ 2, in: 0.5...2).roundedToFloat
    let statistics = mode == .training ? Reference.batchStatistics(z) : nil
    let plain = Reference.batchNormInference(
      z, weight: gamma, bias: Tensor64(zeros: [channels]), runningMean: statistics?.mean ?? runningMean,
      runningVariance: statistics?.variance ?? runningVariance, eps: epsilon)
    let beta = (0..<channels).map { channel in
      Self.shift(plain, channel: channel, near: Double.random(in: -0.4...0.4, using: &random))
    }
    return [
      CaseInput("\(prefix).gamma", gamma, .slab(.parameters), needsGradient: needsGradient),
      CaseInput("\(prefix).beta", Tensor64([channels], beta), .slab(.parameters), needsGradient: needsGradient),
      CaseInput("\(prefix).running_mean", runningMean, .slab(.running)),
      CaseInput("\(prefix).running_var", runningVariance, .slab(.running)),
    ]
  }

  /// Minus the middle of the widest gap between the channel's values within 0.5 of −wanted.
  static func shift(_ y: Tensor64, channel: Int, near wanted: Double) -> Double {
    let (n, c, h, w) = y.nchw
    var near: [Double] = []
    for image in 0..<n {
      let start = (image * c + channel) * h * w
      near += y.values[start..<start + h * w].filter { abs($0 + wanted) < 0.5 }
    }
    near = [-wanted - 0.5] + near.sorted() + [-wanted + 0.5]
    var best = (gap: -1.0, middle: -wanted)
    for (a, b) in zip(near, near.dropFirst()) where b - a > best.gap { best = (b - a, (a + b) / 2) }
    return -best.middle
  }

  func build(_ b: inout CaseBuilder, _ z: ValueID) throws(EngineError) -> ValueID {
    let names = [".gamma", ".beta", ".running_mean", ".running_var"].map { prefix + $0 }
    var values: [ValueID] = []
    for name in names { values.append(try b.source(name)) }
    return try b.graph.batchNorm(
      z, gamma: values[0], beta: values[1], runningMean: values[2], runningVariance: values[3], relu: relu,
      training: mode != .inference, frozen: mode == .frozen, momentum: Float(momentum), epsilon: Float(epsilon), named: prefix)
  }

  func activated(_ z: Tensor64, _ inputs: [String: Tensor64]) -> Tensor64 {
    relu ? Reference.relu(plain(z, inputs)) : plain(z, inputs)
  }

  /// Without the ReLU.
  private func plain(_ z: Tensor64, _ inputs: [String: Tensor64]) -> Tensor64 {
    let (gamma, beta) = (inputs["\(prefix).gamma"]!, inputs["\(prefix).beta"]!)
    switch mode {
    case .training: return Reference.batchNormTraining(z, weight: gamma, bias: beta, eps: epsilon).y
    case .inference, .frozen:
      return Reference.batchNormInference(
        z, weight: gamma, bias: beta, runningMean: inputs["\(prefix).running_mean"]!,
        runningVariance: inputs["\(prefix).running_var"]!, eps: epsilon)
    }
  }

  /// dz, and the gradients of γ and β under the names of their inputs' gradients.
  func gradients(
    _ z: Tensor64, _ inputs: [String: Tensor64], upstream: Tensor64
  ) -> (dz: Tensor64, parameters: [String: Tensor64]) {
    let (gamma, beta) = (inputs["\(prefix).gamma"]!, inputs["\(prefix).beta"]!)
    let (dz, dGamma, dBeta): (Tensor64, Tensor64, Tensor64)
    if mode == .frozen {
      let gradY = relu ? Reference.reluGradient(x: plain(z, inputs), gradY: upstream) : upstream
      (dz, dGamma, dBeta) = Reference.frozenBatchNormGradients(
        x: z, weight: gamma, runningMean: inputs["\(prefix).running_mean"]!,
        runningVariance: inputs["\(prefix).running_var"]!, gradY: gradY, eps: epsilon)
    } else if relu {
      (dz, dGamma, dBeta) = Reference.batchNormReLUGradients(
        z: z, weight: gamma, bias: beta, gradA: upstream, eps: epsilon)
    } else {
      (dz, dGamma, dBeta) = Reference.batchNormGradients(x: z, weight: gamma, gradY: upstream, eps: epsilon)
    }
    return (dz, ["grad_\(prefix).gamma": dGamma, "grad_\(prefix).beta": dBeta])
  }

  /// The running statistics after a training step.
  func running(_ z: Tensor64, _ inputs: [String: Tensor64]) -> (mean: Tensor64, variance: Tensor64) {
    Reference.batchNormRunning(
      mean: inputs["\(prefix).running_mean"]!, variance: inputs["\(prefix).running_var"]!,
      statistics: Reference.batchStatistics(z), momentum: momentum)
  }
}

/// What an operation reads: a tensor as it is, or the batch norm of it.
struct Operand: Sendable {
  enum View: String, Sendable, CaseIterable {
    case plain, norm, relu
    case reluEval = "relueval"
  }

  let name: String
  /// n, c, h, w.
  let shape: [Int]
  var view: View = .plain
  /// Mean of a normalised tensor, in units of its standard deviation.
  var offset = 0.0
  /// Values on a coarse grid, so that equal ones occur.
  var ties = false

  private var norm: Norm? {
    switch view {
    case .plain: nil
    case .norm: Norm(prefix: name, relu: false)
    case .relu: Norm(prefix: name, relu: true)
    case .reluEval: Norm(prefix: name, relu: true, mode: .inference)
    }
  }

  /// A normalised view by running statistics has no gradient.
  var needsGradient: Bool { view != .reluEval }

  /// σ of a normalised tensor's values.
  private static let deviation = 1.164

  /// A normalised tensor lies on a grid of 1/32: no two values are nearer than that.
  func inputs(seed: UInt64) -> [CaseInput] {
    var value: Tensor64
    if let norm {
      var random = ReferenceRandom(seed: seed)
      let count = shape.reduce(1, *)
      let mean = (offset * Self.deviation).rounded()
      value = Tensor64(shape, (0..<count).map { _ in mean + Double(Int.random(in: -64...64, using: &random)) / 32 })
      return [CaseInput(name, value, needsGradient: needsGradient)]
        + norm.inputs(value, seed: seed &+ 10, needsGradient: needsGradient)
    }
    value = Tensor64(random: shape, seed: seed)
    if ties { value.values = value.values.map { ($0 * 3).rounded() / 4 } }
    return [CaseInput(name, value, needsGradient: true)]
  }

  func build(_ b: inout CaseBuilder) throws(EngineError) -> ValueID {
    let z = try b.source(name)
    return try norm?.build(&b, z) ?? z
  }

  func activated(_ inputs: [String: Tensor64]) -> Tensor64 {
    let z = inputs[name]!
    return norm?.activated(z, inputs) ?? z
  }

  /// The gradients of the operand's inputs, from that of the activated value.
  func gradients(_ inputs: [String: Tensor64], upstream: Tensor64) -> [String: Tensor64] {
    guard needsGradient else { return [:] }
    guard let norm else { return ["grad_\(name)": upstream] }
    var (dz, result) = norm.gradients(inputs[name]!, inputs, upstream: upstream)
    result["grad_\(name)"] = dz
    return result
  }

  /// Terms behind an element that is read: none of a plain tensor, those of the statistics of a batch norm.
  var viewTerms: Int { isNormalized ? ErrorBound.functions + (view == .reluEval ? 0 : pixels) : 0 }
  var pixels: Int { shape[0] * shape[2] * shape[3] }
  var isNormalized: Bool { view != .plain }
  var label: String { view == .plain ? "" : view.rawValue }

  /// The rounding of a gradient with respect to one of the operand's inputs, where that with respect to the activated value
  /// has `upstream` terms of a typical size `size`.
  func accuracy(_ result: String, upstream: Int, size: Double) -> Accuracy? {
    let pixels = viewTerms
    guard result == "grad_\(name)" || result.hasPrefix("grad_\(name).") else { return nil }
    guard isNormalized else { return Accuracy(reduction: upstream, magnitude: size) }
    let condition = 1 + abs(offset)
    if result == "grad_\(name)" { return Accuracy(reduction: upstream + pixels, condition: condition, magnitude: size) }
    return Accuracy(
      reduction: upstream + pixels, condition: condition, magnitude: size * Double(self.pixels).squareRoot())
  }
}
