import ArgumentParser
import Engine

/// `glomseg plan`.
struct PlanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan", abstract: "Say what a training step takes, without allocating it.",
    discussion: "Example: glomseg plan --patch 2048 --base 64 --batch 1")

  @Option(help: "Side of the square patch, a multiple of 16.") var patch: Int
  @Option(help: "Channels of the first level (default: max(16, 64*patch/2048)).") var base: Int?
  @Option(help: "Patches per step.") var batch = 1
  @Option(help: "auto, cpu, opencl, opencl:P:D, or part of a device's name.") var device = "auto"
  @Option(help: "Write JSON to a file, or to standard output with '-'.") var json: String?

  private struct Result: Encodable {
    let device: String
    let patch: Int
    let base: Int
    let batch: Int
    let parameters: Int
    let flops_forward: Int
    let flops_step: Int
    let peak_bytes: Int
    let parameter_bytes: Int
    let optimizer_bytes: Int
    let running_bytes: Int
    let input_bytes: Int
    let arena_bytes: Int
    let arena_lower_bound_bytes: Int
    let device_bytes: Int
    let fits: Bool
    let largest: [Largest]
    struct Largest: Encodable {
      let name: String
      let bytes: Int
    }
  }

  func validate() throws {
    guard patch >= 16, patch % VariableUNet.sideMultiple == 0 else {
      throw ValidationError("--patch should be a multiple of 16.")
    }
    guard batch >= 1 else { throw ValidationError("--batch should be at least 1.") }
    if let base, base < 2 || base % 2 != 0 { throw ValidationError("--base should be even and at least 2.") }
  }

  func run() throws {
    try failing {
      let output = try JSONOutput(path: json)
      let backend = try chooseBackend(device)
      var traits = backend.traits
      let limit = traits.maxAllocationBytes
      // Plan whatever it takes; what does not fit is said below.
      traits.maxAllocationBytes = max(limit, batch * patch * patch * 4096)
      let width = base ?? VariableUNet.base(forPatch: patch)
      let (plan, report) = try make(width, batch, patch, traits)
      let fits = fit(width, batch, patch, backend.traits)
      output.say(
        """
        VariableUNet, base \(width), \(batch) x \(patch) x \(patch), on \(backend.name)
        parameters          \(plan.layout.trainableCount)
        forward             \(tera(report.flopsForward)) TFLOP, step \(tera(report.flopsForward + report.flopsBackward)) TFLOP
        peak memory         \(formatBytes(report.peakBytes))
          activations       \(formatBytes(report.arenaBytes)) (no order of this step needs less than \(formatBytes(report.arenaLowerBoundBytes)))
          parameters        \(formatBytes(report.parameterBytes))
          gradients, Adam   \(formatBytes(report.optimizerBytes))
          running values    \(formatBytes(report.runningBytes))
          inputs            \(formatBytes(report.inputBytes))
        largest values
        """)
      for value in report.largest { output.say("  \(formatBytes(value.byteCount))  \(value.name)") }
      if !fits {
        output.say(
          "does not fit: \(backend.name) has \(formatBytes(traits.memoryBytes)), \(formatBytes(limit)) in one piece; "
            + advice(width, backend.traits))
      }
      try output.write(
        Result(
          device: backend.name, patch: patch, base: width, batch: batch, parameters: plan.layout.trainableCount,
          flops_forward: report.flopsForward, flops_step: report.flopsForward + report.flopsBackward,
          peak_bytes: report.peakBytes, parameter_bytes: report.parameterBytes, optimizer_bytes: report.optimizerBytes,
          running_bytes: report.runningBytes, input_bytes: report.inputBytes, arena_bytes: report.arenaBytes,
          arena_lower_bound_bytes: report.arenaLowerBoundBytes, device_bytes: traits.memoryBytes, fits: fits,
          largest: report.largest.map { .init(name: $0.name, bytes: $0.byteCount) }))
    }
  }

  private func make(
    _ base: Int, _ batch: Int, _ patch: Int, _ traits: DeviceTraits
  ) throws(EngineError) -> (Plan, Plan.Report) {
    let graph = try TrainingGraph(VariableUNet(base: base), batch: batch, height: patch, width: patch)
    let plan = try Plan(graph.graph, layout: graph.layout, for: traits)
    return (plan, plan.report)
  }

  private func fit(_ base: Int, _ batch: Int, _ patch: Int, _ traits: DeviceTraits) -> Bool {
    guard let (_, report) = try? make(base, batch, patch, traits) else { return false }
    return report.peakBytes <= traits.memoryBytes
  }

  /// The largest batch, patch or base, alone changed, that would fit.
  private func advice(_ width: Int, _ traits: DeviceTraits) -> String {
    var ways: [String] = []
    if let most = (1..<batch).reversed().first(where: { fit(width, $0, patch, traits) }) { ways.append("--batch \(most)") }
    if let most = stride(from: patch - 16, to: 0, by: -max(16, patch / 64 / 16 * 16)).first(where: { fit(width, batch, $0, traits) }) {
      ways.append("--patch \(most)")
    }
    if let most = stride(from: width - 2, to: 0, by: -2).first(where: { fit($0, batch, patch, traits) }) {
      ways.append("--base \(most)")
    }
    return ways.isEmpty ? "nothing smaller fits either" : "would fit: \(ways.joined(separator: ", or "))"
  }

  private func tera(_ flops: Int) -> String { decimals(Double(flops) / 1e12) }
}
