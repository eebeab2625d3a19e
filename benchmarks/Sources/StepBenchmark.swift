public import Engine
import Randomness

/// Times whole steps of the model, training or forward only, and says where the time goes.
public final class StepBenchmark {
  public let model: VariableUNet
  public let batch: Int
  /// How activations and gradients are stored.
  public let activations: ActivationStorage
  public let gradients: GradientStorage
  public let plan: Plan
  /// Seconds from nothing to a loaded plan: planning, allocation, programs.
  public let loadSeconds: Double
  private let executable: any Executable
  /// Times that the plan's forward and backward run in a step.
  private let runs: Double
  private let work: () throws(EngineError) -> Void
  /// What was resident before the plan was made, bytes.
  private let residentBefore: Int
  /// Whether the device's memory is the process's own.
  private let usesProcessMemory: Bool

  /// - Parameters:
  ///   - base: nil follows the patch.
  ///   - microBatch: images on the device at one time; all of the batch where nil.
  ///   - inference: forward alone, with running statistics; a training step otherwise.
  public init(
    patch: Int, base: Int?, batch: Int, microBatch: Int? = nil, activations: ActivationStorage = .fp32,
    gradients: GradientStorage = .fp32,
    memoryLimit: MemoryLimit = .automatic,
    inference: Bool = false, backend: any Backend
  ) throws(EngineError) {
    let model = VariableUNet(base: base ?? VariableUNet.base(forPatch: patch))
    self.model = model
    (self.activations, self.gradients) = (activations, gradients)
    self.batch = batch
    usesProcessMemory = (backend as? OpenCLBackend).map { $0.device.kind == .cpu } ?? true
    var random = RandomSource(state: 7)
    let images = (0..<batch * VariableUNet.inputChannels * patch * patch).map { _ in Float(random.unit()) }
    let target: [Float] = (0..<(inference ? 0 : batch * patch * patch)).map { _ in random.unit() < 0.1 ? 1 : 0 }
    // A first kernel, so that the driver's compiler and threads are there before: they are no part of the plan.
    var copy = Graph()
    let x = copy.source("x", .vector(1024), .input)
    copy.keep(try copy.apply(RoofCopy(), [x])[0])
    _ = try GraphRunner(copy, inputs: [x], on: backend, purpose: "a copy").time(runs: 1, seconds: 0)
    residentBefore = ProcessMemory.residentBytes()
    let start = monotonicSeconds()
    if inference {
      let (graph, plan) = try InferenceGraph.plan(
        model, batch: batch, height: patch, width: patch, on: backend.traits, named: backend.name,
        within: memoryLimit.bytes(on: backend))
      runs = 1
      let state = try backend.makeState(graph.layout, slabs: InferenceGraph.slabs)
      let weights = (0..<graph.layout.count(of: .parameters)).map { _ in Float(random.unit() - 0.5) * 0.1 }
      try state.write(weights, to: .parameters)
      try state.write([Float](repeating: 1, count: graph.layout.count(of: .running)), to: .running)
      let executable = try backend.load(plan, state: state)
      self.executable = executable
      self.plan = plan
      work = { () throws(EngineError) in
        try executable.write(images, to: graph.image)
        try executable.run(.forward)
        _ = try executable.read(graph.logits)
      }
    } else {
      let session = try TrainingSession(
        model, batch: batch, microBatch: microBatch, height: patch, width: patch, on: backend,
        activations: activations, gradients: gradients, memoryLimit: memoryLimit)
      runs = Double(batch) / Double(session.shape.microBatch)
      executable = session.mainStep.executable
      plan = session.plan
      work = { () throws(EngineError) in
        _ = try session.step(images: images, target: target, count: batch, learningRate: 1e-4, next: { (images, target, batch) })
      }
    }
    loadSeconds = monotonicSeconds() - start
  }

  /// Bytes of the plan.
  public var plannedBytes: Int { plan.report.peakBytes }

  /// What the process grew by at most since before the plan was made, bytes; nil where the device has memory of its own, which
  /// OpenCL does not count.
  public var measuredBytes: Int? { usesProcessMemory ? ProcessMemory.highWaterBytes() - residentBefore : nil }

  /// Floating-point operations of a step, as the operations count them; what is done again to save memory is not counted.
  public var flops: Int {
    let report = plan.report
    return Int(Double(report.flopsForward + report.flopsBackward) * runs)
  }

  /// A step's launches and the host's seconds to hand them over.
  public struct Enqueuing: Sendable {
    public let launches: Int
    public let seconds: Double
    public var microsecondsALaunch: Double { 1e6 * seconds / Double(max(1, launches)) }
  }

