import ArgumentParser
import Engine
import Foundation

/// `glomseg bench compiler`.
struct BenchCompilerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compiler", abstract: "Say what a device's compiler makes of a step's kernels.",
    discussion: """
      What it compiles for; each kernel of a training step in each precision, compiled anew: registers and bytes spilled where the \
      driver says, private and local memory; then on NVIDIA's GPUs, whether instructions that faster kernels could use are taken \
      and right. Without a size: 2048 x 2048, base 64, batch 1. Example: glomseg bench compiler --device opencl
      """)

  @OptionGroup var size: BenchSize
  @Option(help: "auto, gpu, opencl, opencl:P:D, or part of a device's name.") var device = "auto"
  @Option(help: "Seconds after which no further kernel is compiled.") var seconds = 120.0
  @Option(help: "Write JSON to a file, or to standard output with '-'.") var json: String?

  func run() throws {
    try failing {
      // NVIDIA's driver says nothing of what it had compiled before. Read when its first program is built.
      setenv("CUDA_CACHE_DISABLE", "1", 1)
      let output = try JSONOutput(path: json)
      guard let backend = try chooseBackend(device) as? OpenCLBackend else {
        throw EngineError.request("the CPU path compiles no kernels: name an OpenCL device with --device")
      }
      let start = monotonicSeconds()
      var lines = [try describe(backend.compilerReport(), backend, output)]
      try output.writeGrown(lines)
      let size = size.asked ?? BenchSize.standard[1]
      let graph = try TrainingGraph(
        VariableUNet(base: size.base), batch: size.batch, height: size.patch, width: size.patch
      ).graph
      output.say(
        "\n\(size.description)\nkernel, precision, macros: registers, bytes spilled; private, local bytes; items of a group at most"
      )
      var known: Set<String> = []
      var left = 0
      for precision in Precision.allCases {
        var traits = backend.traits
        traits.precision = precision
        guard traits.arithmetic == precision else { continue }
        for (_, launch) in KernelList.launches([graph], on: traits) {
          // Another size of local memory is the same kernel.
          guard known.insert("\(launch.file) \(launch.function) \(launch.defines)").inserted else { continue }
          guard monotonicSeconds() - start < seconds else {
            left += 1
            continue
          }
          let kernel = try backend.compile(launch)
          output.say(Self.describe(kernel, precision))
          lines.append(BenchCompiler(kernel, precision, backend))
          try output.writeGrown(lines)
        }
      }
      if left > 0 { output.say("the time was up before \(left) kernels had their turn; --seconds gives more") }
      // Each by itself and at once: the next one may take the process with it.
      try backend.findInstructions { finding in
        output.say("  \(finding.name): \(finding.outcome.words)")
        lines.append(BenchCompiler([finding], backend))
        try output.writeGrown(lines)
      }
    }
  }

  private func describe(_ report: CompilerReport, _ backend: OpenCLBackend, _ output: JSONOutput) throws -> BenchCompiler {
    output.say("\(backend.name): \(backend.device.platformName), \(backend.device.driverVersion)")
    for line in report.target { output.say("  \(line)") }
    if !report.log.isEmpty { output.say("  log of a small program: \(report.log)") }
    for note in backend.device.findMatrixUnits().notes { output.say("  \(note)") }
    return BenchCompiler(report, backend)
  }

  private static func describe(_ kernel: CompiledKernel, _ precision: Precision) -> String {
    let said = kernel.registers.map { "\($0) registers" } ?? "registers not said"
    let spilled = kernel.spilledBytes.map { ", \($0) bytes spilled" } ?? ""
    let waits = kernel.isSerialized ? ", products wait for each other" : ""
    return "\(kernel.function)  \(precision.rawValue)  \(kernel.macros.joined(separator: " ")): \(said)\(spilled)\(waits); "
      + "\(kernel.privateBytes), \(kernel.localBytes + kernel.argumentLocalBytes); \(kernel.largestGroup)"
  }
}

extension InstructionFinding.Outcome {
  var words: String {
    switch self {
    case .right: "right"
    case .wrong: "builds, and its results are wrong"
    case .refused(let reason): "refused, \(reason)"
    }
  }
}

/// A line of JSON: of the compiler, or of a kernel.
struct BenchCompiler: Encodable {
  let benchmark: String
  let device: String
  let driver: String
  var target: [String]?
  var log: String?
  var instructions: [String: String]?
  var file: String?
  var function: String?
  var macros: [String]?
  var precision: String?
  var seconds_build: Double?
  var registers: Int?
  var spilled_bytes: Int?
  var is_serialized: Bool?
  var private_bytes: Int?
  var local_bytes: Int?
  var largest_group: Int?

  private init(_ benchmark: String, _ backend: OpenCLBackend) {
    let named = BenchDevice(backend)
    (self.benchmark, device, driver) = (benchmark, named.device, named.driver)
  }

  init(_ report: CompilerReport, _ backend: OpenCLBackend) {
    self.init("compiler", backend)
    (target, log) = (report.target, report.log)
  }

  init(_ instructions: [InstructionFinding], _ backend: OpenCLBackend) {
    self.init("instructions", backend)
    self.instructions = Dictionary(instructions.map { ($0.name, $0.outcome.words) }) { first, _ in first }
  }

  init(_ kernel: CompiledKernel, _ precision: Precision, _ backend: OpenCLBackend) {
    self.init("kernel", backend)
    (file, function, macros) = (kernel.file, kernel.function, kernel.macros)
    (self.precision, seconds_build) = (precision.rawValue, kernel.buildSeconds)
    (registers, spilled_bytes, is_serialized) = (kernel.registers, kernel.spilledBytes, kernel.isSerialized)
    (private_bytes, local_bytes) = (kernel.privateBytes, kernel.localBytes + kernel.argumentLocalBytes)
    largest_group = kernel.largestGroup
  }
}
