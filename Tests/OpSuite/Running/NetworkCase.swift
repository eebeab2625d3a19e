public import Engine

/// Ten training steps of the whole network on one batch, against the same steps in Double: the first step's logits and
/// the gradient of every parameter, and the loss of each step.
///
/// The first step's tensors may be off by ``tensorBound`` of their largest element. Losses may be off by ``lossBound``
/// relative: Adam divides a gradient by its own size, so an element that is nearly zero in Double moves by a whole step in
/// a direction that rounding chose, and such elements make two exact programs part ways.
///
/// Where a device rounds the operands of convolutions (``Precision``), logits and losses may be off by c · u′ more, and the gradient
/// of all parameters is compared as one tensor, ‖got − want‖₂ ≤ √(c · u′) · ‖want‖₂, as gradients behind one ReLU are
/// (``ErrorBound``): what more layers add was seen to stay within that.
public struct NetworkCase: Sendable {
  public static let operation = "network"
  public static let tensorBound = 1e-4
  public static let lossBound = 1e-3
  /// With activations in 16 bits both round to the same numbers, but for the few that lie in the middle between two to
  /// within fp32's error: they count like operands that are rounded to this.
  static let halvesRoundoff = 0x1p-12
  /// The same of gradients, which nothing but gradients and the losses of later steps depend on; no ReLU changes sides for them, so with
  /// fp32 activations each parameter's is compared, ‖got − want‖₂ ≤ c · u′ · ‖want‖₂. Where gradients of a norm's input are stored, too,
  /// there were none that rounded the other way (errors of 2e-6; 5e-3 and more without rounding); behind batch norms they become more
  /// from layer to layer, as errors of 1e-7 do of numbers 2⁻⁸ apart, to 8e-3 of the smallest parameters.
  private var bf16Roundoff: Double { norm == .batch ? 0x1p-8 : 0x1p-10 }
  /// The first step has to keep this far from where gradients jump, as part of a layer's size: layers of fp32 were seen to
  /// be off by 1.3e-6.
  static let leastJump = 5e-6

  let base: Int
  let batch: Int
  let height: Int
  let width: Int
  var bottleneck = Bottleneck.split
  var norm = Normalization.batch
  public var activations = ActivationStorage.fp32
  public var gradients = GradientStorage.fp32
  var steps = 10
  /// One whose first step keeps ``leastJump``.
  var seed: UInt64 = 3

  public var name: String {
    "\(Self.operation)/base\(base)_n\(batch)_h\(height)_w\(width)"
      + (bottleneck == .split ? "" : "_\(bottleneck.rawValue)") + (norm == .batch ? "" : "_\(norm.rawValue)")
      + (activations == .fp32 ? "" : "_\(activations.rawValue)")
      + (gradients == .fp32 ? "" : "_gradients-\(gradients.rawValue)") + "_steps\(steps)_seed\(seed)"
  }

  /// The cases; base 4 gives the bottleneck branches of unequal width.
  public static let all = [
    NetworkCase(base: 4, batch: 2, height: 64, width: 48),
    NetworkCase(base: 4, batch: 2, height: 32, width: 48, bottleneck: .sum, steps: 3),
    NetworkCase(base: 4, batch: 2, height: 48, width: 32, bottleneck: .plain, norm: .batchFrozen, steps: 3),
    NetworkCase(base: 4, batch: 2, height: 32, width: 48, norm: .group, steps: 3),
    NetworkCase(base: 4, batch: 1, height: 48, width: 48, bottleneck: .sum, norm: .group, steps: 3),
    NetworkCase(base: 4, batch: 2, height: 64, width: 48, activations: .fp16),
    NetworkCase(base: 4, batch: 2, height: 32, width: 48, bottleneck: .sum, norm: .group, activations: .fp16, steps: 3),
    NetworkCase(base: 4, batch: 2, height: 32, width: 48, activations: .fp16, gradients: .bf16, steps: 3),
    NetworkCase(base: 4, batch: 2, height: 48, width: 32, bottleneck: .plain, norm: .batchFrozen, gradients: .bf16, steps: 3),
    NetworkCase(base: 4, batch: 2, height: 32, width: 48, bottleneck: .sum, norm: .group, gradients: .bf16, steps: 3),
  ]

  /// Never throws: an error is a failed result with the error's description.
  public func run(on backend: any Backend) -> CaseResult {
    var result = CaseResult(name, on: backend.name)
    let start = monotonicSeconds()
    do throws(EngineError) { try compare(on: backend, &result) } catch { result.problems.append(error.description) }
    result.elapsedSeconds = monotonicSeconds() - start
    return result
  }

