import VectorMath

/// loss = w·BCE + (1 − w)·(1 − Dice) of logits against a target in [0, 1].
///
/// BCE is the mean over all pixels of the binary cross-entropy of σ(logit), in its stable form, the positive term times
/// `positiveWeight`. Dice = (2·Σpt + s) / (Σp + Σt + s) over the whole batch at once. The smooth term s protects masks that
/// are empty and predicted empty; against sums in the millions 1e-6 vanishes in fp32. 1 − Dice is computed as Σ(p(1 − t) + (1 − p)t) over
/// the same denominator: a nearly perfect prediction's would be lost in the difference.
///
/// - Inputs: logits, target, both (N, 1, H, W). Results: loss (4): loss, BCE, Dice, 0; coefficients (4) for the gradient.
/// - Gradient: of the loss with respect to the logits. A loss is where differentiation starts: its own gradient is 1.
public struct BCEDiceLoss: Operation {
  public static let name = "bce_dice_loss"
  public let bceWeight: Float
  public let positiveWeight: Float
  public let smooth: Float

  public init(bceWeight: Float = 0.8, positiveWeight: Float = 25, smooth: Float = 1e-6) {
    self.bceWeight = bceWeight
    self.positiveWeight = positiveWeight
    self.smooth = smooth
  }

  /// Pixels per partial sum.
  static let run = 4096

  public func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] {
    guard inputs[0] == inputs[1] else {
      throw .shape(operation: Self.name, problem: "logits \(inputs[0]) and target \(inputs[1]) differ")
    }
    return [.vector(4), .vector(4)]
  }

  public func differentiate(_ node: Node, _ tape: inout Differentiation) throws(EngineError) {
    guard let target = try tape.target(for: node.inputs[0]) else { return }
    guard !target.accumulates else { throw .unsupported(operation: Self.name, problem: "logits with another consumer") }
    tape.apply(
      BCEDiceGradient(bceWeight: bceWeight, positiveWeight: positiveWeight), node.inputs + [node.results[1]], into: target)
  }

  public func cost(_ io: NodeIO) -> Cost { Cost(flops: 12 * io.inputs[0].count, bytes: io.byteCount) }

  public func scratchBytes(_ io: NodeIO, _ device: DeviceTraits) -> [Int] {
    device.kind == .openCL ? [runs(io) * 16] : [device.computeUnits * 32]
  }

  private func runs(_ io: NodeIO) -> Int { (io.inputs[0].count + Self.run - 1) / Self.run }

  public func runOnCPU(_ context: CPUContext) {
    let count = context.inputs[0].shape.count
    let (logits, target) = (context.inputs[0].data, context.inputs[1].data)
    context.scratch[0].withMemoryRebound(to: Double.self, capacity: 4 * context.threads) { sums in
      parallelFor(context.threads) { part in
        let range = share(count, part, of: context.threads)
        sums.advanced(by: 4 * part).update(repeating: 0, count: 4)
        vm_bce_dice_sums(
          logits + range.lowerBound, target + range.lowerBound, Int64(range.count), positiveWeight, sums + 4 * part)
      }
      var total = (bce: 0.0, overlap: 0.0, missed: 0.0, area: 0.0)
      for part in 0..<context.threads {
        total.bce += sums[4 * part]
        total.overlap += sums[4 * part + 1]
        total.missed += sums[4 * part + 2]
        total.area += sums[4 * part + 3]
      }
      let bce = total.bce / Double(count)
      let over = 2 * total.overlap + Double(smooth)
      let under = total.area + Double(smooth)
      let dice = over / under
      let (result, coefficients) = (context.targets[0], context.targets[1])
      result[0] = Float(Double(bceWeight) * bce + (1 - Double(bceWeight)) * total.missed / under)
      result[1] = Float(bce)
      result[2] = Float(dice)
      result[3] = 0
      coefficients[0] = Float((1 - Double(bceWeight)) * -2 / under)
      coefficients[1] = Float((1 - Double(bceWeight)) * over / (under * under))
      coefficients[2] = 0
      coefficients[3] = 0
    }
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    let count = io.inputs[0].count
    return [
      Launch(
        "bce_dice.cl", "bce_dice_partial",
        arguments: [
          ("partial", .scratch(0)), ("logits", .input(0)), ("target", .input(1)), ("count", .int(count)),
          ("run_length", .int(Self.run)), ("pos_weight", .float(positiveWeight)),
        ], runs: [runs(io)], on: device),
      Launch(
        "bce_dice.cl", "bce_dice_total",
        arguments: [
          ("loss", .target(0)), ("coefficients", .target(1)), ("partial", .scratch(0)), ("runs", .int(runs(io))),
          ("count", .int(count)), ("bce_weight", .float(bceWeight)), ("smooth", .float(smooth)),
        ], runs: [1], on: device),
    ]
  }
}

/// The gradient of `BCEDiceLoss` with respect to the logits. Inputs: logits, target, coefficients. Target: d(logits).
public struct BCEDiceGradient: Operation {
  public static let name = "bce_dice_gradient"
  let bceWeight: Float
  let positiveWeight: Float

  public func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] { [inputs[0]] }

  public func cost(_ io: NodeIO) -> Cost { Cost(flops: 10 * io.inputs[0].count, bytes: io.byteCount) }

  public func runOnCPU(_ context: CPUContext) {
    let count = context.inputs[0].shape.count
    let coefficients = context.inputs[2].data
    parallelFor(context.threads) { part in
      let range = share(count, part, of: context.threads)
      vm_bce_dice_gradient(
        context.targets[0] + range.lowerBound, context.inputs[0].data + range.lowerBound,
        context.inputs[1].data + range.lowerBound, Int64(range.count), positiveWeight, bceWeight / Float(count),
        coefficients[0], coefficients[1])
    }
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    let count = io.inputs[0].count
    let run = BCEDiceLoss.run
    return [
      Launch(
        "bce_dice.cl", "bce_dice_backward",
        arguments: [
          ("d", .target(0)), ("logits", .input(0)), ("target", .input(1)), ("coefficients", .input(2)),
          ("count", .int(count)), ("run_length", .int(run)), ("pos_weight", .float(positiveWeight)),
          ("bce_scale", .float(bceWeight / Float(count))),
        ], runs: [(count + run - 1) / run], on: device)
    ]
  }
}
