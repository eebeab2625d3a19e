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
  /// What of it a kernel's arguments take at most, bytes: NVIDIA's driver keeps some for itself and does not say how much.
  var argumentBytes: Int { localBytes - Self.keptLocalBytes }
  static let keptLocalBytes = 64
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
