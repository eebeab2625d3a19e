/// Mathematics: a shape rule, a gradient rule and two executions. All that is known of an operation is in its folder.
public protocol Operation: Sendable {
  /// The name used in plans, reports and errors, such as "convolution".
  static var name: String { get }

  /// Whether inputs may be views; an operation that cannot read one must not be given one.
  static var readsViews: Bool { get }

  /// Whether an input's tensors may be in 16 bits: activations and gradients, not tables.
  func reads16Bits(_ input: Int) -> Bool

  /// Whether a target may be in 16 bits: written or added to as it is. A node's first result that may not is written in 32 and copied.
  func writes16Bits(_ target: Int, _ io: NodeIO, _ device: DeviceTraits) -> Bool

  /// Shapes of the results; the only place that checks the inputs' shapes.
  func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape]

  /// Appends the nodes that compute the gradients of the node's inputs from those of its results.
  func differentiate(_ node: Node, _ tape: inout Differentiation) throws(EngineError)

  /// Floating-point operations and the least bytes that must move, for benchmarks and reports.
  func cost(_ io: NodeIO) -> Cost

  /// Bytes of scratch memory that a run needs, one entry a region.
  func scratchBytes(_ io: NodeIO, _ device: DeviceTraits) -> [Int]

  /// The CPU path.
  func runOnCPU(_ context: CPUContext)

  /// The launches in order.
  func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch]
}

extension Operation {
  public static var readsViews: Bool { false }
  public func reads16Bits(_ input: Int) -> Bool { false }
  public func writes16Bits(_ target: Int, _ io: NodeIO, _ device: DeviceTraits) -> Bool { false }
  public func differentiate(_ node: Node, _ tape: inout Differentiation) throws(EngineError) {
    throw .unsupported(operation: Self.name, problem: "has no gradient rule")
  }
  public func scratchBytes(_ io: NodeIO, _ device: DeviceTraits) -> [Int] { [] }
}

/// Work of one run.
public struct Cost: Sendable {
  public var flops: Int
  public var bytes: Int
  public init(flops: Int, bytes: Int) {
    self.flops = flops
    self.bytes = bytes
  }
}

/// Shapes and views of a node's operands: all that a launch description may depend on beside the device.
public struct NodeIO: Sendable {
  /// In order: what the node reads.
  public let inputs: [Shape]
  public let readings: [Reading]
  /// What it writes: new values first, then those that it updates in place.
  public let targets: [Shape]
  let targetStorage: [Storage]

  /// Bytes of every input and target, once.
  var byteCount: Int {
    zip(inputs, readings).reduce(0) { $0 + $1.0.count * $1.1.bytesPerElement }
      + targets.indices.reduce(0) { $0 + targetBytes($1) }
  }

  /// Bytes of a target.
  func targetBytes(_ target: Int) -> Int { targets[target].count * targetStorage[target].bytesPerElement }
}
