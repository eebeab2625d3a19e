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

  private func plan(_ activations: ActivationStorage, _ norm: Normalization, on device: DeviceTraits) throws -> Plan {
    try TrainingShape(VariableUNet(base: 16, norm: norm), batch: 2, height: 256, width: 256, activations: activations)
      .plan(on: device, within: .max).plan
  }

  /// Every activation that the backward pass reads, and nothing else: no logits, no gradient, no table.
  @Test(arguments: [Normalization.batch, .batchFrozen, .group])
  func activationsThatWaitAreHalved(_ norm: Normalization) throws {
    var wanted: Set<String> = ["bottleneck.dilated1+dilated2+dilated4"]
    for level in 1...4 {
      wanted.formUnion(["pool\(level)", "up\(level)"])
      for side in ["enc", "dec"] { wanted.formUnion(["\(side)\(level).double_conv.0", "\(side)\(level).double_conv.3"]) }
    }
    let norms =
      ["bottleneck.bn1+bn2+bn4"]
      + (1...4).flatMap { level in
        ["enc", "dec"].flatMap { ["\($0)\(level).double_conv.1", "\($0)\(level).double_conv.4"] }
      }
    // A group norm's result is stored as well.
    if norm == .group { wanted.formUnion(norms.map { $0 + ".0" }) }
    for backend in try Devices.all() {
      let graph = try plan(.fp16, norm, on: backend.traits).graph
      let halved = graph.values.filter { $0.storage == .float16 }.map(\.name)
      #expect(Set(halved) == wanted && halved.count == wanted.count, "\(backend.name)")
    }
  }

  /// Near those of fp32: a ReLU near its kink changes sides, a share of 2⁻¹¹ or so of a layer's elements, and each by its whole gradient.
  /// How near they are to the network with rounded activations, `glomseg check` says.
  @Test(arguments: [Normalization.batch, .group]) func lossAndGradientsAreNearThoseOfFullPrecision(_ norm: Normalization) throws {
    for backend in try Devices.all() {
      let (exact, halved) = (try session(backend, .fp32, norm: norm), try session(backend, .fp16, norm: norm))
      let a = try exact.step(images: images, target: target, count: 2, learningRate: 0)
      let b = try halved.step(images: images, target: target, count: 2, learningRate: 0)
      #expect(abs(a.loss - b.loss) <= 1e-3 * abs(a.loss))
      #expect(a.loss != b.loss, "nothing was kept in 16 bits")
      let (g, h) = (try exact.state.read(.gradients), try halved.state.read(.gradients))
      var (difference, size) = (0.0, 0.0)
      for (a, b) in zip(g, h) {
        difference += Double(a - b) * Double(a - b)
        size += Double(a) * Double(a)
      }
      #expect(difference.squareRoot() <= 5e-2 * size.squareRoot(), "\(backend.name)")
    }
  }

  /// What diverged must not look like a number again.
  @Test func whatIsNoNumberStaysNone() throws {
    let values: [Float] = [.nan, .infinity, -.infinity, 65504, 65520, -1e30, 6e-8, 0] + [Float](repeating: .nan, count: 24)
    for backend in try Devices.all() {
      var graph = Graph()
      let x = graph.source("x", Shape(1, 1, 1, values.count), .input)
      let half = try graph.apply(Materialize(), [x])[0]
      graph.halve(half)
      let y = try graph.apply(Materialize(), [half])[0]
      graph.keep(y)
      let layout = StateLayout()
      let plan = try Plan(graph.copyingIntoHalves(for: backend.traits), layout: layout, for: backend.traits)
      let executable = try backend.load(plan, state: backend.makeState(layout, slabs: plan.usesSlabs))
      try executable.write(values, to: x)
      try executable.runAll()
      try executable.finish()
      let got = try executable.read(y)
      #expect(got[0].isNaN && got[8...].allSatisfy(\.isNaN))
      #expect(Array(got[1...7]) == [.infinity, -.infinity, 65504, 65504, -65504, 0x1p-24, 0], "\(backend.name)")
    }
  }

  @Test func theArenaShrinks() throws {
    for device in try Devices.all().map(\.traits) {
      let bytes = try [ActivationStorage.fp16, .fp32].map { try plan($0, .batch, on: device).report.arenaBytes }
      #expect(bytes[0] * 10 < bytes[1] * 7)
    }
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
