public import Engine

/// An operation at a shape that occurs in the model's training step, alone on a device.
public struct OperationBenchmark: Sendable {
  /// As the operation calls itself.
  public let operation: String
  /// The first value that it computes, such as "enc1.double_conv.0".
  public let value: String
  /// What it reads and writes, with the views that it reads through.
  public let shapes: String
  public let cost: Cost
  /// How often a step runs it.
  public private(set) var occurrences = 1
  private let node: SingleNode
  /// Beyond the caches of common devices: 128 MiB.
  private static let cacheElements = 1 << 25

  /// The distinct operations of a step, in the order in which it runs them: taken from the training graph's own nodes.
  public static func all(patch: Int, base: Int, batch: Int) throws(EngineError) -> [OperationBenchmark] {
    let graph = try TrainingGraph(VariableUNet(base: base), batch: batch, height: patch, width: patch).graph
    var found: [OperationBenchmark] = []
    var known: [String: Int] = [:]
    for node in graph.nodes {
      let single = SingleNode(node, of: graph, evicting: cacheElements)
      if let index = known[single.signature] {
        found[index].occurrences += 1
      } else {
        known[single.signature] = found.count
        found.append(OperationBenchmark(node, single, graph))
      }
    }
    return found
  }

  private init(_ node: Node, _ single: SingleNode, _ graph: Graph) {
    let io = graph.io(node)
    operation = type(of: node.operation).name
    value = node.targets.first.map { graph[$0].name } ?? ""
    let inputs = zip(io.inputs, io.readings).map { shape, reading in
      reading.view == .plain ? "\(shape)" : "\(shape):\(reading.view)"
    }
    shapes = inputs.joined(separator: " ") + " -> " + io.targets.map { "\($0)" }.joined(separator: " ")
    cost = node.operation.cost(io)
    self.node = single
  }

  /// Runs it with its operands in memory, not in a cache, up to `runs` times while `seconds` last, at least three times, after once to warm up.
  ///
  /// - Throws: `.memory` where the device can't hold its operands.
  public func measure(on backend: any Backend, runs: Int, seconds: Double) throws(EngineError) -> Timing {
    let runner = try GraphRunner(
      node.graph, inputs: node.inputs, on: backend, purpose: "the operation \(operation) \(shapes) on \(backend.name)")
    return try runner.time(runs: runs, seconds: seconds)
  }
}
