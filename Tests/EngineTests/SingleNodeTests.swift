import Engine
import Testing

/// A node taken out of its graph does the same work.
@Suite struct SingleNodeTests {
  private func step() throws -> Graph {
    try TrainingGraph(VariableUNet(base: 4), batch: 2, height: 32, width: 32).graph
  }

  @Test func hasTheSameShapesViewsAndCost() throws {
    let graph = try step()
    for node in graph.nodes {
      let single = SingleNode(node, of: graph)
      #expect(single.graph.nodes.count == 1)
      let copy = single.graph.nodes[0]
      let (a, b) = (graph.io(node), single.graph.io(copy))
      #expect(a.inputs == b.inputs && a.readings == b.readings && a.targets == b.targets)
      #expect(node.operation.cost(a).flops == copy.operation.cost(b).flops)
      #expect(copy.results.count == node.results.count && copy.updates.count == node.updates.count)
      // What it reads is what is to be written before it runs, and nothing twice.
      #expect(Set(single.inputs).count == single.inputs.count && single.inputs.count >= Set(node.inputs).count)
    }
  }

  @Test func signaturesTellWorkApart() throws {
    let graph = try step()
    let signatures = graph.nodes.map { SingleNode($0, of: graph).signature }
    // Four levels of pooling at four shapes; each batch norm of a double convolution has the shape of the other's.
    let pools = zip(graph.nodes, signatures).filter { type(of: $0.0.operation).name == MaxPool.name }.map(\.1)
    #expect(pools.count == 4 && Set(pools).count == 4)
    #expect(Set(signatures).count < signatures.count)
  }

  /// Every node of a step, alone, on the CPU path and on OpenCL: nothing fails and nothing is left unwritten.
  @Test func runsAlone() throws {
    let graph = try step()
    for backend in try DeviceSelection.all() {
      for node in graph.nodes {
        let single = SingleNode(node, of: graph, evicting: 1 << 10)
        let plan = try Plan(single.graph, layout: StateLayout(), for: backend.traits)
        let executable = try backend.load(plan, state: backend.makeState(StateLayout(), slabs: []))
        let node = single.graph.nodes[1]
        for result in node.results {
          try executable.write([Float](repeating: .nan, count: single.graph.shape(result).count), to: result)
        }
        for input in single.inputs {
          try executable.write([Float](repeating: 0.25, count: single.graph.shape(input).count), to: input)
        }
        try executable.runAll()
        for target in node.targets {
          #expect(try executable.read(target).allSatisfy { $0.isFinite }, "\(type(of: node.operation).name)")
        }
      }
    }
  }
}
