/// How activations are stored in a training step.
public enum ActivationStorage: String, Sendable, CaseIterable {
  /// As they are computed.
  case fp32
  /// Activations in IEEE half precision: rounded once, as they are written, and read like that by everything that follows, so
  /// that gradients are those of the network with rounded activations. Arithmetic, sums and parameters are fp32. A value is off by
  /// up to 2⁻¹¹ of its size.
  case fp16
}

/// How gradients with respect to activations are stored in a training step; those of parameters are fp32.
public enum GradientStorage: String, Sendable, CaseIterable {
  /// As they are computed.
  case fp32
  /// Gradients in bfloat16: rounded as they are written, and once more where a skip connection adds to one. Their range is fp32's, so
  /// the loss needs no scaling. Arithmetic, sums and the gradients of parameters are fp32. A value is off by up to 2⁻⁸ of its size,
  /// without a bias.
  case bf16
}

extension Graph {
  /// The graph with activations, what the forward pass stores and the backward pass reads, and gradients stored like that, where all that
  /// read and write them can.
  public func storing(_ activations: ActivationStorage, _ gradients: GradientStorage, for device: DeviceTraits) -> Graph {
    var graph = self
    if activations == .fp16 {
      for value in activationsToHalve() { graph.store(value, as: .float16) }
    }
    if gradients == .bf16 {
      for value in gradientsToHalve(for: device) { graph.store(value, as: .bfloat16) }
    }
    return graph.copyingInto16Bits(for: device)
  }

  /// The graph with a copy behind each operation that writes in 32 bits alone what is stored in 16.
  ///
  /// - Precondition: what an operation reads in 16 bits, it can.
  public func copyingInto16Bits(for device: DeviceTraits) -> Graph {
    var graph = self
    var written: [Node] = []
    for node in nodes {
      for (index, input) in node.inputs.enumerated() {
        precondition(
          node.operation.reads16Bits(index) || stored(input).allSatisfy { self[$0].storage == .float32 },
          "\(type(of: node.operation).name) cannot read \(self[input].name) in 16 bits")
      }
      guard let result = node.results.first, self[result].storage != .float32,
        !node.operation.writes16Bits(0, io(node), device)
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

  /// Activations that wait for the backward pass.
  private func activationsToHalve() -> Set<ValueID> {
    var waiting: Set<ValueID> = []
    var excluded = kept
    for node in nodes {
      excluded.formUnion(node.updates + node.results.dropFirst())
      if node.phase != .forward { excluded.formUnion(node.results) }
      for (index, input) in node.inputs.enumerated() {
        let (data, aux) = tensors(input)
        let activation = aux ?? data
        // Tables, and gradients, which may be large too.
        excluded.formUnion(stored(input).filter { $0 != activation })
        if !node.operation.reads16Bits(index) { excluded.insert(activation) }
        if node.phase != .forward { waiting.insert(activation) }
      }
    }
    return waiting.subtracting(excluded).filter { self[$0].residence.isArena }
  }

  /// Gradients with respect to activations that every node can read, and add to, in 16 bits.
  private func gradientsToHalve(for device: DeviceTraits) -> Set<ValueID> {
    var excluded = kept
    for node in nodes {
      for (index, target) in node.targets.enumerated() where target != node.results.first && gradients[target] != nil {
        if !node.operation.writes16Bits(index, io(node), device) { excluded.insert(target) }
      }
      for (index, input) in node.inputs.enumerated() {
        let data = tensors(input).data
        if !node.operation.reads16Bits(index) { excluded.formUnion(stored(input)) }
        // Kernels have no name for one beside another.
        excluded.formUnion(stored(input).filter { $0 != data })
      }
    }
    // What the loss says of the network's results is a plane or a few, and all else follows from it: it stays exact.
    return Set(gradients.filter { !kept.contains($0.value) }.keys).subtracting(excluded)
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
