import Randomness
public import Engine

#if canImport(Glibc)
  import Glibc
#endif

/// Times whole training steps, and says where the time goes.
public struct StepBenchmark {
  public let session: TrainingSession
  private let images: [Float]
  private let target: [Float]
  /// The process's resident high-water mark before the plan was loaded, bytes.
  private let before: Int
  public let plannedBytes: Int

  /// - Parameter base: nil follows the patch.
  public init(patch: Int, base: Int?, batch: Int, backend: any Backend) throws(EngineError) {
    let model = VariableUNet(base: base ?? VariableUNet.base(forPatch: patch))
    var random = RandomSource(state: 7)
    images = (0..<batch * 3 * patch * patch).map { _ in Float(random.unit()) }
    target = (0..<batch * patch * patch).map { _ in random.unit() < 0.1 ? 1 : 0 }
    before = ProcessMemory.highWaterBytes()
    session = try TrainingSession(model, batch: batch, height: patch, width: patch, on: backend)
    plannedBytes = session.plan.report.peakBytes
  }

  /// Runs one step and returns its seconds.
  public func step() throws(EngineError) -> Double {
    try session.step(images: images, target: target, count: session.batch, learningRate: 1e-4).seconds
  }

  /// What the process grew by since the plan was loaded, bytes.
  public var measuredBytes: Int { ProcessMemory.highWaterBytes() - before }

  /// Floating-point operations of a step's convolutions and the rest, as the operations count them.
  public var flops: Int {
    let report = session.plan.report
    return report.flopsForward + report.flopsBackward
  }

  /// A part of a step.
  public struct Part: Sendable {
    public let operation: String
    public let label: String
    public let seconds: Double
    public let cost: Cost
  }

  /// Runs one step with device timing and returns each node's part of it, and the step's seconds.
  public func profile() throws(EngineError) -> (parts: [Part], seconds: Double) {
    let executable = session.mainStep.executable
    try executable.startProfile()
    let total = try step()
    let seconds = try executable.nodeSeconds()
    let graph = executable.plan.graph
    let parts = zip(graph.nodes, seconds).map { node, seconds in
      let io = graph.io(node)
      let label = node.targets.first.map { "\(graph[$0].name) \(graph.shape($0))" } ?? ""
      return Part(
        operation: type(of: node.operation).name, label: label, seconds: seconds, cost: node.operation.cost(io))
    }
    return (parts, total)
  }
}

/// The process's own memory.
public enum ProcessMemory {
  /// The most that was ever resident, bytes.
  public static func highWaterBytes() -> Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_maxrss * 1024
  }
}
