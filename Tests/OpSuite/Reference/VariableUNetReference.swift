/// The whole network in Double, from the operations of ``Reference``.
///
/// Widths c₁…c₄ = base·(1, 2, 4, 8). Four encoder levels (DoubleConv, then 2×2 max pool) 3 → c₁ → c₂ → c₃ → c₄; a
/// bottleneck of three parallel 3×3 convolutions with dilation 1, 2, 4 and ⌊c₄/3⌋, ⌊c₄/3⌋ and the remaining
/// channels, joined; four decoder levels, deepest first `up4`/`dec4` … `up1`/`dec1`: transposed convolution 2×2 to
/// c₃, c₂, c₁, c₁/2, joined with the encoder's output as [up, skip], DoubleConv; a 1×1 convolution to one logit.
/// Each 3×3 convolution is followed by a norm (eps 1e-5, momentum 0.1) and ReLU.
///
/// Other bottlenecks: `sum` has three branches of c₄ channels, added, then a 1×1 convolution with norm and ReLU; `plain` has one
/// convolution 3×3. Other norms: `group` in groups of up to 8 channels; `batch-frozen` by the running statistics.
///
/// One training step:
///
///     logits, saved = forward(x), batch statistics, running statistics updated
///     dLogits       = d loss / d logits
///     gradients     = the same blocks in reverse order
///     parameters    = Adam(parameters, gradients)
public struct VariableUNetReference: Sendable {
  /// Parameters and running statistics by path, such as `enc1.double_conv.0.weight`.
  public private(set) var parameters: [String: Tensor64]

  private var adamStates: [String: Reference.AdamState] = [:]

  /// c₁, from the first convolution's weights.
  public let base: Int
  public let bottleneck: BottleneckKind
  public let norm: NormKind
  /// Whether activations that the backward pass reads are rounded to 16 bits, for both passes.
  var activationsAreHalved = false
  /// Whether gradients with respect to activations are rounded to bfloat16 where they are stored: of convolutions' inputs, and of what a
  /// pooling adds to one. A batch norm's is computed where it is read.
  var gradientsAreHalved = false

  public enum BottleneckKind: String, Sendable { case split, sum, plain }
  public enum NormKind: String, Sendable {
    case batch, group
    case batchFrozen = "batch-frozen"
  }

  /// What one pass in training mode gives.
  public struct Pass: Sendable {
    public let loss: Double
    /// (N, 1, H, W)
    public let logits: Tensor64
    /// By parameter path; empty where no gradient was asked for.
    public let gradients: [String: Tensor64]
    /// The running statistics after this pass, by path.
    public let runningStatistics: [String: Tensor64]
    /// How near a gradient came to a jump: the least distance of a ReLU's argument from 0, and of a window's maximum, where
    /// it is positive, from the next, as parts of their layer's root mean square. Fp32 gives other gradients where this is
    /// about 1e-7.
    public let nearestJump: Double
  }

  /// A network with these parameters and running statistics.
  ///
  /// - Precondition: the names and shapes are exactly those of ``layout(base:inputChannels:)``.
  public init(parameters: [String: Tensor64], bottleneck: BottleneckKind = .split, norm: NormKind = .batch) {
    guard let first = parameters["enc1.double_conv.0.weight"], first.shape.count == 4 else {
      preconditionFailure("the network's parameters lack enc1.double_conv.0.weight")
    }
    base = first.shape[0]
    self.bottleneck = bottleneck
    self.norm = norm
    let layout = Self.layout(base: base, inputChannels: first.shape[1], bottleneck: bottleneck, norm: norm)
    for (name, shape) in layout {
      precondition(
        parameters[name]?.shape == shape,
        "\(name) should be \(shape), is \(parameters[name]?.shape.description ?? "missing")")
    }
    precondition(
      parameters.count == layout.count,
      "unknown parameters: \(Set(parameters.keys).subtracting(layout.map(\.name)).sorted())")
    self.parameters = parameters
  }

