import Engine
import Testing

/// What cannot fit is refused before the system hands out pages that it does not have.
@Suite struct MemoryLimitTests {
  @Test func aStepThatCannotFitIsRefusedWithBothNumbers() throws {
    let backend = CPUBackend(threads: 1)
    #expect {
      _ = try TrainingSession(VariableUNet(base: 64), batch: 64, height: 4096, width: 4096, on: backend)
    } throws: { error in
      guard case EngineError.memory(let needed, let available, let purpose) = error else { return false }
      return needed > available && available == backend.traits.memoryBytes && purpose.contains("64 x 4096 x 4096")
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
