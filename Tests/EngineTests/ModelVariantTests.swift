import Foundation
import OpSuite
import Testing

@testable import Engine

/// Bottlenecks, norms, and starting from another model.
@Suite(.serialized) struct ModelVariantTests {
  private let images = Tensor64(random: [2, 3, 32, 32], seed: 1, in: 0...1).floats
  private let target = Tensor64(random: [2, 1, 32, 32], seed: 2, in: 0...1).floats.map { $0 < 0.3 ? Float(1) : 0 }
  private let path = FileManager.default.temporaryDirectory.appendingPathComponent("glomseg-\(UUID().uuidString)").path

  private func session(_ model: VariableUNet, _ backend: any Backend, seed: UInt64 = 3) throws -> TrainingSession {
    try TrainingSession(model, batch: 2, height: 32, width: 32, on: backend, seed: seed)
  }

  @Test(arguments: Bottleneck.allCases, Normalization.allCases)
  func eachLearnsSavesAndLoads(_ bottleneck: Bottleneck, _ norm: Normalization) throws {
    defer { try? FileManager.default.removeItem(atPath: path) }
    let model = VariableUNet(base: 4, bottleneck: bottleneck, norm: norm)
    for backend in try Devices.all() {
      let session = try session(model, backend)
      let losses = try (0..<8).map { _ in
        try session.step(images: images, target: target, count: 2, learningRate: 1e-2).loss
      }
      #expect(losses[7] < losses[0], "\(backend.name): \(losses)")
      try session.recalibrate { nil }
      try Checkpoint.saveModel(session.state, model: model, stepsTaken: 8, metadata: [:], to: path)
      let opened = try Checkpoint.open(path).model
      #expect(opened == model)
      let inference = try InferenceSession(opened, on: backend) { state throws(EngineError) in
        try Checkpoint.load(path, into: state)
      }
      let shape = Shape(2, 3, 32, 32)
      #expect(try inference.predict(images, shape: shape) == session.predict(images, shape: shape))
    }
  }

  /// A file that holds one is refused by name, also to start from.
  @Test func aModelFileWithANaNIsRefused() throws {
    defer { try? FileManager.default.removeItem(atPath: path) }
    let model = VariableUNet(base: 4)
    let trained = try session(model, CPUBackend())
    let entry = try #require(trained.layout.entries.last { $0.slab == .parameters })
    try trained.state.write([.nan], to: .parameters, offset: entry.offset)
    try Checkpoint.saveModel(trained.state, model: model, stepsTaken: 0, metadata: [:], to: path)
    let other = try session(model, CPUBackend(), seed: 4)
    let before = try other.state.read(.parameters)
    func isNamed(_ error: any Error) -> Bool { "\(error)".contains(path) && "\(error)".contains(entry.name) }
    #expect { try Checkpoint.load(path, into: other.state) } throws: { isNamed($0) }
    #expect(try other.state.read(.parameters) == before, "a bad file changes nothing")
    #expect { _ = try Checkpoint.transfer(path, into: other.state) } throws: { isNamed($0) }
  }

