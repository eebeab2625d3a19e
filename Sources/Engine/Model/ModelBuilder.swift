/// Appends a model's layers to a graph, and lays out its parameters under their checkpoint names.
///
/// The same description gives the same layout in training and in inference, so that both plans share one state.
public struct ModelBuilder: Sendable {
  public internal(set) var graph: Graph
  public private(set) var layout = StateLayout()
  /// How each region of the state starts.
  public private(set) var initializers: [Initializer] = []
  /// Batch norms use the batch's statistics and update the running ones; parameters want gradients.
  public let training: Bool
  /// Share of a batch's statistics in the new running ones.
  let momentum: Float
  /// How activations are normalised.
  var norm = Normalization.batch
  private var path: [String] = []
  /// Channels of each branch, of values that several stand side by side in.
  private var branches: [ValueID: [Int]] = [:]

  /// The distribution of a region's starting values.
  public struct Initializer: Sendable {
    public enum Distribution: Sendable {
      case constant(Float)
      /// Uniform in ±bound.
      case uniform(bound: Double)
    }
    let slab: Slab
    let offset: Int
    let count: Int
    let distribution: Distribution
  }

  public init(graph: Graph = Graph(), training: Bool, momentum: Float = 0.1) {
    self.graph = graph
    self.training = training
    self.momentum = momentum
  }

  /// What `sources` are concatenated from, as a weight's dimension.
  private func inputs(_ sources: [ValueID], dimension: Int) -> StateLayout.Inputs {
    StateLayout.Inputs(dimension: dimension, parts: sources.flatMap { branches[$0] ?? [graph.shape($0).c] })
  }

  /// Runs `body` with a name added to the parameters' path.
  public mutating func scope<Result>(
    _ name: String, _ body: (inout ModelBuilder) throws(EngineError) -> Result
  ) throws(EngineError) -> Result {
    path.append(name)
    defer { path.removeLast() }
    return try body(&self)
  }

  /// A parameter or running statistic: tensors stacked over their first dimension, as one value of `shape`.
  private mutating func state(
    _ tensors: [(name: String, dimensions: [Int])], _ shape: Shape, inputs: StateLayout.Inputs? = nil, in slab: Slab,
    _ distribution: Initializer.Distribution
  ) -> ValueID {
    let named = tensors.map { (name: (path + [$0.name]).joined(separator: "."), dimensions: $0.dimensions) }
    let offset = layout.reserve(named, inputs: inputs, in: slab)
    initializers.append(Initializer(slab: slab, offset: offset, count: shape.count, distribution: distribution))
    return graph.source(
      named[0].name, shape, .persistent(slab, offset: offset), needsGradient: training && slab == .parameters)
  }

  /// A convolution over the concatenation of `sources`, with a bias; branches of different dilation have names of their
  /// own, one for a plain convolution. Initialised as PyTorch's Conv2d: uniform in ±1/√(fan-in).
  public mutating func convolution(
    _ names: [String], _ sources: [ValueID], _ shape: ConvolutionShape
  ) throws(EngineError) -> ValueID {
    precondition(names.count == shape.branches.count, "a name for each branch")
    let inputs = sources.reduce(0) { $0 + graph.shape($1).c }
    let bound = 1 / Double(inputs * shape.taps).squareRoot()
    let k = shape.kernel
    let weight = state(
      zip(names, shape.branches).map { (name: $0 + ".weight", dimensions: [$1.channels, inputs, k, k]) },
      Shape(shape.outChannels, inputs, k, k), inputs: self.inputs(sources, dimension: 1), in: .parameters, .uniform(bound: bound))
    let bias = state(
      zip(names, shape.branches).map { (name: $0 + ".bias", dimensions: [$1.channels]) }, .vector(shape.outChannels),
      in: .parameters, .uniform(bound: bound))
    return try graph.apply(
      Convolution(shape, sources: sources.count), sources + [weight, bias],
      named: (path + [names.joined(separator: "+")]).joined(separator: "."))[0]
  }

  /// A transposed 2×2 convolution. Initialised as PyTorch's ConvTranspose2d, whose fan-in counts the output channels.
  public mutating func transposedConvolution(
    _ name: String, _ x: ValueID, channels: Int
  ) throws(EngineError) -> ValueID {
    let inputs = graph.shape(x).c
    let bound = 1 / Double(channels * 4).squareRoot()
    let weight = state(
      [(name: name + ".weight", dimensions: [inputs, channels, 2, 2])], Shape(inputs, channels, 2, 2),
      inputs: self.inputs([x], dimension: 0), in: .parameters, .uniform(bound: bound))
    let bias = state(
      [(name: name + ".bias", dimensions: [channels])], .vector(channels), in: .parameters, .uniform(bound: bound))
    return try graph.apply(
      TransposedConvolution(), [x, weight, bias], named: (path + [name]).joined(separator: "."))[0]
  }

  /// The model's norm and ReLU; stacked where z's channels are stacked branches (`channels` of each name). A batch norm is a
  /// view of z.
  public mutating func normReLU(
    _ names: [(name: String, channels: Int)], _ z: ValueID
  ) throws(EngineError) -> ValueID {
    let count = names.reduce(0) { $0 + $1.channels }
    func tensors(_ suffix: String) -> [(name: String, dimensions: [Int])] {
      names.map { (name: $0.name + "." + suffix, dimensions: [$0.channels]) }
    }
    let gamma = state(tensors("weight"), .vector(count), in: .parameters, .constant(1))
    let beta = state(tensors("bias"), .vector(count), in: .parameters, .constant(0))
    let label = (path + [names.map(\.name).joined(separator: "+")]).joined(separator: ".")
    let result: ValueID
    if norm == .group {
      let size = names.map(\.channels).reduce(Normalization.mostChannelsPerGroup, greatestCommonDivisor)
      result = try graph.apply(GroupNorm(channelsPerGroup: size, relu: true), [z, gamma, beta], named: label)[0]
    } else {
      let mean = state(tensors("running_mean"), .vector(count), in: .running, .constant(0))
      let variance = state(tensors("running_var"), .vector(count), in: .running, .constant(1))
      result = try graph.batchNorm(
        z, gamma: gamma, beta: beta, runningMean: mean, runningVariance: variance, relu: true, training: training,
        frozen: norm == .batchFrozen, momentum: momentum, named: label)
    }
    if names.count > 1 { branches[result] = names.map(\.channels) }
    return result
  }
}
