import Testing

@testable import Engine

/// What cannot fit is refused before the system hands out pages that it does not have.
@Suite struct MemoryLimitTests {
  @Test func aPlanThatCannotFitIsRefusedWithBothNumbers() throws {
    let traits = CPUBackend(threads: 1).traits
    let graph = try TrainingGraph(VariableUNet(base: 4), batch: 1, height: 64, width: 64)
    let plan = try Plan(graph.graph, layout: graph.layout, for: traits)
    let peak = plan.report.peakBytes
    try plan.requireFit(within: peak, purpose: "a step")
    #expect {
      try plan.requireFit(within: peak - 1, purpose: "a step", wayOut: "try less")
    } throws: { error in
      guard case EngineError.memory(let needed, let available, "a step", "try less") = error else { return false }
      return needed == available + 1
    }
  }

  @Test func aStepThatCannotFitIsRefused() throws {
    #expect {
      _ = try TrainingSession(VariableUNet(base: 64), batch: 64, height: 4096, width: 4096, on: CPUBackend(threads: 1))
    } throws: { error in
      if case EngineError.memory = error { true } else { false }
    }
  }

  @Test func inferenceThatCannotFitIsRefused() throws {
    let session = try InferenceSession(VariableUNet(base: 2), on: CPUBackend(threads: 1)) { _ in }
    let shape = Shape(4096, VariableUNet.inputChannels, 8192, 8192)
    #expect {
      _ = try session.predict([], shape: shape)
    } throws: { error in
      if case EngineError.memory = error { true } else { false }
    }
  }

  private func refusal(_ body: () throws -> Void) throws -> String {
    var text = ""
    #expect { try body() } throws: { error in
      text = "\(error)"
      if case EngineError.memory = error { return true }
      return false
    }
    return text
  }

  /// Also where it is one value that exceeds the largest allocation: what would fit is said before anything is allocated.
  @Test func aValueTooLargeForOnePieceNamesBatchPatchAndBase() throws {
    let backend = try OpenCLBackend(#require(OpenCLDevice.all().first, "no OpenCL device was found"))
    // Small images: a smaller batch fits whatever memory the device has.
    let batch = backend.traits.maxAllocationBytes / (64 * 256 * 256 * 4) + 1
    let text = try refusal {
      _ = try TrainingSession(VariableUNet(base: 64), batch: batch, height: 256, width: 256, on: backend)
    }
    for part in ["a training step of", "--batch ", "--patch ", "--base "] { #expect(text.contains(part), "\(text)") }
  }

  @Test func inferenceThatDoesNotFitNamesBatchPatchAndBase() throws {
    let traits = CPUBackend(threads: 1).traits
    func plan(_ batch: Int, _ limit: Int) throws -> Int {
      try InferenceGraph.plan(
        VariableUNet(base: 8), batch: batch, height: 128, width: 128, on: traits, named: "a device", within: limit
      ).plan.report.peakBytes
    }
    let two = try plan(2, .max)
    let text = try refusal { _ = try plan(4, two) }
    for part in ["inference of 4 x 128 x 128", "on a device", "--batch 2,", "--patch ", "--base "] {
      #expect(text.contains(part), "\(text)")
    }
    let one = try plan(1, .max)
    let none = try refusal { _ = try plan(4, one - 1) }
    #expect(none.contains("a smaller batch alone would not"), "\(none)")
    // One value too large for one piece.
    var small = traits
    small.maxAllocationBytes = two / 8
    let piece = try refusal {
      _ = try InferenceGraph.plan(
        VariableUNet(base: 8), batch: 4, height: 128, width: 128, on: small, named: "a device", within: .max)
    }
    #expect(piece.contains("inference of 4") && piece.contains("would fit"), "\(piece)")
  }

  @Test func theLargestBatchFitsAndTheNextDoesNot() throws {
    let traits = CPUBackend(threads: 1).traits
    var shape = TrainingShape(VariableUNet(base: 4), batch: 1, height: 64, width: 64)
    func peak(_ batch: Int) throws -> Int {
      (shape.batch, shape.microBatch) = (batch, batch)
      return try shape.plan(on: traits, within: .max).plan.report.peakBytes
    }
    for batch in [1, 2, 5] {
      let limit = try peak(batch)
      #expect(shape.largestBatch(traits, within: limit) == batch)
      #expect(try peak(batch + 1) > limit)
    }
    #expect(try shape.largestBatch(traits, within: peak(1) - 1) == nil)
  }
}
