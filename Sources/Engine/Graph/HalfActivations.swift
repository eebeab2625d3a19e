/// How activations are kept from the forward pass to the backward pass.
public enum ActivationStorage: String, Sendable, CaseIterable {
  /// As they are computed.
  case fp32
  /// In half the memory: what waits for the backward pass is rounded to IEEE half precision after its last use in the forward
  /// pass, and read back before its first use in the backward pass. Arithmetic is fp32, and the loss of a step is the same
  /// to the bit; gradients are those at activations that are off by up to 2⁻¹¹ of their size. ReLUs after a norm are
  /// taken anew from rounded values, so that gradients of single elements near its kink come or go: whole gradients are off
  /// by 1 to 3%, without a direction.
  case fp16
}

extension Graph {
  /// Values smaller than this stay: they save nothing worth two launches.
  private static let leastHalved = 1 << 16

  /// The graph with large values in 16 bits between the passes. They are read back for each use in the backward pass, or for
  /// uses by neighbouring nodes together, so that few are there in full at one time.
  ///
  /// ```
  /// forward …  last use of v │ h = half(v) │ … │ w = float(h) │ a node uses w in v's place │ … │ w = float(h) │ another
  /// ```
  func halvingActivations() -> Graph {
    var last: [Int: Int] = [:]
    var later: [Int: [Int]] = [:]
    var changed: Set<Int> = []
    for (index, node) in nodes.enumerated() {
      for value in Set((node.inputs + node.targets).flatMap({ stored($0) }).map({ Int($0.index) })) {
        if node.phase == .forward { last[value] = index } else { later[value, default: []].append(index) }
      }
      changed.formUnion(node.updates.map { Int($0.index) })
    }
    var graph = self
    var packs: [Int: [Node]] = [:]
    var unpacks: [Int: [(value: Int, node: Node)]] = [:]
    for (value, info) in values.enumerated() {
      guard case .arena = info.residence, info.byteCount >= Self.leastHalved, !changed.contains(value),
        let end = last[value], let uses = later[value], !kept.contains(ValueID(index: Int32(value)))
      else { continue }
      let half = graph.source("half of \(info.name)", info.shape, .arena, storage: .float16)
      packs[end, default: []].append(
        Node(operation: ToHalf(), inputs: [ValueID(index: Int32(value))], results: [half], updates: [], phase: .forward))
      for (number, use) in uses.enumerated() where number == 0 || uses[number - 1] < use - 1 {
        let full = graph.source(info.name, info.shape, .arena)
        unpacks[use, default: []].append(
          (value, Node(operation: FromHalf(), inputs: [half], results: [full], updates: [], phase: nodes[use].phase)))
      }
    }
    var current = values.indices.map { ValueID(index: Int32($0)) }
    var written: [Node] = []
    for (index, node) in nodes.enumerated() {
      for (value, unpack) in unpacks[index] ?? [] {
        written.append(unpack)
        current[value] = unpack.results[0]
      }
      written.append(graph.substituting(node, current))
      written += packs[index] ?? []
    }
    return graph.replacing(nodes: written)
  }

  /// The node with `present` in the place of what it reads, itself or through a view.
  mutating func substituting(_ node: Node, _ present: [ValueID]) -> Node {
    let inputs = node.inputs.map { input -> ValueID in
      let info = self[input]
      guard case .view(let view) = info.residence else { return present[Int(input.index)] }
      guard view.values.contains(where: { present[Int($0.index)] != $0 }) else { return input }
      return self.view(
        info.name, view.mapping { present[Int($0.index)] }, shape: info.shape, needsGradient: info.needsGradient)
    }
    return Node(operation: node.operation, inputs: inputs, results: node.results, updates: node.updates, phase: node.phase)
  }
}
