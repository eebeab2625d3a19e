/// The reference's own gradients against central differences of the reference's outputs.
///
/// Both sides are Double, so nothing is learnt about a backend: it shows that what backends are compared with is
/// right for this very case, its views, branches and consumers included.
public enum GradientCheck {
  /// The largest relative error ‖analytic − difference‖₂ / ‖difference‖₂ allowed.
  static let tolerance = 1e-6

  /// Compares each gradient of `opCase`; a case without gradients has none to compare.
  public static func run(_ opCase: OpCase) -> [TensorComparison] {
    let inputs = opCase.definition.inputs(seed: opCase.seed)
    let tensors = byName(inputs)
    let analytic = opCase.definition.reference(tensors, 0)
    return inputs.filter { $0.needsGradient }.compactMap { input in
      guard let gradient = analytic["grad_\(input.name)"] else { return nil }
      // A step far below the distance of any element from a kink.
      let differences = Reference.centralDifference(at: input.value, step: 1e-6) { probe in
        var moved = tensors
        moved[input.name] = probe
        return opCase.definition.forward(moved).reduce(0) { $0 + Reference.dot($1.value, tensors["grad_\($1.key)"]!) }
      }
      return TensorComparison(name: "grad_\(input.name)", got: gradient, want: differences, tolerance: tolerance)
    }
  }

  /// Whether central differences mean anything for a case, in reasonable time: gradients exist, few elements, no ties.
  public static func applies(to opCase: OpCase) -> Bool {
    // Zeros are where ReLU has no derivative; they belong to its cases.
    if opCase.definition is ReLUCase { return false }
    // The whole case's reference, at inputs that may be ties.
    if opCase.isHalved { return false }
    if let pool = opCase.definition as? MaxPoolCase, pool.ties || pool.view != .plain { return false }
    return opCase.elementCount <= 2000 && opCase.definition.inputs(seed: opCase.seed).contains { $0.needsGradient }
  }
}

extension OpCase {
  /// Elements of all inputs.
  var elementCount: Int { definition.inputs(seed: seed).reduce(0) { $0 + $1.value.count } }
}
