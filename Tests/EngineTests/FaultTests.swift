import Testing

@testable import Engine

/// A device that misbehaves: the n-th call of a kind returns a status, and what comes of it is an error that names the call.
@Suite(.serialized) struct FaultTests {
  private func device() throws -> OpenCLDevice {
    try #require(OpenCLDevice.all().first, "no OpenCL device was found")
  }

  private func session(_ faults: FaultPlan) throws -> TrainingSession {
    try TrainingSession(
      VariableUNet(base: 4), batch: 1, height: 16, width: 16, on: OpenCLBackend(device(), faults: faults))
  }

  private func step(_ session: TrainingSession) throws -> StepReport {
    try session.step(
      images: [Float](repeating: 0.5, count: 3 * 256), target: [Float](repeating: 1, count: 256), count: 1,
      learningRate: 1e-3)
  }

  /// Calls made before the first step: allocation, sub-buffers, programs, kernels, arguments.
  @Test(arguments: [
    ("clCreateContext", 1, Int32(-6)), ("clCreateCommandQueue", 1, -6), ("clCreateBuffer", 1, -4),
    ("clCreateBuffer", 4, -4), ("clCreateSubBuffer", 3, -13), ("clCreateProgramWithSource", 1, -6),
    ("clCreateKernel", 2, -46), ("clSetKernelArg", 5, -49), ("clEnqueueWriteBuffer", 1, -5),
  ])
  func failureAtLoadNamesTheCall(_ call: String, _ number: Int, _ code: Int32) throws {
    let faults = FaultPlan(call: call, number: number, code: code)
    #expect {
      try session(faults)
    } throws: { error in
      guard case EngineError.device(let status, let named, let device) = error else { return false }
      return named == call && status.code == code && status.name.hasPrefix("CL_") && device.hasPrefix("opencl:")
    }
    #expect(faults.happened)
  }

  @Test func buildFailureCarriesTheLog() throws {
    let backend = try OpenCLBackend(device()) { file, text in
      file == "max_pool.cl" ? text + "\nthis is no kernel\n" : text
    }
    #expect {
      try TrainingSession(VariableUNet(base: 4), batch: 1, height: 16, width: 16, on: backend)
    } throws: { error in
      guard case EngineError.build(let file, _, _, let log) = error else { return false }
      return file == "max_pool.cl" && !log.isEmpty
    }
  }

  /// Out of resources and a lost device in the middle of a step: the error names the call, the step does not count, and
  /// once the device works again the session goes on where it was.
  @Test(arguments: [
    ("clEnqueueNDRangeKernel", 7, Int32(-5)), ("clEnqueueNDRangeKernel", 60, -36), ("clEnqueueReadBuffer", 1, -5),
    ("clFlush", 1, -5),
  ])
  func failureInAStepNamesTheCallAndLosesNothing(_ call: String, _ number: Int, _ code: Int32) throws {
    let faults = FaultPlan(call: call, number: number, code: code)
    faults.isArmed = false
    let session = try session(faults)
    let before = try session.state.read(.parameters)
    faults.isArmed = true
    #expect {
      try step(session)
    } throws: { error in
      guard case EngineError.device(let status, let named, _) = error else { return false }
      return named == call && status.code == code
    }
    #expect(faults.happened)
    #expect(session.stepsTaken == 0)
    #expect(try session.state.read(.parameters) == before)
    #expect(try step(session).step == 1)
  }

  /// The same for what is sent to a GPU beside a step. What was being sent is lost, and the next step sends it itself.
  @Test(arguments: [
    ("clEnqueueWriteBuffer", 3, Int32(-5)), ("clEnqueueWriteBuffer", 4, -5), ("clEnqueueWriteBuffer", 5, -4),
    ("clEnqueueCopyBuffer", 1, -5),
    ("clEnqueueCopyBuffer", 2, -36),
  ])
  func failureWhileTheNextBatchIsSentLosesNothing(_ call: String, _ number: Int, _ code: Int32) throws {
    func train(_ faults: FaultPlan?) throws -> [Float] {
      let session = try TrainingSession(
        VariableUNet(base: 4), batch: 1, height: 16, width: 16, on: OpenCLBackend(device(), as: .gpu, faults: faults))
      var batches: [(images: [Float], target: [Float], count: Int)] = []
      for index in 0..<3 {
        let images = (0..<3 * 256).map { pixel in Float((pixel * 7 + index * 31) % 64) / 64 }
        let target = (0..<256).map { pixel in Float((pixel + index) % 2) }
        batches.append((images, target, 1))
      }
      func step(_ index: Int) throws {
        let batch = batches[index]
        _ = try session.step(
          images: batch.images, target: batch.target, count: 1, learningRate: 1e-3,
          next: { index + 1 < batches.count ? batches[index + 1] : nil })
      }
      faults?.isArmed = true
      var failures = 0
      for index in batches.indices {
        let before = try session.state.read(.parameters)
        do { try step(index) } catch {
          failures += 1
          guard case EngineError.device(let status, let named, _) = error, named == call, status.code == code else { throw error }
          #expect(session.stepsTaken == index)
          let after = try session.state.read(.parameters)
          #expect(before == after)
          try step(index)
        }
      }
      #expect(session.stepsTaken == 3 && failures == (faults == nil ? 0 : 1))
      return try session.state.read(.parameters)
    }
    let faults = FaultPlan(call: call, number: number, code: code)
    faults.isArmed = false
    let got = try train(faults)
    #expect(faults.happened)
    #expect(try got == train(nil))
  }

  @Test func failureOfTheSecondQueueNamesTheCall() throws {
    let faults = FaultPlan(call: "clCreateCommandQueue", number: 2, code: -6)
    #expect(throws: EngineError.self) {
      try TrainingSession(
        VariableUNet(base: 4), batch: 1, height: 16, width: 16, on: OpenCLBackend(device(), as: .gpu, faults: faults))
    }
    #expect(faults.happened)
  }

  /// A wrong gradient; and a loop that ends early, as Mesa's llvmpipe has them.
  @Test(arguments: [
    ("batch_norm.cl", "-scale * (sums.x / count);", "0.0f;", "a gradient differs"),
    ("roof.cl", "r < rounds", "r < min(rounds, 65535)", "a loop of 100000 turns after 65535,"),
  ])
  func aWrongResultFailsTheSelfCheck(_ file: String, _ right: String, _ wrong: String, _ words: String) throws {
    let backend = try OpenCLBackend(device()) { $0 == file ? $1.replacing(right, with: wrong) : $1 }
    #expect {
      try SelfCheck.run(backend)
    } throws: { error in
      "\(error)".contains("self-check is off") && "\(error)".contains(words)
    }
    try SelfCheck.run(OpenCLBackend(device()))
  }

  /// Where four warps multiply together, the self-check reaches that: `auto` can then do without.
  @Test func aWrongProductOfFourWarpsFailsTheSelfCheck() throws {
    let (right, wrong) = ("begin + j * stride + core * leading", "begin + j * stride + core * (leading - 16)")
    try #require(ProgramCache.source("matrix_warpgroup.clh")?.contains(right) == true)
    try SelfCheck.run(OpenCLBackend(device(), as: .warpgroupEmulated))
    let backend = try OpenCLBackend(device(), as: .warpgroupEmulated) {
      $0 == "matrix_warpgroup.clh" ? $1.replacing(right, with: wrong) : $1
    }
    #expect {
      try SelfCheck.run(backend)
    } throws: { error in
      "\(error)".contains("a gradient differs")
    }
  }
}
