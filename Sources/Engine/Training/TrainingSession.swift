import Randomness

/// What one training step measured.
public struct StepReport: Sendable, Equatable {
  /// From 1.
  public let step: Int
  /// Means over the batch's images: BCE + Dice loss, and each of them.
  public let loss: Double
  public let bce: Double
  public let dice: Double
  /// Over all parameters, before it is clipped.
  public let gradientNorm: Double
  /// By the clock. Where the next batch is sent while the device is at work, waiting for that batch is part of it; elsewhere not.
  public let seconds: Double
}

/// A model in training on a backend. Confined to one thread.
///
/// One step: write the batch, run forward, backward and update, read loss and gradient norm. A batch larger than a
/// micro-batch goes through forward and backward in parts, whose gradients are added up weighted by their images: BCE is
/// that of the whole batch, Dice and batch norm see one part at a time. Plans for other sizes (a last, smaller part;
/// inference) are loaded when first wanted and share the state and, where it is large enough, the arena.
public final class TrainingSession {
  public let model: VariableUNet
  public let backend: any Backend
  public let state: any StateMemory
  public let layout: StateLayout
  /// Sizes of a full batch.
  public let shape: TrainingShape
  public var batch: Int { shape.batch }
  /// The most that a plan may take, bytes.
  public let limitBytes: Int
  /// Steps taken so far; a resumed run continues the count.
  public var stepsTaken = 0
  private let loss: BCEDiceLoss
  private let adam: Adam
  private var training: [Int: (graph: TrainingGraph, executable: any Executable)] = [:]
  /// Images of a batch that wait on the device for the next run, from the `first` on. The arrays are held, so that no others
  /// can come to lie where they do.
  private var ahead: (images: [Float], target: [Float], first: Int, count: Int)?
  private var inference: [Shape: (graph: InferenceGraph, executable: any Executable)] = [:]

  /// Plans, allocates and initialises.
  ///
  /// - Parameters:
  ///   - microBatch: images on the device at one time; all of the batch where nil.
  ///   - activations: how they wait for the backward pass.
  ///   - gradients: how those with respect to activations are stored.
  ///   - averages: keep a moving average of the parameters.
  ///   - memoryLimit: of the plan's peak; what would exceed it is computed again instead of kept, with the same results.
  /// - Throws: `.memory` before anything is allocated where no plan fits, with sizes that would.
  public init(
    _ model: VariableUNet, batch: Int, microBatch: Int? = nil, height: Int, width: Int, on backend: any Backend,
    activations: ActivationStorage = .fp32, gradients: GradientStorage = .fp32,
    averages: Bool = false, memoryLimit: MemoryLimit = .automatic, seed: UInt64 = 0, loss: BCEDiceLoss = BCEDiceLoss(),
    adam: Adam = Adam()
  ) throws(EngineError) {
    self.model = model
    self.backend = backend
    let shape = TrainingShape(
      model, batch: batch, microBatch: microBatch, height: height, width: width, activations: activations,
      gradients: gradients, averages: averages)
    self.shape = shape
    self.loss = loss
    self.adam = adam
    let (traits, limit) = (backend.traits, memoryLimit.bytes(on: backend))
    limitBytes = limit
    let purpose = "a training step of \(shape.microBatch) x \(height) x \(width) at base \(model.base) on \(backend.name)"
    let (graph, plan): (TrainingGraph, Plan)
    do throws(EngineError) {
      (graph, plan) = try shape.plan(on: traits, within: limit, loss: loss, adam: adam)
      try plan.requireFit(within: limit, purpose: purpose, wayOut: shape.advice(traits, within: limit))
    } catch { throw error.withWayOut(purpose, shape.advice(traits, within: limit)) }
    layout = graph.layout
    state = try backend.makeState(layout, slabs: plan.usesSlabs.union(InferenceGraph.slabs))
    training[shape.microBatch] = (graph, try backend.load(plan, state: state, reusing: nil))
    try Self.initialize(state, graph.initializers, seed: seed)
    if averages { try state.write(state.read(.parameters), to: .averaged) }
  }

  /// Draws starting values: PyTorch's default distributions, from one seed in the order of the layout.
  private static func initialize(
    _ state: any StateMemory, _ initializers: [ModelBuilder.Initializer], seed: UInt64
  ) throws(EngineError) {
    var random = RandomSource(state: seed)
    for initializer in initializers {
      var values = [Float](repeating: 0, count: initializer.count)
      switch initializer.distribution {
      case .constant(let value): for i in values.indices { values[i] = value }
      case .uniform(let bound): for i in values.indices { values[i] = Float((2 * random.unit() - 1) * bound) }
      }
      try state.write(values, to: initializer.slab, offset: initializer.offset)
    }
  }

  /// The plan of a full micro-batch.
  public var plan: Plan { main.executable.plan }

  /// Full micro-batches, loaded first of all.
  private var main: (graph: TrainingGraph, executable: any Executable) {
    guard let main = training[shape.microBatch] else { preconditionFailure("the session loads its own batch first") }
    return main
  }

  private func trainer(_ count: Int) throws(EngineError) -> (graph: TrainingGraph, executable: any Executable) {
    if let known = training[count] { return known }
    var part = shape
    // Accumulates as the session does: also a part that is all of a last, smaller batch.
    if shape.microBatch == shape.batch { part.batch = count }
    part.microBatch = count
    let (graph, plan) = try part.plan(on: backend.traits, within: limitBytes, loss: loss, adam: adam)
    let made = (graph, try backend.load(plan, state: state, reusing: main.executable))
    training[count] = made
    return made
  }