  /// The path and shape of every parameter and running statistic, in the order of the forward pass.
  public static func layout(
    base: Int, inputChannels: Int = 3, bottleneck: BottleneckKind = .split, norm kind: NormKind = .batch
  ) -> [(name: String, shape: [Int])] {
    var result: [(name: String, shape: [Int])] = []
    func conv(_ name: String, _ shape: [Int], bias: Int) {
      result += [("\(name).weight", shape), ("\(name).bias", [bias])]
    }
    func norm(_ name: String, _ channels: Int) {
      for part in ["weight", "bias"] + (kind == .group ? [] : ["running_mean", "running_var"]) {
        result.append(("\(name).\(part)", [channels]))
      }
    }
    func double(_ name: String, _ input: Int, _ output: Int) {
      conv("\(name).double_conv.0", [output, input, 3, 3], bias: output)
      norm("\(name).double_conv.1", output)
      conv("\(name).double_conv.3", [output, output, 3, 3], bias: output)
      norm("\(name).double_conv.4", output)
    }
    let c = [base, 2 * base, 4 * base, 8 * base]
    for level in 0..<4 {
      double("enc\(level + 1)", level == 0 ? inputChannels : c[level - 1], c[level])
    }
    for branch in branches(bottleneck, c[3]) {
      conv("bottleneck.\(branch.conv)", [branch.channels, c[3], 3, 3], bias: branch.channels)
      norm("bottleneck.\(branch.norm)", branch.channels)
    }
    if bottleneck == .sum {
      conv("bottleneck.mix", [c[3], c[3], 1, 1], bias: c[3])
      norm("bottleneck.bn_mix", c[3])
    }
    for level in [4, 3, 2, 1] {
      let skip = c[level - 1]
      let up = skip / 2
      conv("up\(level)", [skip, up, 2, 2], bias: up)
      double("dec\(level)", up + skip, up)
    }
    conv("final", [1, base / 2, 1, 1], bias: 1)
    return result
  }

  private typealias Branch = (conv: String, norm: String, dilation: Int, channels: Int)

  private static func branches(_ bottleneck: BottleneckKind, _ c4: Int) -> [Branch] {
    let widths = bottleneck == .split ? [c4 / 3, c4 / 3, c4 - 2 * (c4 / 3)] : [c4, c4, c4]
    guard bottleneck != .plain else { return [("conv", "bn", 1, c4)] }
    return zip([1, 2, 4], widths).map { ("dilated\($0)", "bn\($0)", $0, $1) }
  }

  /// Channels that a norm takes together: a batch norm's stacked branches share one size of group.
  private func groupSize(_ norm: String) -> Int {
    func divisor(_ a: Int, _ b: Int) -> Int { b == 0 ? a : divisor(b, a % b) }
    let stacked = Self.branches(bottleneck, 8 * base)
    let widths =
      stacked.contains { "bottleneck.\($0.norm)" == norm } ? stacked.map(\.channels) : [parameter("\(norm).weight").count]
    return widths.reduce(8, divisor)
  }

  /// Logits in inference mode: batch norm uses the running statistics.
  ///
  /// - Shapes: x (N, 3, H, W), H and W divisible by 16; result (N, 1, H, W).
  public func evaluate(_ x: Tensor64) -> Tensor64 {
    var tape = Tape(mode: .inference)
    return forward(x, &tape)
  }

  /// Logits, loss and all gradients in training mode; the network itself stays as it was.
  ///
  /// A convolution's bias in front of a batch norm has gradient zero (the norm removes it); that zero is set, not
  /// left to rounding, since Adam would turn the rounding's sign into a full step.
  ///
  /// - Shapes: x (N, 3, H, W), H and W divisible by 16; target (N, 1, H, W).
  public func differentiate(
    x: Tensor64, target: Tensor64, _ loss: Reference.BCEDiceAttributes
  ) -> Pass {
    var tape = Tape(mode: .training)
    let logits = forward(x, &tape)
    let gradient = Reference.bceDiceGradient(logits: logits, target: target, loss)
    return Pass(
      loss: Reference.bceDice(logits: logits, target: target, loss), logits: logits,
      gradients: backward(gradient, tape), runningStatistics: tape.running, nearestJump: tape.nearestJump)
  }

