/// A model's training step as a graph: forward, loss, backward, gradient norm, Adam.
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
  public let logits: ValueID
  /// (4): loss, BCE, Dice, 0.
  public let loss: ValueID
  /// (1): Σ g² over all parameters.
  public let squaredNorm: ValueID

  /// The slabs that training needs.
  public static let slabs: Set<Slab> = [.parameters, .gradients, .firstMoment, .secondMoment, .running]

  public init(
    _ model: VariableUNet, batch: Int, height: Int, width: Int, loss: BCEDiceLoss = BCEDiceLoss(), adam: Adam = Adam()
  ) throws(EngineError) {
    var b = ModelBuilder(training: true)
    let image = b.graph.source("image", Shape(batch, VariableUNet.inputChannels, height, width), .input)
    let target = b.graph.source("target", Shape(batch, 1, height, width), .input)
    let controls = b.graph.source("controls", .vector(4), .input)
    let logits = try model(image, &b)
    let results = try b.graph.apply(loss, [logits, target], named: "loss")
    b.graph.keep(results[0])
    b.graph.keep(logits)
    var graph = try Differentiation.run(b.graph, seeds: [(value: results[0], gradient: results[0])]).graph
    graph.phase = .backward
    let whole = Shape.vector(b.layout.count(of: .parameters))
    func slab(_ slab: Slab) -> ValueID { graph.source("all \(slab.rawValue)", whole, .persistent(slab, offset: 0)) }
    let gradients = slab(.gradients)
    let squaredNorm = try graph.apply(SumOfSquares(), [gradients], named: "squared norm", differentiable: false)[0]
    graph.keep(squaredNorm)
    graph.phase = .update
    try graph.apply(
      adam, [gradients, controls], updates: [slab(.parameters), slab(.firstMoment), slab(.secondMoment)])
    self.graph = graph
    self.layout = b.layout
    initializers = b.initializers
    self.adam = adam
    self.image = image
    self.target = target
    self.controls = controls
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
