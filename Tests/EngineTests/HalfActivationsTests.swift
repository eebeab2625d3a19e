import OpSuite
import Testing

@testable import Engine

@Suite(.serialized) struct HalfActivationsTests {
  private let images = Tensor64(random: [2, 3, 64, 64], seed: 1, in: 0...1).floats
  private let target = Tensor64(random: [2, 1, 64, 64], seed: 2, in: 0...1).floats.map { $0 < 0.3 ? Float(1) : 0 }

  private func session(
    _ backend: any Backend, _ activations: ActivationStorage, limit: MemoryLimit = .automatic, norm: Normalization = .batch
  ) throws -> TrainingSession {
    try TrainingSession(
      VariableUNet(base: 8, norm: norm), batch: 2, height: 64, width: 64, on: backend, activations: activations,
      memoryLimit: limit, seed: 3)
  }

  /// The forward pass is the same to the bit; gradients are near those of fp32, tensor by tensor.
  @Test(arguments: [Normalization.batch, .group]) func theLossIsTheSameAndGradientsAreNear(_ norm: Normalization) throws {
    for backend in try Devices.all() {
      let (exact, halved) = (try session(backend, .fp32, norm: norm), try session(backend, .fp16, norm: norm))
      let a = try exact.step(images: images, target: target, count: 2, learningRate: 0)
      let b = try halved.step(images: images, target: target, count: 2, learningRate: 0)
      #expect(a.loss == b.loss && a.bce == b.bce && a.dice == b.dice)
      #expect(a.gradientNorm != b.gradientNorm, "nothing was kept in 16 bits")
      let (g, h) = (try exact.state.read(.gradients), try halved.state.read(.gradients))
      for entry in exact.layout.entries where entry.slab == .parameters {
        var (difference, size) = (0.0, 0.0)
        for index in entry.offset..<entry.offset + entry.count {
          difference += Double(g[index] - h[index]) * Double(g[index] - h[index])
          size += Double(g[index]) * Double(g[index])
        }
        // ReLUs are taken anew from rounded values: elements within rounding of a kink change sides, a share of 2⁻¹¹ or so of
        // them a layer, and each by its whole gradient.
        #expect(difference.squareRoot() <= 5e-2 * size.squareRoot() + 1e-9, "\(backend.name): \(entry.name)")
      }
    }
  }

  @Test func theArenaShrinks() throws {
    let device = CPUBackend(threads: 2).traits
    func bytes(_ activations: ActivationStorage) throws -> Int {
      try TrainingShape(VariableUNet(base: 16), batch: 2, height: 256, width: 256, activations: activations)
        .plan(on: device, within: .max).plan.report.arenaBytes
    }
    #expect(try bytes(.fp16) * 10 < bytes(.fp32) * 8)
  }

  /// Halving and recomputation go together: what is computed again is what it was.
  @Test func halvedActivationsFitALimitWithTheSameResults() throws {
    for backend in try Devices.all() {
      let free = try session(backend, .fp16)
      let report = free.plan.report
      let tight = try session(backend, .fp16, limit: .bytes(report.peakBytes - report.arenaBytes / 10))
      #expect(tight.plan.report.flopsRecomputed > 0)
      for _ in 0..<3 {
        let a = try free.step(images: images, target: target, count: 2, learningRate: 1e-3)
        let b = try tight.step(images: images, target: target, count: 2, learningRate: 1e-3)
        #expect(a.loss == b.loss)
      }
      #expect(try free.state.read(.parameters) == tight.state.read(.parameters))
    }
  }
}
