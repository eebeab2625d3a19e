/// Walks a graph backwards from a value and appends the nodes that compute gradients.
///
/// A gradient rule asks for the gradient of its results (`upstream`) and, for each input, for the value to write or to
/// add into (`target`): where a value has several consumers, the first rule reached writes and the others add.
public struct Differentiation {
  public private(set) var graph: Graph
  private var gradients: [ValueID: ValueID] = [:]
  /// Values whose gradient adds up to zero over each channel.
  private var zeroSums: Set<ValueID> = []

  /// Where a gradient goes.
  public struct Target {
    public let value: ValueID
    /// Add to what is there; otherwise write every element.
    public let accumulates: Bool
  }

  /// Differentiates from `seeds`: pairs of a value and the value that holds its gradient.
  ///
  /// - Returns: the graph with backward nodes, and the gradient of each value that has one.
  public static func run(
    _ graph: Graph, seeds: [(value: ValueID, gradient: ValueID)]
  ) throws(EngineError) -> (graph: Graph, gradients: [ValueID: ValueID]) {
    var tape = Differentiation(graph: graph)
    tape.graph.phase = .backward
    for seed in seeds { tape.gradients[seed.value] = seed.gradient }
    for index in graph.nodes.indices.reversed() where graph.nodes[index].phase == .forward {
      let node = graph.nodes[index]
      let views = graph.viewProducers.filter { $0.value == index }.keys
      guard (node.results + views).contains(where: { tape.gradients[$0] != nil }) else { continue }
      guard node.inputs.contains(where: { graph[$0].needsGradient }) else { continue }
      try node.operation.differentiate(node, &tape)
    }
    return (tape.graph, tape.gradients)
  }

  private init(graph: Graph) { self.graph = graph }

  /// The gradient with respect to a value, if any consumer gave one.
  public func upstream(_ value: ValueID) -> ValueID? { gradients[value] }

  /// The gradient with respect to a value as stored elements: a view is written out first.
  public mutating func storedUpstream(_ value: ValueID) -> ValueID? {
    guard let gradient = gradients[value] else { return nil }
    guard case .view = graph[gradient].residence else { return gradient }
    let stored = graph.gradient(of: value)
    graph.add(Materialize(accumulates: false), [gradient], results: [stored])
    gradients[value] = stored
    return stored
  }

  /// Whether the gradient with respect to a value adds up to exactly zero over each channel, as its rule said: what was added to each
  /// element of a channel, a bias, has no gradient then.
  public func gradientSumsToZero(_ value: ValueID) -> Bool { zeroSums.contains(value) }

  /// The view of `z` through a table, which a norm offers to whoever reads its result.
  func offeredView(of z: ValueID, table: ValueID) -> ValueID? {
    graph.viewProducers.keys.first { view in
      if case .view(.normalized(z, table, _)) = graph[view].residence { return true }
      return false
    }
  }

  /// Where the gradient with respect to `value` goes; nil where nobody wants it.
  public mutating func target(for value: ValueID) throws(EngineError) -> Target? {
    let info = graph[value]
    guard info.needsGradient else { return nil }
    if let existing = storedUpstream(value) {
      zeroSums.remove(value)
      return Target(value: existing, accumulates: true)
    }
    let gradient: ValueID
    if case .persistent(.parameters, let offset) = info.residence {
      gradient = graph.source("gradient of \(info.name)", info.shape, .persistent(.gradients, offset: offset))
    } else {
      gradient = graph.gradient(of: value)
    }
    gradients[value] = gradient
    return Target(value: gradient, accumulates: false)
  }

  /// Says that the gradient with respect to `value` is a view, so that it need not be stored, and whether it adds up to zero over each
  /// channel.
  mutating func setGradient(of value: ValueID, to view: View, sumsToZero: Bool) throws(EngineError) {
    let info = graph[value]
    let lazy = graph.view("gradient of \(info.name)", view, shape: info.shape, needsGradient: false)
    if gradients[value] == nil {
      gradients[value] = lazy
      if sumsToZero { zeroSums.insert(value) }
    } else if let target = try target(for: value) {
      graph.add(Materialize(accumulates: true), [lazy], results: [], updates: [target.value])
    }
  }

  /// Appends a gradient node that writes, or adds to, `target`.
  public mutating func apply(_ operation: some Operation, _ inputs: [ValueID], into target: Target) {
    graph.add(
      operation, inputs, results: target.accumulates ? [] : [target.value],
      updates: target.accumulates ? [target.value] : [])
  }

  /// A new value for a gradient node to write.
  public mutating func arena(_ name: String, _ shape: Shape) -> ValueID {
    graph.arena(name, shape, needsGradient: false)
  }

  /// Appends a gradient node with results and updates of its own choice.
  public mutating func add(
    _ operation: some Operation, _ inputs: [ValueID], results: [ValueID], updates: [ValueID] = []
  ) {
    graph.add(operation, inputs, results: results, updates: updates)
  }
}
