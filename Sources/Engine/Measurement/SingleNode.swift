/// One node of a graph in a graph of its own: what a benchmark of single operations runs.
public struct SingleNode: Sendable {
  public let graph: Graph
  /// The stored values that the node reads, views' operands included: written before the node runs.
  public let inputs: [ValueID]
  /// What makes the node: operation, attributes, shapes and views. Two nodes that share it are the same work.
  public let signature: String

  /// - Parameters:
  ///   - node: a node of `whole`.
  public init(_ node: Node, of whole: Graph) {
    var graph = Graph()
    graph.phase = node.phase
    var copies: [ValueID: ValueID] = [:]
    // Values of inputs, slabs and arena alike become arena values: all are live while the one node runs.
    func stored(_ value: ValueID) -> ValueID {
      if let known = copies[value] { return known }
      let copy = graph.source(whole[value].name, whole.shape(value), .arena)
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
    self.inputs = copies.values.sorted()
    graph.add(node.operation, inputs, results: node.results.map(stored), updates: node.updates.map(stored))
    self.graph = graph
    signature = "\(node.operation) \(whole.io(node)) \(node.updates.count)"
  }
}
