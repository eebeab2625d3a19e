import ArgumentParser
import Benchmarks
import Engine
import Foundation
import OpSuite

/// `glomseg bench step`.
struct BenchStepCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "step", abstract: "Time whole steps, and say where the time goes.",
    discussion: """
      The breakdown is from device events: of the step whose time is the median, or where steps are short, of one of three \
      more, since events make launches slower. Gigaflops count the operations that \
      a direct convolution needs. Without a size: 256 x 256, base 16, batch 16. \
      Example: glomseg bench step --patch 256 --base 16 --batch 16 --json -
      """)

  @OptionGroup var size: BenchSize
  @Option(help: "Images on the device at one time; gradients are added up over the batch (default: all).") var microBatch: Int?
  @Option(help: "How activations are stored: fp32, or fp16 in half the memory.")
  var activations: ActivationStorage = .fp32
  @Option(help: "How gradients of activations are stored: fp32, or bf16 in half the memory.")
  var gradients: GradientStorage = .fp32
  @Flag(help: "Take the largest batch that fits with nothing computed again, instead of --batch.") var largestBatch = false
  @Option(help: "Memory that the plan may take, such as 5GiB; more work where less is kept.") var memoryLimit: MemoryLimit =
    .automatic
  @Option(help: "Steps to time, after one to warm up.") var steps = 5
  @Option(help: "Seconds after which no further step is timed; one is.") var seconds: Double?
  @Option(help: "auto, gpu, cpu, opencl, opencl:P:D, or part of a device's name.") var device = "auto"
  @Option(help: precisionHelp) var precision: Precision = .fp32
  @Flag(help: "Forward alone, with running statistics, instead of a training step.") var inference = false
  @Flag(help: "Also print the 40 longest operations one by one.") var profile = false
  @Flag(help: "Answer each line 'step' on standard input with one timed step, as JSON.") var serve = false
  @Option(help: "Write JSON to a file, or to standard output with '-'.") var json: String?

  func run() throws { try failing { try measure() } }

  func validate() throws {
    if largestBatch, inference || microBatch != nil {
      throw ValidationError("--largest-batch is of a training step whose batch is one run.")
    }
    if steps < 1 { throw ValidationError("--steps should be at least 1.") }
    if let microBatch, microBatch < 1 { throw ValidationError("--micro-batch should be at least 1.") }
  }

  private func measure() throws {
    let output = try JSONOutput(path: json)
    var size = size.asked ?? BenchSize.standard[0]
    let backend = try chooseBackend(device, precision: precision)
    if largestBatch {
      let shape = TrainingShape(
        VariableUNet(base: size.base), batch: 1, height: size.patch, width: size.patch, activations: activations,
        gradients: gradients)
      // Where not even one fits, the step says what would.
      let most = shape.largestBatch(backend.traits, within: memoryLimit.bytes(on: backend)) ?? 1
      size = BenchSize.Values(patch: size.patch, base: size.base, batch: most)
    }
    if serve { return try answer(prepare(size, backend), backend) }
    let (benchmark, result) = try time(&size, backend, output)
    let error = try ConvolutionError(on: backend)
    let line = BenchStep(benchmark, result, inference: inference, size, error, backend)
    say(line, benchmark, result.samples, error, output)
    try output.writeLines([line])
  }

  private func prepare(_ size: BenchSize.Values, _ backend: any Backend) throws(EngineError) -> StepBenchmark {
    try StepBenchmark(
      patch: size.patch, base: size.base, batch: size.batch, microBatch: microBatch, activations: activations,
      gradients: gradients, memoryLimit: memoryLimit, inference: inference, backend: backend)
  }

  /// Times steps; of the largest batch, fewer images where the device refuses what was planned to fit.
  private func time(
    _ size: inout BenchSize.Values, _ backend: any Backend, _ output: JSONOutput
  ) throws(EngineError) -> (StepBenchmark, StepBenchmark.Result) {
    while true {
      do throws(EngineError) {
        let benchmark = try prepare(size, backend)
        return (benchmark, try benchmark.run(steps: steps, seconds: seconds ?? .infinity))
      } catch {
        // A fault that passes for want of memory: nothing runs any more.
        if let opened = backend as? OpenCLBackend, !opened.responds { throw error }
        guard largestBatch, let fewer = Self.fewer(than: size.batch, after: error) else { throw error }
        output.say("a batch of \(size.batch) was planned to fit and did not (\(error)): \(fewer) instead")
        size = BenchSize.Values(patch: size.patch, base: size.base, batch: fewer)
      }
    }
  }

  /// The batch to try where a device has less memory than it says, an eighth smaller; nil after another error, or where there is none.
  static func fewer(than batch: Int, after error: EngineError) -> Int? {
    switch error {
    case .memory: break
    case .device(let status, _, _) where status.isOutOfMemory: break
    default: return nil
    }
    return batch > 1 ? batch - max(1, batch / 8) : nil
  }

  private func answer(_ benchmark: StepBenchmark, _ backend: any Backend) throws {
    let first = try benchmark.step()
    print("ready")
    flushOutput()
    while let line = readLine() {
      guard line == "step" else { continue }
      let answer = BenchAnswer(
        benchmark, seconds: try benchmark.step(), seconds_first: first, on: backend)
      try JSONOutput(path: "-").writeLines([answer])
      flushOutput()
    }
  }

  private func say(
    _ line: BenchStep, _ benchmark: StepBenchmark, _ samples: [StepBenchmark.Sample], _ error: ConvolutionError,
    _ output: JSONOutput
  ) {
    let sample = StepBenchmark.medianSample(samples)
    output.say(
      """
      \(line.work), base \(line.base), \(line.batch) x \(line.patch) x \(line.patch), on \(line.device)
      step    median \(decimals(line.seconds_median)) s, least \(decimals(line.seconds_min)) s of \(line.steps); \
      first \(decimals(line.seconds_first)) s after \(decimals(line.seconds_load)) s to load
      error   \(error)
      work    \(decimals(Double(benchmark.flops) / 1e12)) TFLOP, \(giga(line.gflops * 1e9, per: 1)) GFLOP/s
      memory  \(formatBytes(line.peak_bytes_planned)) planned, \(line.peak_bytes_measured.value.map(formatBytes) ?? "unknown") measured
      """)
    if let launches = line.launches, let seconds = line.seconds_enqueue, let each = line.microseconds_per_launch {
      output.say("host    \(launches) launches in \(milliseconds(seconds)) ms, \(String(format: "%.1f", each)) µs each")
    }
    var rows = benchmark.operations(sample).map { row("\($0.operation) (\($0.nodes))", $0, sample) }
    let sum = sample.nodes.reduce(0, +)
    rows.append(["sum of the operations", decimals(sum), share(sum, sample), "", ""])
    rows.append(["rest: transfers, host, launches", decimals(sample.rest), share(sample.rest, sample), "", ""])
    rows.append(["the step", decimals(sample.seconds), "100.0%", "", ""])
    output.say(table(["operation (nodes)", "s", "share", "GFLOP/s", "GB/s"], rows))
    guard profile else { return }
    let parts = benchmark.parts(sample).prefix(40).map { row("\($0.operation)  \($0.label)", $0, sample) }
    output.say(table(["the longest", "s", "share", "GFLOP/s", "GB/s"], parts))
  }

  private func row(_ name: String, _ part: StepBenchmark.Part, _ sample: StepBenchmark.Sample) -> [String] {
    [
      name, decimals(part.seconds), share(part.seconds, sample), giga(Double(part.cost.flops), per: part.seconds),
      giga(Double(part.cost.bytes), per: part.seconds),
    ]
  }

  private func share(_ seconds: Double, _ sample: StepBenchmark.Sample) -> String {
    String(format: "%.1f%%", 100 * seconds / sample.seconds)
  }
}
