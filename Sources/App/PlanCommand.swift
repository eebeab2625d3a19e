import ArgumentParser
import Engine

/// `glomseg plan`.
struct PlanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan", abstract: "Say what a training step takes, without allocating it.",
    discussion: """
      Where a step exceeds the limit, values are dropped after their use and computed again, at the least cost in time; \
      results are the same bits.

      Example: glomseg plan --patch 2048 --base 64 --memory-limit 5GiB
      """)

  @Option(help: "Side of the square patch, a multiple of 16.") var patch: Int
  @Option(help: "Channels of the first level (default: max(16, 64*patch/2048)).") var base: Int?
  @Option(help: "Patches per step.") var batch = 1
  @Option(help: "Patches on the device at one time (default: all of the batch).") var microBatch: Int?
  @Option(help: "Memory that a plan may take, such as 5GiB or 4800MB; auto is 90% of what the device has free.")
  var memoryLimit: MemoryLimit = .automatic
  @Option(help: "How activations are stored: fp32, or fp16 in half the memory.")
  var activations: ActivationStorage = .fp32
  @Option(help: "How gradients of activations are stored: fp32, or bf16 in half the memory.")
  var gradients: GradientStorage = .fp32
  @Option(help: "auto, gpu, cpu, opencl, opencl:P:D, or part of a device's name.") var device = "auto"
  @Option(help: precisionHelp) var precision: Precision = .fp32
  @Option(
    help: """
      Instead list the kernels that such a device would run, which need not be there: nvidia-matrix, nvidia-warpgroup, amd-matrix, amd-wmma \
      or intel-matrix (with matrix units), nvidia, amd, intel, gpu, cpu, or one of the first with -emulated, such as nvidia-emulated or \
      amd-wmma-emulated. A line each: file, function, items of a group, bytes of local memory, macros.
      """)
  var kernels: String?
  @Option(help: "Write JSON to a file, or to standard output with '-'.") var json: String?

  private struct Result: Encodable {
    let device: String
    let patch: Int
    let base: Int
    let batch: Int
    let micro_batch: Int
    let parameters: Int
    let flops_forward: Int
    let flops_step: Int
    let flops_recomputed: Int
    let peak_bytes: Int
    let parameter_bytes: Int
    let optimizer_bytes: Int
    let running_bytes: Int
    let input_bytes: Int
    let arena_bytes: Int
    let arena_lower_bound_bytes: Int
    let device_bytes: Int
    let limit_bytes: Int
    let fits: Bool
    let largest: [Largest]
    let recomputed: [Recomputed]
    struct Largest: Encodable {
      let name: String
      let bytes: Int
    }
    struct Recomputed: Encodable {
      let name: String
      let bytes: Int
      let flops: Int
    }
  }

  func validate() throws {
    guard VariableUNet.sides.contains(patch) else {
      throw ValidationError("--patch should be a multiple of 16, at most 65520.")
    }
    guard (1...65_535).contains(batch) else { throw ValidationError("--batch should be 1 to 65535.") }
    if let microBatch, microBatch < 1 { throw ValidationError("--micro-batch should be at least 1.") }
    if let base, base < 2 || base % 2 != 0 { throw ValidationError("--base should be even and at least 2.") }
  }

  func run() throws {
    try failing {
      if let kernels { return try list(kernels) }
      let output = try JSONOutput(path: json)
      let backend = try chooseBackend(device, precision: precision)
      var traits = backend.traits
      let piece = traits.maxAllocationBytes
      let shape = TrainingShape(
        VariableUNet(base: base ?? VariableUNet.base(forPatch: patch)), batch: batch, microBatch: microBatch, height: patch,
        width: patch, activations: activations, gradients: gradients)
      // Plan whatever it takes; what does not fit is said below.
      traits.maxAllocationBytes = max(piece, shape.microBatch * patch * patch * 4096)
      let limit = memoryLimit.bytes(on: backend)
      let (graph, plan) = try shape.plan(on: traits, within: limit)
      let report = plan.report
      let fits = shape.fits(backend.traits, within: limit)
      let work = report.flopsForward + report.flopsBackward
      output.say(
        """
        VariableUNet, base \(shape.base), \(shape.microBatch) x \(patch) x \(patch), on \(backend.name)
        parameters          \(graph.layout.trainableCount)
        forward             \(tera(report.flopsForward)) TFLOP, step \(tera(work)) TFLOP
        peak memory         \(formatBytes(report.peakBytes))
          activations       \(formatBytes(report.arenaBytes)) (no order of this step needs less than \(formatBytes(report.arenaLowerBoundBytes)))
          parameters        \(formatBytes(report.parameterBytes))
          gradients, Adam   \(formatBytes(report.optimizerBytes))
          running values    \(formatBytes(report.runningBytes))
          inputs            \(formatBytes(report.inputBytes))
        largest values
        """)
      for value in report.largest { output.say("  \(formatBytes(value.byteCount))  \(value.name)") }
      if report.flopsRecomputed > 0 {
        let share = Double(report.flopsRecomputed) / Double(work)
        output.say(
          "computed again, for a limit of \(formatBytes(limit)): \(tera(report.flopsRecomputed)) TFLOP, \(percent(share)) of the step"
        )
        for value in report.recomputed {
          output.say("  \(formatBytes(value.byteCount))  \(value.name)  \(tera(value.flops)) TFLOP")
        }
      }
      if !fits {
        output.say(
          "does not fit: it may take \(formatBytes(limit)) on \(backend.name), \(formatBytes(piece)) in one piece; "
            + shape.advice(backend.traits, within: limit))
      }
      try output.write(
        Result(
          device: backend.name, patch: patch, base: shape.base, batch: batch, micro_batch: shape.microBatch,
          parameters: graph.layout.trainableCount,
          flops_forward: report.flopsForward, flops_step: work,
          flops_recomputed: report.flopsRecomputed, peak_bytes: report.peakBytes, parameter_bytes: report.parameterBytes,
          optimizer_bytes: report.optimizerBytes,
          running_bytes: report.runningBytes, input_bytes: report.inputBytes, arena_bytes: report.arenaBytes,
          arena_lower_bound_bytes: report.arenaLowerBoundBytes, device_bytes: traits.memoryBytes, limit_bytes: limit,
          fits: fits, largest: report.largest.map { .init(name: $0.name, bytes: $0.byteCount) },
          recomputed: report.recomputed.map { .init(name: $0.name, bytes: $0.byteCount, flops: $0.flops) }))
    }
  }

  private func list(_ name: String) throws {
    guard let kernels = KernelList.choices.first(where: { $0.name == name })?.kernels else {
      let known = KernelList.choices.map(\.name).joined(separator: ", ")
      throw EngineError.request("there are no kernels for '\(name)'; there are those for: \(known)")
    }
    let model = VariableUNet(base: base ?? VariableUNet.base(forPatch: patch))
    let graphs = [
      try TrainingGraph(model, batch: microBatch ?? batch, height: patch, width: patch, averages: true).graph,
      try InferenceGraph(model, batch: microBatch ?? batch, height: patch, width: patch).graph,
    ]
    for line in KernelList.lines(graphs, for: kernels, precision: precision, activations, gradients) { print(line) }
  }

  private func tera(_ flops: Int) -> String { decimals(Double(flops) / 1e12) }
}
