import Engine

/// Another case with its activations, its gradients or both in 16 bits: inputs that those hold exactly, so that the reference is the
/// same, and results that are rounded to them.
struct Halved<Whole: CaseDefinition>: StoredInHalf {
  static var operation: String { Whole.operation }
  let whole: Whole
  let kinds: HalvedKinds
  /// The inputs that are activations, and the gradients from above.
  private static var activations: Set<String> { ["x", "x1"] }
  private static var gradients: Set<String> { ["grad_y", "grad_y2"] }

  init(_ whole: Whole, _ kinds: HalvedKinds) {
    self.whole = whole
    self.kinds = kinds
  }

  var label: String {
    whole.label + (kinds == .gradients ? "" : "_fp16") + (kinds == .activations ? "" : "_gradients-bf16")
  }

  func inputs(seed: UInt64) -> [CaseInput] {
    whole.inputs(seed: seed).map { input in
      let value: Tensor64
      switch storage(of: input.name) {
      case .float32: return input
      case .float16: value = input.value.roundedToHalf
      case .bfloat16: value = input.value.roundedToBF16
      }
      return CaseInput(input.name, value, input.home, needsGradient: input.needsGradient)
    }
  }

  private func storage(of input: String) -> Storage {
    if kinds != .gradients, Self.activations.contains(input) { return .float16 }
    return kinds != .activations && Self.gradients.contains(input) ? .bfloat16 : .float32
  }

  func build(_ builder: inout CaseBuilder) throws(EngineError) {
    builder.storage = Dictionary(
      uniqueKeysWithValues: Self.activations.union(Self.gradients).map { ($0, storage(of: $0)) })
    builder.resultStorage = kinds == .gradients ? .float32 : .float16
    builder.gradientStorage = kinds == .activations ? .fp32 : .bf16
    try whole.build(&builder)
  }

  func forward(_ inputs: [String: Tensor64]) -> [String: Tensor64] { whole.forward(inputs) }
  func reference(_ inputs: [String: Tensor64], _ step: Int) -> [String: Tensor64] { whole.reference(inputs, step) }

  func accuracy(_ result: String, _ inputs: [String: Tensor64]) -> Accuracy {
    whole.accuracy(result, inputs)
  }
}

/// What of a case is in 16 bits.
enum HalvedKinds: Sendable { case activations, gradients, both }

/// A case whose reference is another's.
protocol StoredInHalf: CaseDefinition {}

extension Tensor64 {
  /// The nearest values that IEEE half precision holds, finite ones.
  var roundedToHalf: Tensor64 { Tensor64(shape, values.map { Double(Float16(max(-65504, min(65504, Float($0))))) }) }

  /// The nearest values that bfloat16 holds, of those that fp32 does: by arithmetic, not by the bits that kernels round by.
  var roundedToBF16: Tensor64 {
    Tensor64(
      shape,
      values.map { value in
        let x = Double(Float(value))
        guard x.isFinite, x != 0 else { return x }
        // The last place of eight digits; fp32's smallest exponent where x is subnormal.
        let place = Double(sign: .plus, exponent: max(x.exponent, -126) - 7, significand: 1)
        return (x / place).rounded(.toNearestOrEven) * place
      })
  }
}