  /// One training step: ``differentiate(x:target:_:)``, new running statistics, one step of Adam on each parameter.
  ///
  /// - Returns: the pass the step came from, taken before the parameters moved.
  @discardableResult
  public mutating func train(
    x: Tensor64, target: Tensor64, _ loss: Reference.BCEDiceAttributes,
    _ adam: Reference.AdamAttributes
  ) -> Pass {
    let pass = differentiate(x: x, target: target, loss)
    for (name, value) in pass.runningStatistics { parameters[name] = value }
    for (name, gradient) in pass.gradients {
      var value = parameter(name)
      var state = adamStates[name] ?? Reference.AdamState(shape: value.shape)
      Reference.adamStep(parameter: &value, gradient: gradient, state: &state, adam)
      parameters[name] = value
      adamStates[name] = state
    }
    return pass
  }

  // MARK: - Forward

  private enum Mode { case training, inference }

  /// What the backward pass needs of the forward pass.
  private struct Tape {
    let mode: Mode
    var running: [String: Tensor64] = [:]
    /// By convolution path: its input and its output, before batch norm.
    var convolutions: [String: (x: Tensor64, z: Tensor64)] = [:]
    /// By level 1…4: the encoder's output, which is pooled and skipped.
    var skips: [Int: Tensor64] = [:]
    /// By path: the input of each transposed convolution and of `final`.
    var inputs: [String: Tensor64] = [:]
    var nearestJump = Double.infinity

    mutating func near(reluOf y: Tensor64) {
      var least = Double.infinity
      for v in y.values { least = min(least, abs(v)) }
      nearestJump = min(nearestJump, least / Self.size(y))
    }

    mutating func near(poolOf x: Tensor64) {
      let (h, w) = (x.shape[2], x.shape[3])
      var least = Double.infinity
      for plane in 0..<x.shape[0] * x.shape[1] {
        for i in 0..<h / 2 {
          for j in 0..<w / 2 {
            let at = (plane * h + 2 * i) * w + 2 * j
            let window = [x.values[at], x.values[at + 1], x.values[at + w], x.values[at + w + 1]].sorted()
            if window[3] > 0 { least = min(least, window[3] - window[2]) }
          }
        }
      }
      nearestJump = min(nearestJump, least / Self.size(x))
    }

    private static func size(_ x: Tensor64) -> Double {
      (x.values.reduce(0) { $0 + $1 * $1 } / Double(x.count)).squareRoot()
    }
  }

  private func parameter(_ name: String) -> Tensor64 {
    guard let value = parameters[name] else { preconditionFailure("the network has no \(name)") }
    return value
  }

  private func forward(_ x: Tensor64, _ tape: inout Tape) -> Tensor64 {
    var a = x
    for level in 1...4 {
      let skip = doubleConv(a, "enc\(level)", &tape)
      tape.skips[level] = skip
      if tape.mode == .training { tape.near(poolOf: skip) }
      a = stored(Reference.maxPool2x2(skip))
    }
    let parts = Self.branches(bottleneck, 8 * base).map {
      convNormReLU(a, "bottleneck.\($0.conv)", norm: "bottleneck.\($0.norm)", dilation: $0.dilation, &tape)
    }
    switch bottleneck {
    case .split, .plain: a = Reference.concatChannels(parts)
    case .sum:
      let sum = stored(parts.dropFirst().reduce(parts[0], Reference.add))
      a = convNormReLU(sum, "bottleneck.mix", norm: "bottleneck.bn_mix", dilation: 1, &tape)
    }
    for level in [4, 3, 2, 1] {
      tape.inputs["up\(level)"] = a
      let up = stored(
        Reference.convTranspose2x2(a, weight: parameter("up\(level).weight"), bias: parameter("up\(level).bias")))
      guard let skip = tape.skips[level] else { preconditionFailure("level \(level) has no skip") }
      a = doubleConv(Reference.concatChannels([up, skip]), "dec\(level)", &tape)
    }
    tape.inputs["final"] = a
    return Reference.conv2d(a, weight: parameter("final.weight"), bias: parameter("final.bias"))
  }