  /// Steps, and where their time goes.
  public struct Result: Sendable {
    /// The first, that warms up.
    public let first: Double
    /// Seconds of each step that counts, in turn.
    public let seconds: [Double]
    /// Steps with device timing. Short ones are not those above: a queue that keeps times makes each launch slower.
    public let samples: [Sample]
    /// Of the step that took the host least to hand over; nil where nothing is launched.
    ///
    /// It is the host's own time only while the driver's queue has room: a full queue makes the host wait for the device.
    public let enqueuing: Enqueuing?
  }

  /// A step of this many seconds or more loses nothing by device timing, and is not run again for it.
  private static let long = 1.0

  /// Runs one step to warm up, then at most `steps` until `seconds` are over, at least one.
  public func run(steps: Int, seconds limit: Double) throws(EngineError) -> Result {
    let first = try step()
    let start = monotonicSeconds()
    var (seconds, enqueuings, samples): ([Double], [Enqueuing], [Sample]) = ([], [], [])
    var isLong = first >= Self.long
    while seconds.isEmpty || (seconds.count < steps && monotonicSeconds() - start < limit) {
      if isLong {
        let sample = try sample()
        // The first step may have been long for what a driver does once.
        isLong = sample.seconds >= Self.long
        guard isLong || !seconds.isEmpty else { continue }
        samples.append(sample)
        seconds.append(sample.seconds)
        if let one = sample.enqueuing { enqueuings.append(one) }
      } else {
        let before = executable.enqueued
        seconds.append(try step())
        if let one = enqueuing(since: before) { enqueuings.append(one) }
      }
    }
    if samples.isEmpty { for _ in 0..<3 { samples.append(try sample()) } }
    return Result(
      first: first, seconds: seconds, samples: samples, enqueuing: enqueuings.min { $0.seconds < $1.seconds })
  }

  private func enqueuing(since before: (launches: Int, seconds: Double)?) -> Enqueuing? {
    guard let before, let after = executable.enqueued else { return nil }
    return Enqueuing(launches: after.launches - before.launches, seconds: after.seconds - before.seconds)
  }

  /// Runs one step and returns its seconds.
  public func step() throws(EngineError) -> Double {
    let start = monotonicSeconds()
    try work()
    return monotonicSeconds() - start
  }

  /// One step's seconds, whole and by node.
  public struct Sample: Sendable {
    public let seconds: Double
    /// By index of the plan's nodes, from device events.
    public let nodes: [Double]
    public let enqueuing: Enqueuing?
    /// What no operation accounts for: transfers, the host's work, gaps between launches.
    public var rest: Double { seconds - nodes.reduce(0, +) }
  }

  /// Runs one step with device timing.
  public func sample() throws(EngineError) -> Sample {
    try executable.startProfile()
    let before = executable.enqueued
    let seconds = try step()
    let sample = Sample(seconds: seconds, nodes: try executable.nodeSeconds(), enqueuing: enqueuing(since: before))
    try executable.endProfile()
    return sample
  }

  /// The one whose time is the median.
  public static func medianSample(_ samples: [Sample]) -> Sample {
    precondition(!samples.isEmpty, "a step was timed at least once")
    return samples.sorted { $0.seconds < $1.seconds }[samples.count / 2]
  }

  /// A part of a step: one node, or all those of an operation.
  public struct Part: Sendable {
    public let operation: String
    /// What it computes, of a single node.
    public let label: String
    public var nodes = 1
    public var seconds: Double
    public var cost: Cost
  }

  /// A sample by node, the longest first.
  public func parts(_ sample: Sample) -> [Part] {
    let graph = plan.graph
    return zip(graph.nodes, sample.nodes).map { node, seconds in
      Part(
        operation: type(of: node.operation).name,
        label: node.targets.first.map { "\(graph[$0].name) \(graph.shape($0))" } ?? "", seconds: seconds,
        cost: node.operation.cost(graph.io(node)))
    }.sorted { $0.seconds > $1.seconds }
  }

  /// A sample by operation, the longest first.
  public func operations(_ sample: Sample) -> [Part] {
    var sums: [String: Part] = [:]
    for part in parts(sample) {
      var sum =
        sums[part.operation]
        ?? Part(
          operation: part.operation, label: "", nodes: 0, seconds: 0, cost: Cost(flops: 0, bytes: 0))
      sum.nodes += 1
      sum.seconds += part.seconds
      sum.cost.flops += part.cost.flops
      sum.cost.bytes += part.cost.bytes
      sums[part.operation] = sum
    }
    return sums.values.sorted { $0.seconds > $1.seconds }
  }
}
