import OpSuite
import Testing

@testable import Engine

@Suite(.serialized) struct StorageTests {
  private let images = Tensor64(random: [2, 3, 64, 64], seed: 1, in: 0...1).floats
  private let target = Tensor64(random: [2, 1, 64, 64], seed: 2, in: 0...1).floats.map { $0 < 0.3 ? Float(1) : 0 }

  private func session(
    _ backend: any Backend, _ activations: ActivationStorage, _ gradients: GradientStorage = .fp32,
    limit: MemoryLimit = .automatic, norm: Normalization = .batch
  ) throws -> TrainingSession {
    try TrainingSession(
      VariableUNet(base: 8, norm: norm), batch: 2, height: 64, width: 64, on: backend, activations: activations,
      gradients: gradients, memoryLimit: limit, seed: 3)
  }

  private func plan(
    _ activations: ActivationStorage, _ gradients: GradientStorage, _ norm: Normalization, on device: DeviceTraits
  ) throws -> Plan {
    try TrainingShape(
      VariableUNet(base: 16, norm: norm), batch: 2, height: 256, width: 256, activations: activations, gradients: gradients
    ).plan(on: device, within: .max).plan
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
      let graph = try plan(.fp16, .fp32, norm, on: backend.traits).graph
      let halved = graph.values.filter { $0.storage == .float16 }.map(\.name)
      #expect(Set(halved) == wanted && halved.count == wanted.count, "\(backend.name)")
    }
  }

  /// Every gradient with respect to an activation, and nothing else: not the logits', no table, no parameter's; beside halved activations,
  /// too.
  @Test(arguments: [Normalization.batch, .batchFrozen, .group], ActivationStorage.allCases)
  func gradientsOfActivationsAreHalved(_ norm: Normalization, _ activations: ActivationStorage) throws {
    let convolutions = (1...4).flatMap { level in
      ["enc", "dec"].flatMap { side in [0, 3].map { "\(side)\(level).double_conv.\($0)" } }
    }
    let norms = (1...4).flatMap { level in
      ["enc", "dec"].flatMap { side in [1, 4].map { "\(side)\(level).double_conv.\($0)" } }
    }
    let group = norm == .group ? ".0" : ""
    var wanted = Set((norms + ["bottleneck.bn1+bn2+bn4"]).map { "gradient of \($0)\(group)" })
    for level in 1...4 { wanted.formUnion(["gradient of pool\(level)", "gradient of up\(level)"]) }
    // That of a batch norm's input is computed where it is read.
    if norm != .batch {
      wanted.formUnion((convolutions + ["bottleneck.dilated1+dilated2+dilated4"]).map { "gradient of \($0)" })
    }
    for backend in try Devices.all() {
      let graph = try plan(activations, .bf16, norm, on: backend.traits).graph
      let halved = graph.values.filter { $0.storage == .bfloat16 }
      let names = Set(halved.map(\.name))
      #expect(names == wanted, "\(backend.name): \(names.symmetricDifference(wanted).sorted())")
      #expect(halved.count == wanted.count)
    }
  }

  /// A sum's gradient is repeated in fp32, which keeps it: each of its parts is halved, and all else.
  @Test(arguments: [Bottleneck.sum, .plain]) func gradientsAroundOtherBottlenecksAreHalved(_ bottleneck: Bottleneck) throws {
    for backend in try Devices.all() {
      let graph = try TrainingShape(
        VariableUNet(base: 16, bottleneck: bottleneck), batch: 2, height: 64, width: 64, gradients: .bf16
      ).plan(on: backend.traits, within: .max).plan.graph
      let written = Set(graph.nodes.flatMap(\.targets))
      let full = graph.gradients.filter { gradient, value in
        graph[gradient].storage == .float32 && written.contains(gradient) && !graph.kept.contains(value)
      }
      #expect(full.count == (bottleneck == .sum ? 1 : 0), "\(full.keys.map { graph[$0].name })")
    }
  }

  /// Near those of fp32. With activations in 16 bits a ReLU near its kink changes sides, a share of 2⁻¹¹ or so of a layer's elements, and
  /// each by its whole gradient; gradients in 16 bits are off by 2⁻⁹ or so each, layer by layer. How near they are to the network with
  /// rounded values, `glomseg check` says.
  @Test(
    arguments: [Normalization.batch, .group], [(ActivationStorage.fp16, GradientStorage.fp32), (.fp32, .bf16)])
  func lossAndGradientsAreNearThoseOfFullPrecision(
    _ norm: Normalization, _ storage: (activations: ActivationStorage, gradients: GradientStorage)
  ) throws {
    for backend in try Devices.all() {
      let exact = try session(backend, .fp32, norm: norm)
      let halved = try session(backend, storage.activations, storage.gradients, norm: norm)
      let a = try exact.step(images: images, target: target, count: 2, learningRate: 0)
      let b = try halved.step(images: images, target: target, count: 2, learningRate: 0)
      #expect(abs(a.loss - b.loss) <= 1e-3 * abs(a.loss))
      #expect((a.loss != b.loss) == (storage.activations == .fp16), "activations in 16 bits, and they alone, change the loss")
      let (g, h) = (try exact.state.read(.gradients), try halved.state.read(.gradients))
      #expect(g != h, "nothing was kept in 16 bits")
      var (difference, size) = (0.0, 0.0)
      for (a, b) in zip(g, h) {
        difference += Double(a - b) * Double(a - b)
        size += Double(a) * Double(a)
      }
      let error = (difference / size).squareRoot()
      #expect(error <= (storage.activations == .fp16 ? 5e-2 : 5e-3), "\(backend.name): \(error)")
    }
  }

  /// What diverged must not look like a number again.
  @Test(arguments: [Storage.float16, .bfloat16]) func whatIsNoNumberStaysNone(_ storage: Storage) throws {
    // Of the second kind of no number, the upper half alone is infinity, and its rounding -0.
    // A number nearer to 2¹²⁸ than to the largest of 16 bits is beyond bf16, by IEEE 754's rule; fp16 is to keep to its largest.
    let none = [Float.nan, Float(bitPattern: 0x7f80_0001), Float(bitPattern: 0x7fff_ffff)]
    let values: [Float] =
      none + [.infinity, -.infinity, 65504, 65520, -1e30, 6e-8, 0, .greatestFiniteMagnitude]
      + (0..<24).map { none[$0 % none.count] }
    let wanted: [Float] =
      storage == .float16
      ? [.infinity, -.infinity, 65504, 65504, -65504, 0x1p-24, 0, 65504]
      : [.infinity, -.infinity, 65536, 65536, -0x1.94p99, 0x1.02p-24, 0, .infinity]
    for backend in try Devices.all() {
      var graph = Graph()
      let x = graph.source("x", Shape(1, 1, 1, values.count), .input)
      let half = try graph.apply(Materialize(), [x])[0]
      graph.store(half, as: storage)
      let y = try graph.apply(Materialize(), [half])[0]
      graph.keep(y)
      let layout = StateLayout()
      let plan = try Plan(graph.copyingInto16Bits(for: backend.traits), layout: layout, for: backend.traits)
      let executable = try backend.load(plan, state: backend.makeState(layout, slabs: plan.usesSlabs))
      try executable.write(values, to: x)
      try executable.runAll()
      try executable.finish()
      let got = try executable.read(y)
      #expect(got[..<3].allSatisfy(\.isNaN) && got[11...].allSatisfy(\.isNaN), "\(backend.name)")
      #expect(Array(got[3...10]) == wanted, "\(backend.name)")
    }
  }

  @Test func theArenaShrinks() throws {
    for device in try Devices.all().map(\.traits) {
      let full = try plan(.fp32, .fp32, .batch, on: device).report.arenaBytes
      let activations = try plan(.fp16, .fp32, .batch, on: device).report.arenaBytes
      let both = try plan(.fp16, .bf16, .batch, on: device).report.arenaBytes
      #expect(activations * 10 < full * 7)
      // The CPU path's copies take half of it back.
      #expect(both * 100 < activations * (device.kind == .cpuPath ? 92 : 82))
    }
  }

  /// Halving and recomputation go together: what is computed again is what it was.
  @Test(arguments: GradientStorage.allCases) func halvedStepsFitALimitWithTheSameResults(_ gradients: GradientStorage) throws {
    for backend in try Devices.all() {
      let free = try session(backend, .fp16, gradients)
      let report = free.plan.report
      let tight = try session(backend, .fp16, gradients, limit: .bytes(report.peakBytes - report.arenaBytes / 10))
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