  private func doubleConv(_ x: Tensor64, _ name: String, _ tape: inout Tape) -> Tensor64 {
    let name = "\(name).double_conv"
    let a = convNormReLU(x, "\(name).0", norm: "\(name).1", dilation: 1, &tape)
    return convNormReLU(a, "\(name).3", norm: "\(name).4", dilation: 1, &tape)
  }

  private func convNormReLU(
    _ x: Tensor64, _ conv: String, norm: String, dilation: Int, _ tape: inout Tape
  ) -> Tensor64 {
    let z = stored(
      Reference.conv2d(
        x, weight: parameter("\(conv).weight"), bias: parameter("\(conv).bias"), padding: padding(conv, dilation),
        dilation: dilation))
    tape.convolutions[conv] = (x, z)
    let y = normalized(z, norm, &tape)
    tape.near(reluOf: y)
    // A batch norm's result is never stored.
    return self.norm == .group ? stored(Reference.relu(y)) : Reference.relu(y)
  }

  /// What the backward pass reads again.
  private func stored(_ activation: Tensor64) -> Tensor64 {
    activationsAreHalved ? activation.roundedToHalf : activation
  }

  private func storedGradient(_ gradient: Tensor64) -> Tensor64 { gradientsAreHalved ? gradient.roundedToBF16 : gradient }

  private func normalized(_ z: Tensor64, _ norm: String, _ tape: inout Tape) -> Tensor64 {
    let (weight, bias) = (parameter("\(norm).weight"), parameter("\(norm).bias"))
    if self.norm == .group {
      return Reference.groupNorm(z, channelsPerGroup: groupSize(norm), weight: weight, bias: bias)
    }
    let mean = parameter("\(norm).running_mean")
    let variance = parameter("\(norm).running_var")
    guard tape.mode == .training, self.norm == .batch else {
      return Reference.batchNormInference(
        z, weight: weight, bias: bias, runningMean: mean, runningVariance: variance)
    }
    let (y, statistics) = Reference.batchNormTraining(z, weight: weight, bias: bias)
    let running = Reference.batchNormRunning(
      mean: mean, variance: variance, statistics: statistics)
    tape.running["\(norm).running_mean"] = running.mean
    tape.running["\(norm).running_var"] = running.variance
    return y
  }

  /// Of a convolution that keeps its input's size.
  private func padding(_ conv: String, _ dilation: Int) -> Int {
    (parameter("\(conv).weight").shape[2] - 1) / 2 * dilation
  }

  // MARK: - Backward

  private func backward(_ gradLogits: Tensor64, _ tape: Tape) -> [String: Tensor64] {
    var gradients: [String: Tensor64] = [:]
    guard let last = tape.inputs["final"] else { preconditionFailure("a tape without an end") }
    gradients["final.weight"] = Reference.conv2dGradientWeight(
      gradY: gradLogits, x: last, weightShape: parameter("final.weight").shape)
    gradients["final.bias"] = Reference.biasGradient(gradY: gradLogits)
    var g = storedGradient(
      Reference.conv2dGradientInput(gradY: gradLogits, weight: parameter("final.weight"), inputShape: last.shape))

    var gradSkips: [Int: Tensor64] = [:]
    for level in 1...4 {
      guard let skip = tape.skips[level], let below = tape.inputs["up\(level)"] else {
        preconditionFailure("a tape without level \(level)")
      }
      g = doubleConvBackward(g, "dec\(level)", tape, &gradients)
      let weight = parameter("up\(level).weight")
      let parts = Reference.splitChannels(g, into: [weight.shape[1], skip.shape[1]])
      gradSkips[level] = parts[1]
      gradients["up\(level).weight"] = Reference.convTranspose2x2GradientWeight(
        gradY: parts[0], x: below)
      gradients["up\(level).bias"] = Reference.biasGradient(gradY: parts[0])
      g = storedGradient(Reference.convTranspose2x2GradientInput(gradY: parts[0], weight: weight))
    }

    let branches = Self.branches(bottleneck, 8 * base)
    var parts: [Tensor64]
    if bottleneck == .sum {
      let mixed = storedGradient(
        convNormReLUBackward(g, "bottleneck.mix", norm: "bottleneck.bn_mix", dilation: 1, tape, &gradients))
      parts = Array(repeating: mixed, count: branches.count)
    } else {
      parts = Reference.splitChannels(g, into: branches.map(\.channels))
    }
    var sum: Tensor64?
    for (branch, part) in zip(branches, parts) {
      let gradX = convNormReLUBackward(
        part, "bottleneck.\(branch.conv)", norm: "bottleneck.\(branch.norm)", dilation: branch.dilation, tape, &gradients)
      sum = sum.map { Reference.add($0, gradX) } ?? gradX
    }

    sum = sum.map(storedGradient)
    for level in [4, 3, 2, 1] {
      guard let skip = tape.skips[level], let gradSkip = gradSkips[level], let above = sum else {
        preconditionFailure("a tape without level \(level)")
      }
      let pooled = Reference.maxPool2x2Gradient(x: skip, gradY: above)
      sum = doubleConvBackward(
        storedGradient(Reference.add(pooled, gradSkip)), "enc\(level)", tape, &gradients)
    }
    return gradients
  }

