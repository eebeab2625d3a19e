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

/// What an operation may know of the device that it runs on.
public struct DeviceTraits: Sendable {
  public enum Kind: Sendable { case cpuPath, openCL }
  public var kind: Kind
  /// Whose kernels suit it.
  public var deviceClass: DeviceClass
  /// Tiles that were chosen for this device; those of its class where nil.
  public var chosenTiles: TileTable?
  /// What convolutions may round their operands to; see ``arithmetic`` for what they do.
  public var precision = Precision.fp32
  public var matrixUnits = MatrixUnits.none
  /// Whether kernels for NVIDIA's matrix units may use what moves words from and to local memory beside loads and stores, `cp.async` and
  /// `ldmatrix`: unless a probe found them wanting.
  public var matrixMoves = true
  public var name: String
  public var computeUnits: Int
  /// Floats of a vector register: 16, or 8 where the device has narrower ones. Of interest for CPUs alone.
  public var vectorFloats = 16
  /// Local memory of a work-group, bytes.
  public var localBytes: Int
  /// Alignment of a region within a slab, bytes.
  public var alignmentBytes: Int
  /// The largest single allocation, bytes.
  public var maxAllocationBytes: Int
  /// Memory in all, bytes: a hint.
  public var memoryBytes: Int

  package init(
    kind: Kind, deviceClass: DeviceClass = .cpu, name: String, computeUnits: Int, localBytes: Int,
    alignmentBytes: Int, maxAllocationBytes: Int, memoryBytes: Int
  ) {
    self.kind = kind
    self.deviceClass = deviceClass
    self.name = name
    self.computeUnits = computeUnits
    self.localBytes = localBytes
    self.alignmentBytes = alignmentBytes
    self.maxAllocationBytes = maxAllocationBytes
    self.memoryBytes = memoryBytes
  }

  /// The tiles of its convolutions.
  public var tiles: TileTable {
    if let chosenTiles, chosenTiles.deviceClass == deviceClass { return chosenTiles }
    return curatedTiles
  }

  /// Those that it has where nobody tuned them.
  public var curatedTiles: TileTable { TileTable(deviceClass, vectorFloats: vectorFloats) }

  /// Whether inputs are written ahead: a GPU copies them beside its work, and with a CPU's memory nothing would be gained.
  var writesAhead: Bool { deviceClass != .cpu }

  /// What convolutions compute in: fp32 where there are no matrix units that are used, or where those multiply fp32.
  public var arithmetic: Precision { matrixForm?.arithmetic ?? .fp32 }

  /// How they use the matrix units; nil where none are used.
  var matrixForm: MatrixForm? { MatrixForm(matrixUnits, precision, moves: matrixMoves) }
  /// Whether convolutions run on matrix units in the precision that is asked for.
  public var usesMatrixUnits: Bool { matrixForm != nil }

  /// Pieces of work that keep every unit busy until the end, for grids that choose their own size.
  var workItemsWanted: Int { 8 * computeUnits }

  /// The same for the slices of a weight gradient.
  var gradientGroupsWanted: Int { tiles[.gradientSlices] * computeUnits }
}

/// The macro that says how a kernel's tensor is stored, where that is in 16 bits: where not, it is the same program whatever storage there
/// is.
func storedMacro(_ name: String, _ storage: Storage) -> [(name: String, value: Int)] {
  storage == .float32 ? [] : [(name, storage.rawValue)]
}

/// One kernel launch of an OpenCL execution.
public struct Launch: Sendable {
  public enum Argument: Sendable {
    /// An input's data, its view's table, or its view's second operand (the data itself where the view has none).
    case input(Int), table(Int), aux(Int)
    case target(Int)
    case scratch(Int)
    case int(Int)
    case float(Float)
    /// Local memory, bytes.
    case local(Int)
  }

  public var file: String
  public var function: String
  /// Macros, in order.
  public var defines: [(name: String, value: Int)]
  /// In the kernel's order, with the kernel's names: checked where the driver tells the names.
  public var arguments: [(name: String, value: Argument)]
  public var global: [Int]
  public var local: [Int]?

  public init(
    _ file: String, _ function: String, defines: [(name: String, value: Int)] = [],
    arguments: [(name: String, value: Argument)], global: [Int], local: [Int]? = nil
  ) {
    self.file = file
    self.function = function
    self.defines = defines
    self.arguments = arguments
    self.global = global
    self.local = local
  }

  /// Local memory that arguments ask for, bytes.
  package var localBytes: Int {
    arguments.reduce(0) { sum, argument in
      if case .local(let bytes) = argument.value { sum + bytes } else { sum }
    }
  }

  /// The three arguments of an operand that is read through a view.
  static func operand(_ name: String, _ index: Int) -> [(name: String, value: Argument)] {
    [(name, .input(index)), (name + "_table", .table(index)), (name + "_aux", .aux(index))]
  }
}