  private func compare(on backend: any Backend, _ result: inout CaseResult) throws(EngineError) {
    let images = Tensor64(random: [batch, 3, height, width], seed: seed, in: 0...1).roundedToFloat
    // A disk in each image, off its centre.
    var target = Tensor64(zeros: [batch, 1, height, width])
    for index in 0..<target.count {
      let (i, j) = (Double(index / width % height) - 0.4 * Double(height), Double(index % width) - 0.6 * Double(width))
      if i * i + j * j < 0.05 * Double(height * width) { target.values[index] = 1 }
    }
    let rate = 1e-3
    let adam = Reference.AdamAttributes(learningRate: rate, beta1: 0.9, beta2: 0.999, eps: 1e-8)
    // Widened from the engine's fp32, so that both compute with the same numbers.
    let loss = BCEDiceLoss()
    let attributes = Reference.BCEDiceAttributes(
      bceWeight: Double(loss.bceWeight), posWeight: Double(loss.positiveWeight), diceSmooth: Double(loss.smooth))

    let session = try TrainingSession(
      VariableUNet(base: base, bottleneck: bottleneck, norm: norm), batch: batch, height: height, width: width, on: backend,
      activations: activations, gradients: gradients, seed: seed, loss: loss)
    var start: [String: Tensor64] = [:]
    for entry in session.layout.entries {
      start[entry.name] = Tensor64(
        entry.dimensions, try session.state.read(entry.slab, offset: entry.offset, count: entry.count))
    }
    guard let bottleneck = VariableUNetReference.BottleneckKind(rawValue: bottleneck.rawValue),
      let norm = VariableUNetReference.NormKind(rawValue: norm.rawValue)
    else { throw .request("the reference has no bottleneck \(bottleneck.rawValue) or norm \(norm.rawValue)") }
    var reference = VariableUNetReference(parameters: start, bottleneck: bottleneck, norm: norm)
    reference.activationsAreHalved = activations == .fp16
    let arithmetic = backend.traits.arithmetic
    reference.gradientsAreHalved = gradients == .bf16
    let isRounded = arithmetic != .fp32 || activations != .fp32
    let roundoff = max(arithmetic == .fp32 ? 0 : arithmetic.unitRoundoff, activations == .fp32 ? 0 : Self.halvesRoundoff)
    let rounded = ErrorBound.constant * roundoff
    let gradientsRounded = gradients == .fp32 ? 0 : ErrorBound.constant * bf16Roundoff
    for step in 1...steps {
      let want = reference.train(x: images, target: target, attributes, adam)
      let got = try session.step(
        images: images.floats, target: target.floats, count: batch, learningRate: rate)
      result.tensors.append(
        TensorResult(
          "loss at step \(step)", got: [Float(got.loss)], want: Tensor64([1], [want.loss]),
          bound: (Self.lossBound + rounded + (step == 1 ? 0 : gradientsRounded)) * abs(want.loss)))
      guard step == 1 else { continue }
      if !isRounded, want.nearestJump < Self.leastJump {
        result.problems.append("a gradient jumps within \(want.nearestJump) of this seed's values: take another")
      }
      func compare(_ name: String, _ got: [Float], _ want: Tensor64) {
        let largest = want.values.reduce(0) { max($0, abs($1)) }
        result.tensors.append(TensorResult(name, got: got, want: want, bound: (Self.tensorBound + rounded) * largest))
      }
      var (allGot, allWant): ([Float], [Double]) = ([], [])
      let (graph, executable) = session.mainStep
      compare("logits", try executable.read(graph.logits), want.logits)
      for entry in session.layout.entries where entry.slab == .parameters {
        guard let gradient = want.gradients[entry.name] else {
          result.problems.append("the reference has no gradient of \(entry.name)")
          continue
        }
        let values = try session.state.read(.gradients, offset: entry.offset, count: entry.count)
        if isRounded {
          allGot += values
          allWant += gradient.values
        } else if gradients != .fp32 {
          result.tensors.append(
            TensorResult("gradient of \(entry.name)", got: values, want: gradient, boundOfNorm: gradientsRounded))
        } else {
          compare("gradient of \(entry.name)", values, gradient)
        }
      }
      if !allGot.isEmpty {
        result.tensors.append(
          TensorResult(
            "gradient of all parameters", got: allGot, want: Tensor64([allWant.count], allWant),
            boundOfNorm: rounded.squareRoot() + gradientsRounded))
      }
    }
  }
}