  private func doubleConvBackward(
    _ gradA: Tensor64, _ name: String, _ tape: Tape, _ gradients: inout [String: Tensor64]
  ) -> Tensor64 {
    let name = "\(name).double_conv"
    let g = storedGradient(convNormReLUBackward(gradA, "\(name).3", norm: "\(name).4", dilation: 1, tape, &gradients))
    return storedGradient(convNormReLUBackward(g, "\(name).0", norm: "\(name).1", dilation: 1, tape, &gradients))
  }

  private func convNormReLUBackward(
    _ gradA: Tensor64, _ conv: String, norm: String, dilation: Int, _ tape: Tape,
    _ gradients: inout [String: Tensor64]
  ) -> Tensor64 {
    guard let (x, z) = tape.convolutions[conv] else { preconditionFailure("no tape of \(conv)") }
    let (exact, gradWeight, gradBias) = normReLUGradients(z, norm, gradA)
    let gradZ = self.norm == .batch ? exact : storedGradient(exact)
    gradients["\(norm).weight"] = gradWeight
    gradients["\(norm).bias"] = gradBias
    let weight = parameter("\(conv).weight")
    let padding = padding(conv, dilation)
    gradients["\(conv).weight"] = Reference.conv2dGradientWeight(
      gradY: gradZ, x: x, weightShape: weight.shape, padding: padding, dilation: dilation)
    gradients["\(conv).bias"] =
      self.norm == .batch ? Tensor64(zeros: [weight.shape[0]]) : Reference.biasGradient(gradY: gradZ)
    return Reference.conv2dGradientInput(
      gradY: gradZ, weight: weight, inputShape: x.shape, padding: padding, dilation: dilation)
  }

  private func normReLUGradients(
    _ z: Tensor64, _ name: String, _ gradA: Tensor64
  ) -> (gradZ: Tensor64, gradWeight: Tensor64, gradBias: Tensor64) {
    let (weight, bias) = (parameter("\(name).weight"), parameter("\(name).bias"))
    switch norm {
    case .batch: return Reference.batchNormReLUGradients(z: z, weight: weight, bias: bias, gradA: gradA)
    case .group:
      let y = Reference.groupNorm(z, channelsPerGroup: groupSize(name), weight: weight, bias: bias)
      let (gradZ, gradWeight, gradBias) = Reference.groupNormGradients(
        x: z, channelsPerGroup: groupSize(name), weight: weight, gradY: Reference.reluGradient(x: y, gradY: gradA))
      return (gradZ, gradWeight, gradBias)
    case .batchFrozen:
      let (mean, variance) = (parameter("\(name).running_mean"), parameter("\(name).running_var"))
      let y = Reference.batchNormInference(z, weight: weight, bias: bias, runningMean: mean, runningVariance: variance)
      let (gradZ, gradWeight, gradBias) = Reference.frozenBatchNormGradients(
        x: z, weight: weight, runningMean: mean, runningVariance: variance,
        gradY: Reference.reluGradient(x: y, gradY: gradA))
      return (gradZ, gradWeight, gradBias)
    }
  }
}
