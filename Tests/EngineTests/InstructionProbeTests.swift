import Testing

@testable import Engine

/// What asks for instructions that no kernel relies on, with what stands for them in OpenCL C.
@Suite(.serialized) struct InstructionProbeTests {
  private func device() throws -> OpenCLDevice { try #require(OpenCLDevice.all().first, "no OpenCL device was found") }

  @Test func anotherCompilerIsNotAsked() throws {
    var found: [InstructionFinding] = []
    InstructionProbe.ask(try device()) { found.append($0) }
    try OpenCLBackend(device()).findInstructions { found.append($0) }
    #expect(found.isEmpty)
  }

  @Test func rightResultsAreRight() throws {
    let numbered = InstructionProbe.all.filter { $0.number != nil }
    #expect(numbered.count == 5 && Set(InstructionProbe.all.map(\.name)).count == 6)
    for instruction in numbered {
      #expect(InstructionProbe.outcome(of: instruction, on: try device()) == .right, "\(instruction.name)")
    }
  }

  @Test(arguments: [
    (1, "y[i] = x[i ^ 1];", "y[i] = x[i];"), (2, "k < 32", "k < 31"), (3, "y[i] = memory[127 - i];", "y[i] = memory[i];"),
    (4, "memory[16383 - (127 - i)]", "memory[16383 - i]"), (5, "  y[i] = x[i];\n#endif\n}", "#endif\n}"),
  ])
  func wrongResultsAreWrong(_ number: Int, _ find: String, _ replace: String) throws {
    let instruction = try #require(InstructionProbe.all.first { $0.number == number })
    try #require(ProgramCache.source("instructions.clh")?.contains(find) == true)
    #expect(InstructionProbe.outcome(of: instruction, on: try device()) { $0.replacing(find, with: replace) } == .wrong)
  }

  @Test func whatDoesNotBuildIsRefused() throws {
    let outcome = InstructionProbe.outcome(of: InstructionProbe.all[0], on: try device()) {
      $0 + "\n#error no such instruction\n"
    }
    guard case .refused(let reason) = outcome else {
      Issue.record("\(outcome)")
      return
    }
    #expect(reason.contains("no such instruction"))
    // A text in PTX is no program of PoCL's.
    let module = try #require(InstructionProbe.all.first { $0.number == nil })
    guard case .refused = InstructionProbe.outcome(of: module, on: try device()) else {
      Issue.record("a text in PTX was taken")
      return
    }
  }

  /// As ptxas 13 writes it.
  @Test func anAssemblersLogIsRead() {
    let log = """
      ptxas info    : 0 bytes gmem
      ptxas info    : Compiling entry function 'first' for 'sm_90a'
      ptxas info    : Function properties for first
          16 bytes stack frame, 12 bytes spill stores, 20 bytes spill loads
      ptxas info    : Used 255 registers, used 1 barriers
      ptxas info    : Compiling entry function 'second' for 'sm_90a'
      ptxas info    : Function properties for second
          0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
      ptxas info    : Used 40 registers, used 0 barriers, 1024 bytes smem
      """
    func read(_ function: String) -> [Int?] {
      let said = AssemblerLog(log, function: function)
      return [said.registers, said.spilledBytes]
    }
    #expect(read("first") == [255, 12])
    #expect(read("second") == [40, 0])
    #expect(read("third") == [nil, nil])
  }
}
