import Benchmarks
import Engine
import OpSuite

/// A line of JSON.
struct BenchStep: Encodable {
  let benchmark = "step"
  let device: String
  let driver: String
  let tiles: String?
  let work: String
  let patch: Int
  let base: Int
  let batch: Int
  let steps: Int
  let seconds_load: Double
  let seconds_first: Double
  let seconds_median: Double
  let seconds_min: Double
  let gflops: Double
  /// Of one run of the plan, done again to save memory; not in `gflops`.
  let flops_recomputed: Int
  let peak_bytes_planned: Int
  let peak_bytes_measured: NumberOrNull
  /// Of a step with device timing: the whole, its operations, and what no operation accounts for.
  let seconds_profiled: Double
  let seconds_operations: Double
  let seconds_rest: Double
  /// Of a step without device timing: kernels launched, and the host's seconds to hand them over; nil where none are.
  let launches: Int?
  let seconds_enqueue: Double?
  let microseconds_per_launch: Double?
  let precision: String
  let arithmetic: String
  /// How they are stored: "fp32", "fp16"; "fp32", "bf16".
  let activations: String
  let gradients: String
  /// Of a convolution on this device: ``ConvolutionError``.
  let error: Double
  let operations: [Operation]

  struct Operation: Encodable {
    let operation: String
    let nodes: Int
    let seconds: Double
    let gflops: Double
    let gbytes_per_second: Double
  }

  init(
    _ step: StepBenchmark, _ result: StepBenchmark.Result, inference: Bool, _ size: BenchSize.Values, _ error: ConvolutionError,
    _ backend: any Backend
  ) {
    let named = BenchDevice(backend)
    let timing = Timing(result.seconds)
    device = named.device
    driver = named.driver
    tiles = named.tiles
    work = inference ? "inference" : "training step"
    patch = size.patch
    base = size.base
    batch = size.batch
    steps = result.seconds.count
    seconds_load = step.loadSeconds
    seconds_first = result.first
    seconds_median = timing.median
    seconds_min = timing.least
    gflops = Double(step.flops) / timing.median / 1e9
    flops_recomputed = step.plan.report.flopsRecomputed
    peak_bytes_planned = step.plannedBytes
    peak_bytes_measured = NumberOrNull(value: step.measuredBytes)
    let sample = StepBenchmark.medianSample(result.samples)
    seconds_profiled = sample.seconds
    seconds_operations = sample.nodes.reduce(0, +)
    seconds_rest = sample.rest
    launches = result.enqueuing?.launches
    seconds_enqueue = result.enqueuing?.seconds
    microseconds_per_launch = result.enqueuing?.microsecondsALaunch
    precision = backend.traits.precision.rawValue
    arithmetic = backend.traits.arithmetic.rawValue
    activations = step.activations.rawValue
    gradients = step.gradients.rawValue
    self.error = error.worst
    operations = step.operations(sample).map {
      Operation(
        operation: $0.operation, nodes: $0.nodes, seconds: $0.seconds,
        gflops: $0.seconds > 0 ? Double($0.cost.flops) / $0.seconds / 1e9 : 0,
        gbytes_per_second: $0.seconds > 0 ? Double($0.cost.bytes) / $0.seconds / 1e9 : 0)
    }
  }
}

/// What `--serve` answers.
struct BenchAnswer: Encodable {
  let seconds: Double
  let seconds_load: Double
  let seconds_first: Double
  let peak_bytes_planned: Int
  let peak_bytes_measured: NumberOrNull
  let device: String
  let driver: String
  let tiles: String?
  let precision: String
  let arithmetic: String
  let activations: String
  let gradients: String

  init(_ step: StepBenchmark, seconds: Double, seconds_first: Double, on backend: any Backend) {
    let device = BenchDevice(backend)
    self.seconds = seconds
    seconds_load = step.loadSeconds
    self.seconds_first = seconds_first
    peak_bytes_planned = step.plannedBytes
    peak_bytes_measured = NumberOrNull(value: step.measuredBytes)
    self.device = device.device
    driver = device.driver
    tiles = device.tiles
    precision = backend.traits.precision.rawValue
    arithmetic = backend.traits.arithmetic.rawValue
    activations = step.activations.rawValue
    gradients = step.gradients.rawValue
  }
}

/// A number, or null where it is not known, so that the key is always there.
struct NumberOrNull: Encodable {
  let value: Int?

  func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    if let value { try container.encode(value) } else { try container.encodeNil() }
  }
}