  /// A mask of what is no number would look as if nothing were found.
  @Test func aPredictionThatIsNoNumberIsRefused() throws {
    for backend in try Devices.all() {
      let model = VariableUNet(base: 4)
      var parameters = try session(model, backend).state.read(.parameters)
      let entry = try #require(
        InferenceGraph(model, batch: 1, height: 16, width: 16).layout.entries.last { $0.slab == .parameters })
      parameters[entry.offset] = .nan
      let inference = try InferenceSession(model, on: backend) { state throws(EngineError) in
        try state.write(parameters, to: .parameters)
      }
      #expect {
        _ = try inference.predict(images, shape: Shape(2, 3, 32, 32))
      } throws: { error in
        "\(error)" == "the model's prediction is not finite (first of all: \(entry.name))"
      }
    }
  }

  /// A group norm treats an image alike in training and in inference, alone and in company.
  @Test func groupNormKnowsNoBatch() throws {
    for backend in try Devices.all() {
      let session = try session(VariableUNet(base: 4, norm: .group), backend)
      let both = try session.predict(images, shape: Shape(2, 3, 32, 32))
      let alone = try session.predict(Array(images[..<(3 * 1024)]), shape: Shape(1, 3, 32, 32))
      #expect(Array(both[..<1024]) == alone)
      try session.step(images: images, target: target, count: 2, learningRate: 0)
      let (graph, executable) = session.mainStep
      #expect(try executable.read(graph.logits) == both)
    }
  }

  @Test func frozenStatisticsStay() throws {
    for backend in try Devices.all() {
      let session = try session(VariableUNet(base: 4, norm: .batchFrozen), backend)
      let before = try session.state.read(.running)
      try session.step(images: images, target: target, count: 2, learningRate: 1e-2)
      #expect(try session.state.read(.running) == before)
    }
  }

  @Test func aModelStartsFromANarrowerOrWiderOne() throws {
    defer { try? FileManager.default.removeItem(atPath: path) }
    let backend = CPUBackend(threads: 1)
    let small = try session(VariableUNet(base: 4), backend, seed: 5)
    let large = try session(VariableUNet(base: 8), backend, seed: 6)
    func tensor(_ session: TrainingSession, _ name: String) throws -> (dimensions: [Int], values: [Float]) {
      let entry = try #require(session.layout.entries.first { $0.name == name })
      return (entry.dimensions, try session.state.read(entry.slab, offset: entry.offset, count: entry.count))
    }
    let name = "dec2.double_conv.0.weight"
    let before = try tensor(large, name).values
    try Checkpoint.saveModel(small.state, model: small.model, stepsTaken: 0, metadata: [:], to: path)
    let widened = try Checkpoint.transfer(path, into: large.state)
    // The final bias alone has one size at every width.
    #expect(widened.whole == 1 && widened.left.isEmpty && widened.widened == large.layout.entries.count - 1)
    let (a, b) = (try tensor(small, name), try tensor(large, name))
    // Its input is the upsampled map's channels, then the skip connection's: 4 and 8, here 8 and 16.
    for o in 0..<b.dimensions[0] {
      for i in 0..<b.dimensions[1] {
        let column = i < 8 ? (i < 4 ? i : nil) : (i - 8 < 8 ? 4 + i - 8 : nil)
        for tap in 0..<9 {
          let at = (o * b.dimensions[1] + i) * 9 + tap
          let taken = column.flatMap { o < a.dimensions[0] ? a.values[(o * a.dimensions[1] + $0) * 9 + tap] : nil }
          #expect(b.values[at] == taken ?? before[at])
        }
      }
    }
    // That of the first upsampling is the bottleneck's branches: 10, 10 and 12 channels, here 21, 21 and 22.
    let (c, d) = (try tensor(small, "up4.weight"), try tensor(large, "up4.weight"))
    let (narrow, wide) = (c.dimensions[1] * 4, d.dimensions[1] * 4)
    for (from, to, count) in [(0, 0, 10), (10, 21, 10), (20, 42, 12)] {
      for row in 0..<count {
        #expect(
          c.values[(from + row) * narrow..<(from + row + 1) * narrow] == d.values[(to + row) * wide..<(to + row) * wide + narrow])
      }
    }
    try Checkpoint.saveModel(large.state, model: large.model, stepsTaken: 0, metadata: [:], to: path)
    let narrowed = try session(VariableUNet(base: 4), backend, seed: 7)
    _ = try Checkpoint.transfer(path, into: narrowed.state)
    #expect(try narrowed.state.read(.parameters) == small.state.read(.parameters))
    #expect(
      try Checkpoint.transfer(path, into: session(VariableUNet(base: 8, bottleneck: .plain), backend).state).left.count == 6)
  }
}
