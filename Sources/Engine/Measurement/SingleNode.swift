/// One node of a graph in a graph of its own, as its last node: what a benchmark of single operations runs.
public struct SingleNode: Sendable {
  public let graph: Graph
  /// The stored values that the node reads or changes in place, views' operands included: to be written before it runs.
  public let inputs: [ValueID]
  /// What makes the node: operation, attributes, shapes and views. Two nodes that share it are the same work.
  public let signature: String

  /// - Parameters:
  ///   - node: a node of `whole`.
  ///   - cacheElements: where above 0, that many elements are copied before the node runs, so that no cache holds its
  ///     operands.
  public init(_ node: Node, of whole: Graph, evicting cacheElements: Int = 0) {
    var graph = Graph()
    graph.phase = node.phase
    if cacheElements > 0 {
      let shape = Shape.vector(cacheElements)
      graph.add(RoofCopy(), [graph.source("cache", shape, .input)], results: [graph.source("copy of cache", shape, .input)])
    }
    var copies: [ValueID: ValueID] = [:]
    // Inputs, so that they keep their places and contents whatever runs before.
    func stored(_ value: ValueID) -> ValueID {
      if let known = copies[value] { return known }
      let copy = graph.source(whole[value].name, whole.shape(value), .input)
      copies[value] = copy
      return copy
    }
    var inputs: [ValueID] = []
    for value in node.inputs {
      guard case .view(let view) = whole[value].residence else {
        inputs.append(stored(value))
        continue
      }
      let copy: View
      switch view {
      case .normalized(let z, let table, let relu): copy = .normalized(z: stored(z), table: stored(table), relu: relu)
      case .normalizedGradient(let gradient, let z, let table, let relu):
        copy = .normalizedGradient(gradient: stored(gradient), z: stored(z), table: stored(table), relu: relu)
      }
      inputs.append(graph.view(whole[value].name, copy, shape: whole.shape(value), needsGradient: false))
    }
    let updates = node.updates.map(stored)
    self.inputs = copies.values.sorted()
    graph.add(node.operation, inputs, results: node.results.map(stored), updates: updates)
    self.graph = graph
    signature = "\(node.operation) \(whole.io(node)) \(node.updates.count)"
  }
}
