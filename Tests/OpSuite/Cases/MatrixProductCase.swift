import Engine

/// A product of fragments.
struct MatrixProductCase: CaseDefinition {
  static let operation = "matrix_product"

  var k = 16

  var label: String { "k\(k)" }

  func inputs(seed: UInt64) -> [CaseInput] {
    [
      CaseInput("a", Tensor64(random: [1, 1, 16, k], seed: seed)),
      CaseInput("b", Tensor64(random: [1, 1, k, 16], seed: seed &+ 1)),
    ]
  }

  func build(_ b: inout CaseBuilder) throws(EngineError) {
    try b.output("y", try b.graph.apply(MatrixProduct(), [b.source("a"), b.source("b")])[0])
  }

  func forward(_ inputs: [String: Tensor64]) -> [String: Tensor64] {
    let (a, b) = (inputs["a"]!.values, inputs["b"]!.values)
    var y = Tensor64(zeros: [1, 1, 16, 16])
    for row in 0..<16 {
      for column in 0..<16 {
        y.values[row * 16 + column] = (0..<k).reduce(0) { $0 + a[row * k + $1] * b[$1 * 16 + column] }
      }
    }
    return ["y": y]
  }

  func reference(_ inputs: [String: Tensor64], _ step: Int) -> [String: Tensor64] { forward(inputs) }

  func accuracy(_ result: String, _ inputs: [String: Tensor64]) -> Accuracy {
    Accuracy(
      reduction: k, magnitude: Double(k).squareRoot() * inputs["a"]!.rootMeanSquare * inputs["b"]!.rootMeanSquare, products: 1)
  }
}