  /// One step over `count` images.
  ///
  /// - Parameters:
  ///   - images: count × 3 × H × W, in 0…1.
  ///   - target: count × 1 × H × W, in 0…1.
  ///   - gradientClip: the largest norm of the gradient over all parameters; a longer one is scaled down to it.
  ///   - averageDecay: of the moving average of the parameters, where one is kept.
  ///   - next: gives the batch of the next step, nil where there is none. Asked once the device is at work, and only where it
  ///     can be sent meanwhile; a next step with the same arrays finds it there, one with others does not mind.
  /// - Throws: `.notFinite` where the loss or a gradient is NaN or infinite; the parameters are then untouched.
  @discardableResult
  public func step(
    images: [Float], target: [Float], count: Int, learningRate: Double, weightDecay: Double = 0,
    gradientClip: Double? = nil, averageDecay: Double = 0.99,
    next: (() -> (images: [Float], target: [Float], count: Int)?)? = nil
  ) throws(EngineError) -> StepReport {
    let start = monotonicSeconds()
    let plane = shape.height * shape.width
    guard (1...shape.batch).contains(count), images.count == 3 * count * plane, target.count == count * plane else {
      throw .request(
        "a batch of 1 to \(shape.batch) wants \(3 * plane) image and \(plane) target elements an image, not "
          + "\(images.count) and \(target.count) for \(count)")
    }
    if shape.microBatch < shape.batch { try state.clear(.accumulated) }
    var sums = [0.0, 0.0, 0.0]
    var first = 0
    while true {
      let part = min(shape.microBatch, count - first)
      let (graph, executable) = try trainer(part)
      if takesAhead(images, target, first, part) {
        ahead = nil
        try executable.takeAhead()
      } else {
        try executable.write(images, first * 3 * plane..<(first + part) * 3 * plane, to: graph.image)
        try executable.write(target, first * plane..<(first + part) * plane, to: graph.target)
      }
      if let share = graph.share { try executable.write([0, Float(part) / Float(count), 0, 0], to: share) }
      try executable.run(.forward)
      try executable.run(.backward)
      // The device is at work: what it needs next goes there meanwhile.
      if executable.writesAhead {
        if first + part < count {
          try writeAhead(images, target, from: first + part, count)
        } else if let batch = next?() {
          try writeAhead(batch.images, batch.target, from: 0, batch.count)
        }
      }
      let loss = try executable.read(graph.loss)
      guard loss[0].isFinite else {
        throw .notFinite(step: stepsTaken + 1, value: "the loss", first: try firstNotFinite(images))
      }
      for index in sums.indices { sums[index] += Double(loss[index]) * Double(part) }
      first += part
      guard first == count else { continue }
      let squaredNorm = try executable.read(graph.squaredNorm)[0]
      guard squaredNorm.isFinite else {
        throw .notFinite(step: stepsTaken + 1, value: "the gradient's norm", first: try firstNotFinite(images))
      }
      let norm = Double(squaredNorm).squareRoot()
      let scale = gradientClip.map { min(1, $0 / max(norm, .leastNormalMagnitude)) } ?? 1
      try executable.write(
        adam.controls(number: stepsTaken + 1, learningRate: learningRate, weightDecay: weightDecay, gradientScale: scale),
        to: graph.controls)
      if let controls = graph.averageControls {
        try executable.write([MovingAverage.rate(number: stepsTaken + 1, decay: averageDecay)], to: controls)
      }
      try executable.run(.update)
      try executable.finish()
      stepsTaken += 1
      return StepReport(
        step: stepsTaken, loss: sums[0] / Double(count), bce: sums[1] / Double(count), dice: sums[2] / Double(count),
        gradientNorm: norm, seconds: monotonicSeconds() - start)
    }
  }

  private func takesAhead(_ images: [Float], _ target: [Float], _ first: Int, _ count: Int) -> Bool {
    func isSame(_ a: [Float], _ b: [Float]) -> Bool {
      a.count == b.count && a.withUnsafeBufferPointer { a in b.withUnsafeBufferPointer { a.baseAddress == $0.baseAddress } }
    }
    guard let ahead, ahead.first == first, ahead.count == count else { return false }
    return isSame(ahead.images, images) && isSame(ahead.target, target)
  }

  /// Sends the part of a batch that begins at image `first`, if its plan is loaded: no plan is loaded beside a step.
  private func writeAhead(
    _ images: [Float], _ target: [Float], from first: Int, _ count: Int
  ) throws(EngineError) {
    ahead = nil
    let (part, plane) = (min(shape.microBatch, count - first), shape.height * shape.width)
    guard part > 0, let (graph, executable) = training[part], executable.writesAhead,
      images.count == 3 * count * plane, target.count == count * plane
    else { return }
    try executable.writeAhead(images, first * 3 * plane..<(first + part) * 3 * plane, to: graph.image)
    try executable.writeAhead(target, first * plane..<(first + part) * plane, to: graph.target)
    ahead = (images, target, first, part)
  }

  /// The executable of full micro-batches, for benchmarks that profile it.
  public var mainStep: (graph: TrainingGraph, executable: any Executable) { main }

  /// Logits of images in inference mode, with the parameters and running statistics as they are now.
  ///
  /// - Parameter images: N × 3 × H × W of `shape`.
  public func predict(_ images: [Float], shape: Shape) throws(EngineError) -> [Float] {
    if inference[shape] == nil {
      let graph = try InferenceGraph(model, batch: shape.n, height: shape.h, width: shape.w)
      let plan = try Plan(graph.graph, layout: layout, for: backend.traits)
      inference[shape] = (graph, try backend.load(plan, state: state, reusing: main.executable))
    }
    guard let (graph, executable) = inference[shape] else { return [] }
    try executable.write(images, to: graph.image)
    try executable.run(.forward)
    return try executable.read(graph.logits)
  }
}
