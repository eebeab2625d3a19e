internal import CLBridge

/// What a device's compiler made of a kernel: as far as the driver says.
public struct CompiledKernel: Sendable {
  public let file: String
  public let function: String
  /// "NAME=VALUE", in order.
  public let macros: [String]
  /// Seconds that its program took to build.
  public let buildSeconds: Double
  /// Bytes that a work-item keeps outside registers (CL_KERNEL_PRIVATE_MEM_SIZE), which on a GPU is what its registers do not hold.
  public let privateBytes: Int
  /// Of a group, declared in the kernel; and as an argument of the launch.
  public let localBytes: Int
  public let argumentLocalBytes: Int
  /// Items of a group at most.
  public let largestGroup: Int
  /// From the build log of NVIDIA's assembler, or Intel's query; nil where nobody says.
  public let registers: Int?
  public let spilledBytes: Int?
  /// Whether that log says that products of four warps wait for each other.
  public let isSerialized: Bool
}

/// What there is to know of a device's compiler.
public struct CompilerReport: Sendable {
  /// The lines of a small program's binary that say for what it was made, where that is a text, as NVIDIA's: ".version", ".target".
  public let target: [String]
  /// The build log of that program.
  public let log: String
}

extension OpenCLBackend {
  /// Asks the compiler what it compiles for.
  public func compilerReport() throws(EngineError) -> CompilerReport {
    let text = "__kernel void twice(__global float *y) { y[get_global_id(0)] *= 2.0f; }\n"
    let program = try OpenCLProgram(context, sources: [text], call)
    try program.build(for: device.raw, verboseOptions, file: "a small program", call)
    let binary = try program.binary(call)
    // A text has no zeros but at its end.
    let lines = binary.prefix(4096).split(separator: UInt8(ascii: "\n")).map { String(decoding: $0, as: UTF8.self) }
    let isText = !binary.isEmpty && !binary.dropLast().prefix(4096).contains(0)
    let telling =
      isText ? lines.filter { $0.hasPrefix(".version") || $0.hasPrefix(".target") || $0.hasPrefix(".address_size") } : []
    return CompilerReport(target: telling, log: program.log(for: device.raw).trimmed)
  }

  /// What NVIDIA's compiler makes of instructions that no kernel relies on. To be asked last: a driver that has never seen one may end
  /// the process over it.
  ///
  /// - Parameter each: told each finding at once.
  public func findInstructions(each: (InstructionFinding) throws -> Void) rethrows {
    try InstructionProbe.ask(device, each: each)
  }

  /// Compiles what a launch is of, anew, and says what became of it.
  package func compile(_ launch: Launch) throws(EngineError) -> CompiledKernel {
    let start = monotonicSeconds()
    let program = try programs.fresh(launch, options: verboseOptions)
    let seconds = monotonicSeconds() - start
    let kernel = try OpenCLKernel(program, function: launch.function, call)
    func number<T: FixedWidthInteger>(_ what: Int32, _ type: T.Type) -> Int? {
      var value = T.zero
      let status = clGetKernelWorkGroupInfo(
        kernel.raw, device.raw, cl_kernel_work_group_info(what), MemoryLayout<T>.size, &value, nil)
      return status == CL_SUCCESS ? Int(clamping: value) : nil
    }
    let log = program.log(for: device.raw)
    let said = AssemblerLog(log, function: launch.function)
    // CL_KERNEL_SPILL_MEM_SIZE_INTEL of cl_intel_required_subgroup_size.
    let spilled = device.extensions.contains("cl_intel_required_subgroup_size") ? number(0x4109, cl_ulong.self) : nil
    return CompiledKernel(
      file: launch.file, function: launch.function, macros: launch.defines.map { "\($0.name)=\($0.value)" },
      buildSeconds: seconds,
      privateBytes: number(CL_KERNEL_PRIVATE_MEM_SIZE, cl_ulong.self) ?? 0,
      localBytes: number(CL_KERNEL_LOCAL_MEM_SIZE, cl_ulong.self) ?? 0,
      argumentLocalBytes: launch.localBytes,
      largestGroup: number(CL_KERNEL_WORK_GROUP_SIZE, Int.self) ?? 0, registers: said.registers,
      spilledBytes: said.spilledBytes ?? spilled, isSerialized: log.contains("serialized"))
  }

  /// With what NVIDIA's assembler says in the log.
  private var verboseOptions: String { device.extensions.contains("cl_nv_compiler_options") ? "-cl-nv-verbose" : "" }
}

/// What NVIDIA's assembler says of a kernel: "Used 40 registers", "8 bytes spill stores".
struct AssemblerLog {
  private(set) var registers: Int?
  private(set) var spilledBytes: Int?

  init(_ log: String, function: String) {
    var isOfFunction = false
    for line in log.split(whereSeparator: \.isNewline) {
      if line.contains("Compiling entry function") || line.contains("Function properties for") {
        isOfFunction = line.contains("'\(function)'") || line.split(separator: " ").last.map(String.init) == function
      }
      guard isOfFunction else { continue }
      registers = Self.number(in: line, before: " registers") ?? registers
      spilledBytes = Self.number(in: line, before: " bytes spill stores") ?? spilledBytes
    }
  }

  private static func number(in line: Substring, before words: String) -> Int? {
    guard let end = line.firstRange(of: words)?.lowerBound else { return nil }
    return Int(line[..<end].reversed().prefix { $0.isNumber }.reversed().map(String.init).joined())
  }
}

extension String {
  fileprivate var trimmed: String {
    String(drop { $0.isWhitespace }.reversed().drop { $0.isWhitespace }.reversed())
  }
}
