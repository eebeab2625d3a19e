import Testing

@testable import Engine

/// Batches that are sent to a device while it runs the step before: the same results, and memory that the plan knows of.
@Suite(.serialized) struct WriteAheadTests {
  private static let side = 32
  private typealias Batch = (images: [Float], target: [Float], count: Int)

  private func device() throws -> OpenCLDevice {
    try #require(OpenCLDevice.all().first, "no OpenCL device was found")
  }

  private func batch(_ seed: Int, _ count: Int) -> Batch {
    let pixels = Self.side * Self.side
    return (
      (0..<3 * count * pixels).map { Float(($0 * 13 + seed * 71) % 97) / 97 },
      (0..<count * pixels).map { ($0 / 5 + seed) % 3 == 0 ? 1 : 0 }, count
    )
  }

  /// Losses of some steps and the parameters after them.
  private func train(
    _ batches: [Batch], micro: Int? = nil, on backend: any Backend, next: (Int) -> Batch?
  ) throws -> (losses: [Double], parameters: [Float], asked: Int) {
    let session = try TrainingSession(
      VariableUNet(base: 4), batch: 4, microBatch: micro, height: Self.side, width: Self.side, on: backend)
    var losses: [Double] = []
    var asked = 0
    for (index, batch) in batches.enumerated() {
      let step = try withoutActuallyEscaping(next) { next in
        try session.step(
          images: batch.images, target: batch.target, count: batch.count, learningRate: 1e-3,
          next: {
            asked += 1
            return next(index)
          })
      }
      losses.append(step.loss)
    }
    return (losses, try session.state.read(.parameters), asked)
  }

  /// Smaller batches between full ones, parts of batches, batches that are announced and do not come.
  @Test(arguments: [nil, 1, 3]) func resultsAreThoseOfBatchesThatWaited(_ micro: Int?) throws {
    let batches = [batch(1, 4), batch(2, 4), batch(3, 2), batch(4, 4), batch(5, 1), batch(6, 4)]
    let backend = try OpenCLBackend(device(), as: .gpu)
    let plain = try train(batches, micro: micro, on: backend) { _ in nil }
    let ahead = try train(batches, micro: micro, on: backend) { $0 + 1 < batches.count ? batches[$0 + 1] : nil }
    #expect(ahead.asked == batches.count)
    #expect(plain.losses == ahead.losses && plain.parameters == ahead.parameters)
    let wrong = try train(batches, micro: micro, on: backend) { batches[($0 + 3) % batches.count] }
    #expect(plain.losses == wrong.losses && plain.parameters == wrong.parameters)
    // Equal numbers elsewhere in memory are sent again.
    let copies = try train(batches, micro: micro, on: backend) { index in
      index + 1 < batches.count ? self.batch(index + 2, batches[index + 1].count) : nil
    }
    #expect(plain.losses == copies.losses && plain.parameters == copies.parameters)
  }

  /// Nothing is gained where the device's memory is the host's: nobody is asked for a batch.
  @Test func aCPUIsNotSentAnything() throws {
    for backend in [CPUBackend(), try OpenCLBackend(device())] as [any Backend] where backend.traits.deviceClass == .cpu {
      #expect(try train([batch(1, 4), batch(2, 4)], on: backend) { _ in self.batch(3, 4) }.asked == 0)
    }
  }

  @Test func thePlanCountsTheSecondBuffers() throws {
    let backend = try OpenCLBackend(device(), as: .gpu)
    let graph = try TrainingGraph(VariableUNet(base: 4), batch: 2, height: Self.side, width: Self.side)
    let plan = try Plan(graph.graph, layout: graph.layout, for: backend.traits)
    let bytes = [graph.image, graph.target].map { graph.graph[$0].byteCount }
    #expect(plan.aheadBytes == bytes)
    #expect(plan.report.inputBytes == plan.inputBytes.reduce(0, +) + bytes.reduce(0, +))
    var traits = backend.traits
    traits.deviceClass = .cpu
    #expect(try Plan(graph.graph, layout: graph.layout, for: traits).aheadBytes.isEmpty)
    // Also once values are computed again, and halves kept.
    let tight = try TrainingShape(
      VariableUNet(base: 4), batch: 2, height: Self.side, width: Self.side, activations: .fp16
    ).plan(on: backend.traits, within: plan.report.peakBytes * 9 / 10).plan
    #expect(tight.aheadBytes == bytes)
  }

  @Test func otherInputsAreNotWrittenAhead() throws {
    let backend = try OpenCLBackend(device(), as: .gpu)
    let session = try TrainingSession(VariableUNet(base: 4), batch: 1, height: 16, width: 16, on: backend)
    let (graph, executable) = session.mainStep
    #expect(throws: EngineError.self) { try executable.writeAhead([0, 0, 0, 0], 0..<4, to: graph.controls) }
  }
}
