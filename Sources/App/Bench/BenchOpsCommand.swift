import ArgumentParser
import Benchmarks
import Engine
import OpSuite

/// `glomseg bench ops`.
struct BenchOpsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ops", abstract: "Time each operation of a training step alone, beside the device's roof.",
    discussion: """
      Each distinct operation and shape once, with how often a step has it. Without a size: 256 x 256, base 16, batch 16, \
      then 2048 x 2048, base 64, batch 1. GB/s counts the bytes that the operation must move, not those that it moves; \
      'roof' is the time it would take at the device's limit, of the time it takes. \
      Example: glomseg bench ops --patch 256 --base 16 --batch 16
      """)

  @OptionGroup var size: BenchSize
  @Option(help: "auto, gpu, cpu, opencl, opencl:P:D, or part of a device's name.") var device = "auto"
  @Option(help: precisionHelp) var precision: Precision = .fp32
  @Option(help: "Only operations whose name contains this, such as convolution.") var filter: String?
  @Option(help: "Most runs of each operation, after one to warm up.") var runs = 20
  @Option(help: "Seconds after which an operation is not run again; it is run at least 3 times.") var seconds = 2.0
  @Option(help: "Write JSON to a file, or to standard output with '-'.") var json: String?

  func validate() throws {
    guard runs >= 1, seconds >= 0 else { throw ValidationError("--runs should be at least 1, and --seconds at least 0.") }
  }

  func run() throws {
    try failing {
      let output = try JSONOutput(path: json)
      let backend = try chooseBackend(device, precision: precision)
      let work = try (size.asked.map { [$0] } ?? BenchSize.standard).map { size in (size, try operations(size)) }
      let roof = try Roof(backend)
      output.say(BenchRoofCommand.describe(roof, backend))
      let error = try ConvolutionError(on: backend)
      output.say(error.description)
      var lines: [BenchOperation] = []
      for (size, operations) in work { try measure(operations, size, backend, roof, error, output, &lines) }
    }
  }

  private func operations(_ size: BenchSize.Values) throws -> [OperationBenchmark] {
    let all = try OperationBenchmark.all(patch: size.patch, base: size.base, batch: size.batch)
    let wanted = all.filter { filter.map($0.operation.contains) ?? true }
    guard !wanted.isEmpty else {
      let names = Set(all.map(\.operation)).sorted().joined(separator: ", ")
      throw EngineError.request("no operation's name contains the --filter '\(filter ?? "")'; there are: \(names)")
    }
    return wanted
  }

  private func measure(
    _ operations: [OperationBenchmark], _ size: BenchSize.Values, _ backend: any Backend, _ roof: Roof, _ error: ConvolutionError,
    _ output: JSONOutput, _ lines: inout [BenchOperation]
  ) throws {
    output.say("\n\(size.description): median, p90, a step's runs")
    let first = lines.count
    for operation in operations {
      let timing = try operation.measure(on: backend, runs: runs, seconds: seconds)
      let line = BenchOperation(operation, timing, roof, error, size, backend)
      output.say(
        """
        \(operation.operation)  \(operation.value)  \(operation.shapes)
          \(milliseconds(timing.median)) ms, \(milliseconds(timing.p90)) ms, x\(operation.occurrences)  \
        \(giga(Double(operation.cost.flops), per: timing.median)) GFLOP/s  \
        \(giga(Double(operation.cost.bytes), per: timing.median)) GB/s  \(percent(line.roof_fraction)) of the \(line.bound) roof
        """)
      lines.append(line)
      try output.writeGrown(lines)
    }
    let sum = lines[first...].reduce(0) { $0 + $1.seconds_median * Double($1.occurrences) }
    output.say("medians times runs: \(decimals(sum)) s")
  }
}

/// A line of JSON.
struct BenchOperation: Encodable {
  let benchmark = "operation"
  let device: String
  let driver: String
  let tiles: String?
  let patch: Int
  let base: Int
  let batch: Int
  let operation: String
  let value: String
  let shapes: String
  let occurrences: Int
  let runs: Int
  let seconds_median: Double
  let seconds_p90: Double
  let seconds_min: Double
  let gflops: Double
  let gbytes_per_second: Double
  let roof_gflops: Double
  let roof_gbytes_per_second: Double
  let roof_fraction: Double
  let bound: String
  let precision: String
  let arithmetic: String
  /// Of a convolution on this device: ``ConvolutionError``.
  let error: Double

  init(
    _ benchmark: OperationBenchmark, _ timing: Timing, _ roof: Roof, _ error: ConvolutionError, _ size: BenchSize.Values,
    _ backend: any Backend
  ) {
    let named = BenchDevice(backend)
    device = named.device
    driver = named.driver
    tiles = named.tiles
    patch = size.patch
    base = size.base
    batch = size.batch
    operation = benchmark.operation
    value = benchmark.value
    shapes = benchmark.shapes
    occurrences = benchmark.occurrences
    runs = timing.seconds.count
    seconds_median = timing.median
    seconds_p90 = timing.p90
    seconds_min = timing.least
    gflops = Double(benchmark.cost.flops) / timing.median / 1e9
    gbytes_per_second = Double(benchmark.cost.bytes) / timing.median / 1e9
    roof_gflops = roof.flopsPerSecond / 1e9
    roof_gbytes_per_second = roof.copyBytesPerSecond / 1e9
    let (fraction, isMemoryBound) = roof.fraction(of: benchmark.cost, seconds: timing.median)
    roof_fraction = fraction
    bound = isMemoryBound ? "memory" : "arithmetic"
    precision = backend.traits.precision.rawValue
    arithmetic = backend.traits.arithmetic.rawValue
    self.error = error.worst
  }
}
