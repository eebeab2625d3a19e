/// How activations are stored in a training step.
public enum ActivationStorage: String, Sendable, CaseIterable {
  /// As they are computed.
  case fp32
  /// Activations in IEEE half precision: rounded once, as they are written, and read like that by everything that follows, so
  /// that gradients are those of the network with rounded activations. Arithmetic, sums, gradients and parameters are fp32. A
  /// value is off by up to 2⁻¹¹ of its size.
  case fp16
}

extension Graph {
  /// The graph with its activations in 16 bits: what the forward pass stores and the backward pass reads, where all that read
  /// it can.
  public func halvingActivations(for device: DeviceTraits) -> Graph {
    var graph = self
    for index in halvable() { graph.halve(ValueID(index: Int32(index))) }
    return graph.copyingIntoHalves(for: device)
  }

  /// The graph with a copy behind each operation that writes in 32 bits alone what is stored in 16.
  public func copyingIntoHalves(for device: DeviceTraits) -> Graph {
    var graph = self
    var written: [Node] = []
    for node in nodes {
      guard let result = node.results.first, self[result].storage == .float16,
        !node.operation.writesHalf(io(node), device)
      else {
        written.append(node)
        continue
      }
      let full = graph.source(self[result].name, shape(result), .arena)
      written.append(
        Node(
          operation: node.operation, inputs: node.inputs, results: [full] + node.results.dropFirst(), updates: node.updates,
          phase: node.phase))
      written.append(Node(operation: Materialize(), inputs: [full], results: [result], updates: [], phase: node.phase))
    }
    return graph.replacing(nodes: written)
  }

  /// Indices of the values to store in 16 bits.
  private func halvable() -> Set<Int> {
    var waiting: Set<Int> = []
    var excluded = Set(kept.map { Int($0.index) })
    for node in nodes {
      excluded.formUnion((node.updates + node.results.dropFirst()).map { Int($0.index) })
      if node.phase != .forward { excluded.formUnion(node.results.map { Int($0.index) }) }
      for (index, input) in node.inputs.enumerated() {
        let activation = Int(activation(input).index)
        // Tables, and gradients, which may be large too.
        excluded.formUnion(stored(input).map { Int($0.index) }.filter { $0 != activation })
        if !node.operation.readsHalf(index) { excluded.insert(activation) }
        if node.phase != .forward { waiting.insert(activation) }
      }
    }
    return waiting.subtracting(excluded).filter {
      if case .arena = values[$0].residence { return true }
      return false
    }
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
