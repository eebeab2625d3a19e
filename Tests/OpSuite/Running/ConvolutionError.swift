public import Engine

/// What a device's convolutions are off by, to stand beside how long they take: a 3×3 convolution of 64 to 64 channels on two
/// planes of 24×40, against double precision, as ‖got − want‖₂ / ‖want‖₂.
public struct ConvolutionError: Sendable, CustomStringConvertible {
  public let forward: Double
  public let inputGradient: Double
  public let weightGradient: Double
  private let arithmetic: Precision

  public var worst: Double { max(forward, inputGradient, weightGradient) }

  /// - Throws: the device's error.
  public init(on backend: any Backend) throws(EngineError) {
    let definition = ConvolutionCase(n: 2, channels: [64], h: 24, w: 40, branches: [(64, 1)])
    let inputs = definition.inputs(seed: 1)
    let want = definition.reference(byName(inputs), 0)
    guard let got = try CaseRunner.outputs(of: definition, inputs, on: backend).values.first else {
      throw .request("a convolution gave nothing")
    }
    func error(_ name: String) -> Double {
      guard let got = got[name], let want = want[name] else { return .infinity }
      return TensorResult.distance(got, want)
    }
    (forward, inputGradient, weightGradient) = (error("y"), error("grad_x"), error("grad_weight"))
    arithmetic = backend.traits.arithmetic
  }

  public var description: String {
    "\(arithmetic.rawValue): a convolution is off by \(short(forward)), its gradients by \(short(inputGradient)) (input) and "
      + "\(short(weightGradient)) (weights) of their size"
  }

  /// Two digits, as in 1.9e-04.
  private func short(_ value: Double) -> String {
    guard value > 0, value.isFinite else { return "\(value)" }
    var (mantissa, exponent) = (value, 0)
    while mantissa < 1 { (mantissa, exponent) = (mantissa * 10, exponent - 1) }
    while mantissa >= 10 { (mantissa, exponent) = (mantissa / 10, exponent + 1) }
    return "\((mantissa * 10).rounded() / 10)e\(exponent)"
  }
}
