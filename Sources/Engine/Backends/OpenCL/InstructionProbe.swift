internal import CLBridge

/// What came of an instruction that no kernel relies on.
public struct InstructionFinding: Sendable, Equatable {
  public enum Outcome: Sendable, Equatable {
    /// It does what it should.
    case right
    /// It was built and run, and its results are not those that they should be.
    case wrong
    /// Not built, or not run: why.
    case refused(String)
  }
  public let name: String
  public let outcome: Outcome
}

/// Asks NVIDIA's compiler for instructions that faster kernels could use: instructions.clh, and a text in PTX of its own.
///
/// Each has a context of its own, which what it does wrong may take with it.
enum InstructionProbe {
  struct Instruction: Sendable {
    let name: String
    /// INSTRUCTION in instructions.clh; nil: the text in PTX.
    let number: Int?
    var localBytes = 1024
    /// What becomes of 128 numbers.
    let expected: @Sendable ([UInt32]) -> [UInt32]
  }

  static let all = [
    Instruction(name: "shfl.sync", number: 1) { x in x.indices.map { x[$0 ^ 1] } },
    Instruction(name: "red.global.add.f32", number: 2) { x in
      x.indices.map { $0 < 4 ? Float(x[32 * $0..<32 * $0 + 32].reduce(0, +)).bitPattern : 0 }
    },
    Instruction(name: "cp.async.bulk, mbarrier", number: 3) { $0.reversed() },
    Instruction(name: "64 KiB of local memory", number: 4, localBytes: 64 << 10) { $0.reversed() },
    Instruction(name: "setmaxnreg", number: 5) { $0 },
    Instruction(name: "a module in PTX for sm_90a", number: nil) { $0 },
  ]

  /// Nothing where the device's compiler is not NVIDIA's: another may give up on the whole process where it meets its instructions.
  ///
  /// - Parameter each: told each finding at once.
  static func ask(_ device: OpenCLDevice, each: (InstructionFinding) throws -> Void) rethrows {
    guard device.deviceClass == .nvidia else { return }
    for instruction in all { try each(InstructionFinding(name: instruction.name, outcome: outcome(of: instruction, on: device))) }
  }

  /// Of one instruction, or of what stands for it in another compiler's program.
  ///
  /// - Parameter edit: changes the text, for tests.
  static func outcome(
    of instruction: Instruction, on device: OpenCLDevice, edit: (String) -> String = { $0 }
  ) -> InstructionFinding.Outcome {
    let x = (0..<128).map { UInt32($0 * 37 % 101) }
    do throws(EngineError) {
      let got = try run(instruction, x, device, edit)
      return got == instruction.expected(x) ? .right : .wrong
    } catch {
      if case .build(_, _, _, let log) = error { return .refused(MatrixProbe.brief(log)) }
      return .refused("\(error)")
    }
  }

  private static func run(
    _ instruction: Instruction, _ x: [UInt32], _ device: OpenCLDevice, _ edit: (String) -> String
  ) throws(EngineError) -> [UInt32] {
    let call = OpenCLCall(device: device.name, faults: nil)
    let context = try OpenCLContext(device: device.raw, call)
    let queue = try OpenCLQueue(context, device: device.raw, profiling: false, call)
    let text = { (file: String) in ProgramCache.source(file) ?? "" }
    let program: OpenCLProgram
    if let number = instruction.number {
      program = try OpenCLProgram(
        context,
        sources: [
          "#define INSTRUCTION \(number)\n", text("prelude.clh"), edit(text("instructions.clh")),
          """
          __attribute__((reqd_work_group_size(128, 1, 1)))
          __kernel void probe(__global uint *y, const __global uint *x, __local uint4 *memory) {
            instruction(y, x, (__local uint *)memory);
          }

          """,
        ], call)
    } else {
      // Drivers read a text to its terminating zero.
      program = try OpenCLProgram(context, device: device.raw, binary: Array(text("module_sm_90a.ptx").utf8) + [0], call)
    }
    try program.build(for: device.raw, ProgramCache.options, file: "instructions.clh", call)
    let kernel = try OpenCLKernel(program, function: "probe", call)
    let (y, from) = (
      try OpenCLBuffer(context, byteCount: 512, call), try OpenCLBuffer(context, byteCount: 512, call)
    )
    for (buffer, numbers) in [(y, [UInt32](repeating: 0, count: 128)), (from, x)] {
      try call.run("clEnqueueWriteBuffer") {
        clEnqueueWriteBuffer(queue.raw, buffer.raw, cl_bool(CL_TRUE), 0, 512, numbers, 0, nil, nil)
      }
    }
    for (index, buffer) in [y, from].enumerated() {
      var raw: cl_mem? = buffer.raw
      try call.run("clSetKernelArg") { clSetKernelArg(kernel.raw, cl_uint(index), MemoryLayout<cl_mem?>.size, &raw) }
    }
    try call.run("clSetKernelArg") { clSetKernelArg(kernel.raw, 2, instruction.localBytes, nil) }
    var (global, local) = (128, 128)
    try call.run("clEnqueueNDRangeKernel") {
      clEnqueueNDRangeKernel(queue.raw, kernel.raw, 1, nil, &global, &local, 0, nil, nil)
    }
    var got = [UInt32](repeating: 0, count: 128)
    try call.run("clEnqueueReadBuffer") {
      clEnqueueReadBuffer(queue.raw, y.raw, cl_bool(CL_TRUE), 0, 512, &got, 0, nil, nil)
    }
    return got
  }
}
