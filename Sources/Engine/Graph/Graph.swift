/// The part of a step that a node belongs to.
public enum Phase: Int, CaseIterable, Sendable {
  case forward, backward, update
}

/// One application of an operation.
public struct Node: Sendable {
  public let operation: any Operation
  public let inputs: [ValueID]
  /// New values.
  public let results: [ValueID]
  /// Values changed in place: running statistics, parameters, gradients added to.
  public let updates: [ValueID]
  public let phase: Phase
  /// Whether the node computes again what another node computed before.
  public var recomputes = false

  /// What the node writes, in the order that operations count them.
  public var targets: [ValueID] { results + updates }
}

/// A static, append-only graph: values, and nodes in the order in which they run.
public struct Graph: Sendable {
  public private(set) var values: [ValueInfo] = []
  public private(set) var nodes: [Node] = []
  /// The phase of the nodes added from now on.
  public var phase: Phase = .forward
  /// Values that must be readable after the step.
  public private(set) var kept: Set<ValueID> = []
  /// Inputs whose next values the host may write while the device still runs a step, in order.
  public private(set) var ahead: [ValueID] = []
  /// Gradients with respect to activations, all that a differentiation stored, and of what.
  package private(set) var gradients: [ValueID: ValueID] = [:]
  /// The view that a node offers of its results, such as a batch norm's normalised output.
  private(set) var viewProducers: [ValueID: Int] = [:]

  public init() {}

  public subscript(value: ValueID) -> ValueInfo { values[Int(value.index)] }
  public func shape(_ value: ValueID) -> Shape { self[value].shape }

  /// A value without a producer: written by the host, or persistent.
  public mutating func source(
    _ name: String, _ shape: Shape, _ residence: Residence, storage: Storage = .float32, needsGradient: Bool = false
  ) -> ValueID {
    append(
      ValueInfo(
        shape: shape, name: name, residence: residence, storage: storage,
        needsGradient: needsGradient))
  }

  /// An arena value that some node will write.
  mutating func arena(_ name: String, _ shape: Shape, needsGradient: Bool) -> ValueID {
    source(name, shape, .arena, needsGradient: needsGradient)
  }

  /// An arena value for the gradient with respect to a value.
  mutating func gradient(of value: ValueID) -> ValueID {
    let gradient = arena("gradient of \(self[value].name)", shape(value), needsGradient: false)
    gradients[gradient] = value
    return gradient
  }

  /// A view; `producer` is the index of the node whose gradient rule turns its gradient into that of what it shows.
  mutating func view(_ name: String, _ view: View, shape: Shape, needsGradient: Bool, producer: Int? = nil) -> ValueID {
    let value = source(name, shape, .view(view), needsGradient: needsGradient)
    if let producer { viewProducers[value] = producer }
    return value
  }

  /// Lets the host write an input's next values while the device runs, where that gains anything: in a second buffer.
  public mutating func writeAhead(_ input: ValueID) { ahead.append(input) }

  /// Keeps a value readable until the next step.
  public mutating func keep(_ value: ValueID) { kept.insert(value) }

  /// Appends a node and returns its new results.
  ///
  /// - Throws: `.shape` from the operation's shape rule; `.unsupported` for a view given to an operation that reads none.
  @discardableResult
  public mutating func apply(
    _ operation: some Operation, _ inputs: [ValueID], updates: [ValueID] = [], named name: String? = nil,
    differentiable: Bool = true
  ) throws(EngineError) -> [ValueID] {
    if !type(of: operation).readsViews, let view = inputs.first(where: { mode($0) != .plain }) {
      throw .unsupported(
        operation: type(of: operation).name, problem: "cannot read the view \(self[view].name): materialize it first")
    }
    let shapes = try operation.resultShapes(inputs.map { shape($0) })
    let needsGradient = differentiable && inputs.contains { self[$0].needsGradient }
    let label = name ?? type(of: operation).name
    let results = shapes.enumerated().map { index, shape in
      arena(shapes.count == 1 ? label : "\(label).\(index)", shape, needsGradient: needsGradient)
    }
    add(operation, inputs, results: results, updates: updates)
    return results
  }

  /// Appends a node whose results exist already.
  mutating func add(_ operation: some Operation, _ inputs: [ValueID], results: [ValueID], updates: [ValueID] = []) {
    nodes.append(Node(operation: operation, inputs: inputs, results: results, updates: updates, phase: phase))
  }

  /// Stores a value in 16 bits; all that read it or add to it have to be able to.
  public mutating func store(_ value: ValueID, as storage: Storage) { values[Int(value.index)].storage = storage }

  /// The same values under other nodes.
  func replacing(nodes: [Node]) -> Graph {
    var graph = self
    graph.nodes = nodes
    // The views' producers are indices into the nodes that were; only differentiation asks for them, and it is done.
    graph.viewProducers = [:]
    return graph
  }

  /// The stored values behind a value: itself, or what its view shows.
  package func stored(_ value: ValueID) -> [ValueID] {
    if case .view(let view) = self[value].residence { return view.values }
    return [value]
  }

  func mode(_ value: ValueID) -> ViewMode {
    if case .view(let view) = self[value].residence { return view.mode }
    return .plain
  }

  /// The tensors in a value: itself, or what its view shows, and the activation beside a gradient.
  func tensors(_ value: ValueID) -> (data: ValueID, aux: ValueID?) {
    switch self[value].residence {
    case .view(.normalized(let z, _, _)): (z, nil)
    case .view(.normalizedGradient(let gradient, let z, _, _)): (gradient, z)
    default: (value, nil)
    }
  }

  func reading(_ value: ValueID) -> Reading {
    let (data, aux) = tensors(value)
    return Reading(view: mode(value), data: self[data].storage, aux: aux.map { self[$0].storage } ?? .float32)
  }

  /// Shapes and views of a node's operands.
  public func io(_ node: Node) -> NodeIO {
    NodeIO(
      inputs: node.inputs.map { shape($0) }, readings: node.inputs.map { reading($0) },
      targets: node.targets.map { shape($0) }, targetStorage: node.targets.map { self[$0].storage })
  }

  private mutating func append(_ info: ValueInfo) -> ValueID {
    values.append(info)
    return ValueID(index: Int32(values.count - 1))
  }
}
