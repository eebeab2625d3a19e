import Engine

/// What benchmarks hold everything else against: a copy, and multiply-adds by themselves.
struct RoofCase: CaseDefinition {
  static let operation = "roof"

  var count = 100
  /// Of multiply-adds; nil is the copy.
  var rounds: Int?
  /// Each adds one to a whole number: a device that ends a loop early, as some do, counts too few.
  var counts = false

  var label: String { (rounds.map { "arithmetic\($0)" } ?? "copy") + "_count\(count)" + (counts ? "_turns" : "") }

  func inputs(seed: UInt64) -> [CaseInput] {
    let x = Tensor64(random: [count], seed: seed)
    return [CaseInput("x", counts ? Tensor64(x.shape, x.values.map { (100 * $0).rounded() }) : x)]
  }

  func build(_ b: inout CaseBuilder) throws(EngineError) {
    let x = try b.source("x")
    let y =
      if let rounds {
        try b.graph.apply(counts ? RoofArithmetic(rounds: rounds, factor: 1, addend: 1) : RoofArithmetic(rounds: rounds), [x])[0]
      } else {
        try b.graph.apply(RoofCopy(), [x])[0]
      }
    try b.output("y", y)
  }

  func forward(_ inputs: [String: Tensor64]) -> [String: Tensor64] {
    let x = inputs["x"]!
    if counts { return ["y": Tensor64(x.shape, x.values.map { $0 + Double(rounds ?? 0) })] }
    // The constants as fp32 holds them.
    let (factor, addend) = (Double(Float(0.999)), Double(Float(0.001)))
    let y = x.values.map { value in (0..<(rounds ?? 0)).reduce(value) { v, _ in v * factor + addend } }
    return ["y": Tensor64(x.shape, y)]
  }

  func reference(_ inputs: [String: Tensor64], _ step: Int) -> [String: Tensor64] { forward(inputs) }
  /// Each round rounds the value once (twice without a fused multiply-add); errors of earlier rounds shrink.
  func accuracy(_ result: String, _ inputs: [String: Tensor64]) -> Accuracy {
    Accuracy(reduction: counts ? 0 : 2 * (rounds ?? 0))
  }
}
