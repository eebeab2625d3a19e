import Engine

/// What benchmarks hold everything else against: a copy, and multiply-adds by themselves.
struct RoofCase: CaseDefinition {
  static let operation = "roof"

  var count = 100
  /// Of multiply-adds; nil is the copy.
  var rounds: Int?

  var label: String { (rounds.map { "arithmetic\($0)" } ?? "copy") + "_count\(count)" }

  func inputs(seed: UInt64) -> [CaseInput] { [CaseInput("x", Tensor64(random: [count], seed: seed))] }

  func build(_ b: inout CaseBuilder) throws(EngineError) {
    let x = try b.source("x")
    let y =
      if let rounds { try b.graph.apply(RoofArithmetic(rounds: rounds), [x])[0] } else { try b.graph.apply(RoofCopy(), [x])[0] }
    try b.output("y", y)
  }

  func forward(_ inputs: [String: Tensor64]) -> [String: Tensor64] {
    let x = inputs["x"]!
    // The constants as fp32 holds them.
    let (factor, addend) = (Double(Float(0.999)), Double(Float(0.001)))
    let y = x.values.map { value in (0..<(rounds ?? 0)).reduce(value) { v, _ in v * factor + addend } }
    return ["y": Tensor64(x.shape, y)]
  }

  func reference(_ inputs: [String: Tensor64], _ step: Int) -> [String: Tensor64] { forward(inputs) }
  /// Each round rounds the value once (twice without a fused multiply-add); errors of earlier rounds shrink.
  func accuracy(_ result: String, _ inputs: [String: Tensor64]) -> Accuracy { Accuracy(reduction: 2 * (rounds ?? 0)) }
}
