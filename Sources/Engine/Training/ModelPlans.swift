/// A model's training step as a graph: forward, loss, backward, gradient norm, Adam.
///
/// Where it accumulates, a step is several runs of forward and backward, each over a part of the batch, and one update:
/// backward adds share · gradient to a slab of sums, which norm and Adam read. The slab is cleared before the first run.
public struct TrainingGraph: Sendable {
  public let graph: Graph
  public let layout: StateLayout
  public let initializers: [ModelBuilder.Initializer]
  public let adam: Adam
  /// (N, 3, H, W) and (N, 1, H, W): written before each step.
  public let image: ValueID
  public let target: ValueID
  /// Adam's controls (4), written before each step.
  public let controls: ValueID
  /// The part's share of the batch as a table (1, 1, 1, 4): 0, share, 0, 0, written before each run; nil where the whole
  /// batch is one run.
  public let share: ValueID?
  /// The moving average's controls (1), written before each step; nil where no average is kept.
  public let averageControls: ValueID?
  public let logits: ValueID
  /// (4): loss, BCE, Dice, 0.
  public let loss: ValueID
  /// (1): Σ g² over all parameters.
  public let squaredNorm: ValueID

  public init(
    _ model: VariableUNet, batch: Int, height: Int, width: Int, loss: BCEDiceLoss = BCEDiceLoss(), adam: Adam = Adam(),
    accumulates: Bool = false, averages: Bool = false
  ) throws(EngineError) {
    var b = ModelBuilder(training: true)
    let image = b.graph.source("image", Shape(batch, VariableUNet.inputChannels, height, width), .input)
    let target = b.graph.source("target", Shape(batch, 1, height, width), .input)
    b.graph.writeAhead(image)
    b.graph.writeAhead(target)
    let controls = b.graph.source("controls", .vector(4), .input)
    let logits = try model(image, &b)
    let results = try b.graph.apply(loss, [logits, target], named: "loss")
    b.graph.keep(results[0])
    b.graph.keep(logits)
    var graph = try Differentiation.run(b.graph, seeds: [(value: results[0], gradient: results[0])]).graph
    graph.phase = .backward
    let whole = Shape.vector(b.layout.count(of: .parameters))
    func slab(_ slab: Slab) -> ValueID { graph.source("all \(slab.rawValue)", whole, .persistent(slab, offset: 0)) }
    let gradients = slab(accumulates ? .accumulated : .gradients)
    var share: ValueID?
    if accumulates {
      // (g − 0) · share + 0: a batch norm's view with one channel for the whole slab.
      let table = graph.source("share of the batch", Shape(1, 1, 1, 4), .input)
      let flat = Shape(1, 1, 1, whole.count)
      let part = graph.source("gradients of a part", flat, .persistent(.gradients, offset: 0))
      let sum = graph.source("gradients so far", flat, .persistent(.accumulated, offset: 0))
      let weighted = graph.view(
        "weighted gradients", .normalized(z: part, table: table, relu: false), shape: flat, needsGradient: false)
      graph.add(Materialize(accumulates: true), [weighted], results: [], updates: [sum])
      share = table
    }
    let squaredNorm = try graph.apply(SumOfSquares(), [gradients], named: "squared norm", differentiable: false)[0]
    graph.keep(squaredNorm)
    graph.phase = .update
    try graph.apply(
      adam, [gradients, controls], updates: [slab(.parameters), slab(.firstMoment), slab(.secondMoment)])
    var averageControls: ValueID?
    if averages {
      let rate = graph.source("average's controls", .vector(1), .input)
      try graph.apply(MovingAverage(), [slab(.parameters), rate], updates: [slab(.averaged)])
      averageControls = rate
    }
    self.graph = graph
    self.layout = b.layout
    initializers = b.initializers
    self.adam = adam
    self.image = image
    self.target = target
    self.controls = controls
    self.share = share
    self.averageControls = averageControls
    self.logits = logits
    self.loss = results[0]
    self.squaredNorm = squaredNorm
  }
}

/// A model in inference mode as a graph.
public struct InferenceGraph: Sendable {
  public let graph: Graph
  public let layout: StateLayout
  public let image: ValueID
  public let logits: ValueID

  /// The slabs that inference needs.
  public static let slabs: Set<Slab> = [.parameters, .running]

  public init(_ model: VariableUNet, batch: Int, height: Int, width: Int) throws(EngineError) {
    var b = ModelBuilder(training: false)
    image = b.graph.source("image", Shape(batch, VariableUNet.inputChannels, height, width), .input)
    logits = try model(image, &b)
    b.graph.keep(logits)
    graph = b.graph
    layout = b.layout
  }
}
