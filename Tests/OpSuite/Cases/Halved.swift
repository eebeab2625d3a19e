import Engine

/// Another case with its activations in 16 bits: inputs that those hold exactly, so that the reference is the same, and results
/// that are rounded to them.
struct Halved<Whole: CaseDefinition>: StoredInHalf {
  static var operation: String { Whole.operation }
  let whole: Whole
  /// The inputs that are activations.
  private static var activations: Set<String> { ["x", "x1"] }

  init(_ whole: Whole) { self.whole = whole }

  var label: String { whole.label + "_fp16" }

  func inputs(seed: UInt64) -> [CaseInput] {
    whole.inputs(seed: seed).map { input in
      guard Self.activations.contains(input.name) else { return input }
      return CaseInput(input.name, input.value.roundedToHalf, input.home, needsGradient: input.needsGradient)
    }
  }

  func build(_ builder: inout CaseBuilder) throws(EngineError) {
    builder.halved = Self.activations
    try whole.build(&builder)
  }

  func forward(_ inputs: [String: Tensor64]) -> [String: Tensor64] { whole.forward(inputs) }
  func reference(_ inputs: [String: Tensor64], _ step: Int) -> [String: Tensor64] { whole.reference(inputs, step) }

  func accuracy(_ result: String, _ inputs: [String: Tensor64]) -> Accuracy {
    whole.accuracy(result, inputs)
  }
}

/// A case whose reference is another's.
protocol StoredInHalf: CaseDefinition {}

extension Tensor64 {
  /// The nearest values that IEEE half precision holds, finite ones.
  var roundedToHalf: Tensor64 { Tensor64(shape, values.map { Double(Float16(max(-65504, min(65504, Float($0))))) }) }
}
