import Engine

/// Two 3×3 convolutions in a row, x (1,1,H,W) → z (1,C,H,W) → y (1,1,H,W), where z and its gradient have more elements
/// than a 32-bit index can count: what only 64-bit arithmetic of addresses gets right, written and read, forward and back.
///
/// Nobody could hold the reference's z in Double, and nobody has to. With S_t x the plane moved by tap t, zero beyond its
/// edges, z_c = Σ_t w1[c,t] S_t x, and so
///
///     y          = Σ_{u,t} (Σ_c w2[c,u] w1[c,t]) S_u S_t x
///     M[u,t]     = ⟨grad_y, S_u S_t x⟩
///     dw2[c,u]   = Σ_t w1[c,t] M[u,t]
///     dw1[c,t]   = Σ_u w2[c,u] M[u,t]
struct LongIndexCase: CaseDefinition {
  static let operation = "convolution"

  /// Which of the two has weights in training: the first needs z's gradient, the second z itself. Both would need both at
  /// a time.
  enum Trained: String, Sendable, CaseIterable {
    case first = "weight1"
    case second = "weight2"
  }

  var channels = 33
  var h = 8192
  var w = 8192
  var trained = Trained.first

  var label: String { "chain_c\(channels)_h\(h)_w\(w)_trains-\(trained.rawValue)" }
  var fillsMemory: Bool { channels * h * w > 1 << 28 }

  func inputs(seed: UInt64) -> [CaseInput] {
    let reach = (3 / Double(channels * 9)).squareRoot()
    return [
      CaseInput("x", Tensor64(random: [1, 1, h, w], seed: seed)),
      CaseInput(
        "weight1", Tensor64(random: [channels, 1, 3, 3], seed: seed &+ 1), .slab(.parameters),
        needsGradient: trained == .first),
      CaseInput(
        "weight2", Tensor64(random: [1, channels, 3, 3], seed: seed &+ 2, in: -reach...reach), .slab(.parameters),
        needsGradient: trained == .second),
      CaseInput("grad_y", Tensor64(random: [1, 1, h, w], seed: seed &+ 3)),
    ]
  }

  func build(_ b: inout CaseBuilder) throws(EngineError) {
    func convolution(_ channels: Int) -> Convolution {
      Convolution(ConvolutionShape(channels: channels, kernel: 3), sources: 1, hasBias: false)
    }
    let z = try b.graph.apply(convolution(channels), [b.source("x"), b.source("weight1")])[0]
    let y = try b.graph.apply(convolution(1), [z, b.source("weight2")])[0]
    try b.output("y", y)
    try b.differentiate([(y, "grad_y")])
  }

  func forward(_ inputs: [String: Tensor64]) -> [String: Tensor64] { ["y": shifted(inputs).y] }

  func reference(_ inputs: [String: Tensor64], _ step: Int) -> [String: Tensor64] {
    let (y, moments) = shifted(inputs)
    let (w1, w2) = (inputs["weight1"]!.values, inputs["weight2"]!.values)
    var gradient = [Double](repeating: 0, count: channels * 9)
    for c in 0..<channels {
      for u in 0..<9 {
        for t in 0..<9 {
          switch trained {
          case .first: gradient[c * 9 + t] += w2[c * 9 + u] * moments[u * 9 + t]
          case .second: gradient[c * 9 + u] += w1[c * 9 + t] * moments[u * 9 + t]
          }
        }
      }
    }
    return ["y": y, "grad_" + trained.rawValue: Tensor64(inputs[trained.rawValue]!.shape, gradient)]
  }

  /// y and M, as above.
  private func shifted(_ inputs: [String: Tensor64]) -> (y: Tensor64, moments: [Double]) {
    let (w1, w2) = (inputs["weight1"]!.values, inputs["weight2"]!.values)
    var weights = [Double](repeating: 0, count: 81)
    for c in 0..<channels {
      for u in 0..<9 {
        for t in 0..<9 { weights[u * 9 + t] += w2[c * 9 + u] * w1[c * 9 + t] }
      }
    }
    var y = Tensor64(zeros: [1, 1, h, w])
    var moments = [Double](repeating: 0, count: 81)
    inputs["x"]!.values.withUnsafeBufferPointer { x in
      inputs["grad_y"]!.values.withUnsafeBufferPointer { dy in
        y.values.withUnsafeMutableBufferPointer { y in
          for i in 0..<h {
            for u in 0..<9 {
              let (ui, uj) = (u / 3 - 1, u % 3 - 1)
              guard 0..<h ~= i + ui else { continue }
              for t in 0..<9 {
                let (ti, tj) = (t / 3 - 1, t % 3 - 1)
                guard 0..<h ~= i + ui + ti else { continue }
                // Columns at which both moves stay inside.
                let first = max(0, -uj, -uj - tj)
                let last = min(w, w - uj, w - uj - tj)
                let from = (i + ui + ti) * w + uj + tj
                let weight = weights[u * 9 + t]
                var sum = 0.0
                for j in first..<max(first, last) {
                  y[i * w + j] += weight * x[from + j]
                  sum += dy[i * w + j] * x[from + j]
                }
                moments[u * 9 + t] += sum
              }
            }
          }
        }
      }
    }
    return (y, moments)
  }

  func accuracy(_ result: String, _ inputs: [String: Tensor64]) -> Accuracy {
    let (w1, w2) = (inputs["weight1"]!.rootMeanSquare, inputs["weight2"]!.rootMeanSquare)
    if result == "y" { return Accuracy(reduction: 9 + 9 * channels, products: 2) }
    let terms = Double(h * w)
    // Of weight2: products of grad_y and z; of weight1: of x and z's gradient.
    let factors = trained == .second ? inputs["x"]!.rootMeanSquare * w1 * 3 : inputs["grad_y"]!.rootMeanSquare * w2 * 3
    let other = trained == .second ? inputs["grad_y"]!.rootMeanSquare : inputs["x"]!.rootMeanSquare
    return Accuracy(reduction: 9 + h * w, magnitude: factors * other * terms.squareRoot(), products: 2)
  }
}
