import VectorMath

/// One Adam step over whole slabs; with a decay below 1, AdamW's.
///
/// m = β₁m + (1 − β₁)g, v = β₂v + (1 − β₂)g², p = p·decay − step·m / (√v·correction + eps), where the host gives
/// step = lr / (1 − β₁ᵗ) and correction = 1 / √(1 − β₂ᵗ) so that a step needs no state on the device.
///
/// - Inputs: gradients, controls (4): step, correction, gradient scale, decay. Updates: parameters, m, v.
/// - Source: Kingma & Ba 2015, algorithm 1, in PyTorch's order of operations; Loshchilov & Hutter 2019 for the decay.
public struct Adam: Operation {
  public static let name = "adam"
  public let beta1: Float
  public let beta2: Float
  public let epsilon: Float

  public init(beta1: Float = 0.9, beta2: Float = 0.999, epsilon: Float = 1e-8) {
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
  }

  /// The controls of step `number` (from 1).
  public func controls(number: Int, learningRate: Double, weightDecay: Double = 0, gradientScale: Double = 1) -> [Float] {
    func power(_ base: Float) -> Double {
      var result = 1.0
      var factor = Self.written(base)
      var left = number
      while left > 0 {
        if left & 1 == 1 { result *= factor }
        factor *= factor
        left >>= 1
      }
      return result
    }
    return [
      Float(learningRate / (1 - power(beta1))), Float(1 / (1 - power(beta2)).squareRoot()), Float(gradientScale),
      Float(1 - learningRate * weightDecay),
    ]
  }

  /// The decimal fraction that was meant: 0.999 rather than the nearest float, whose distance from 1 is off by 1e-5.
  private static func written(_ base: Float) -> Double { (Double(base) * 1e7).rounded() / 1e7 }

  /// 1 − β₁ and 1 − β₂; in fp32 the subtraction would lose five digits.
  private var rest: (first: Float, second: Float) {
    (Float(1 - Self.written(beta1)), Float(1 - Self.written(beta2)))
  }

  public func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] { [] }

  public func cost(_ io: NodeIO) -> Cost { Cost(flops: 12 * io.inputs[0].count, bytes: 7 * 4 * io.inputs[0].count) }

  public func runOnCPU(_ context: CPUContext) {
    let controls = context.inputs[1].data
    parallelFor(context.threads) { part in
      let range = share(context.inputs[0].shape.count, part, of: context.threads)
      let first = range.lowerBound
      vm_adam(
        context.targets[0] + first, context.targets[1] + first, context.targets[2] + first,
        context.inputs[0].data + first, Int64(range.count), beta1, rest.first, beta2, rest.second, epsilon,
        controls[0], controls[1], controls[2], controls[3])
    }
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    let count = io.inputs[0].count
    return [
      Launch(
        "adam.cl", "adam_step",
        arguments: [
          ("p", .target(0)), ("m", .target(1)), ("v", .target(2)), ("g", .input(0)), ("controls", .input(1)),
          ("count", .int(count)), ("beta1", .float(beta1)), ("rest1", .float(rest.first)), ("beta2", .float(beta2)),
          ("rest2", .float(rest.second)), ("epsilon", .float(epsilon)),
        ], runs: device.deviceClass.tuning.spans(count), on: device)
    ]
  }
}
