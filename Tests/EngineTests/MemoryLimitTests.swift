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
}
