import Randomness

/// A size that a convolution's kernels are compiled or launched with, and that `glomseg tune` may change. None of them
/// changes what is computed; some change the order of its sums.
public enum TileSize: String, CaseIterable, Sendable {
  // Kernels of class cpu: forward and input gradient.

  /// Rows of a tile; planes of at most 32 columns have tiles of twice as many.
  case tileHeight = "tile_height"
  /// Input channels staged at a time.
  case tileChunk = "tile_chunk"
  /// Most local memory of a direct tile, KiB; no more than half of the device's.
  case tileKiB = "tile_kib"
  /// What vector registers are taken to be, so how many sums an item keeps in them: 32 of 16 floats (AVX-512), or 16 of 8 (AVX2).
  case vectorFloats = "vector_floats"
  /// Work-items wanted a compute unit, before output channels are divided among items as well.
  case tileItems = "tile_items"
  /// Winograd's form is taken where it needs less than this percentage of the direct form's operations; 0: never.
  case winogradPercent = "winograd_percent"
  /// As `tile_height`; half as many rows with more than 32 channels.
  case winogradHeight = "winograd_height"
  /// Most bytes of transformed input that are staged at a time, KiB.
  case winogradKiB = "winograd_kib"
  /// Output channels whose products wait for the inverse transform; 32 where local memory is below 512 KiB.
  case winogradSums = "winograd_sums"

  // Kernels of class cpu: weight gradient.

  /// As `vector_floats`.
  case gradientVectorFloats = "gradient_vector_floats"
  /// Most output channels staged at a time.
  case gradientGroup = "gradient_group"
  /// Rows of a direct tile; 4 where they do not fit.
  case gradientHeight = "gradient_height"
  /// Most input channels that the direct form stages at a time.
  case gradientChunk = "gradient_chunk"
  /// As `winograd_percent`.
  case gradientWinogradPercent = "gradient_winograd_percent"
  /// Most squares of a tile of Winograd's form.
  case gradientSquares = "gradient_squares"

  // Kernels of GPUs: forward and input gradient.

  /// Output channels that an item keeps in registers, for 8 pixels each.
  case itemChannels = "item_channels"
  /// Most output channels of a work-group.
  case groupChannels = "group_channels"
  /// Columns of a tile of at most 32 segments of eight; a tile of more has twice as many.
  case groupWidth = "group_width"
  /// Most input channels staged at a time.
  case groupChunk = "group_chunk"
  /// Most local memory of a work-group, KiB.
  case groupKiB = "group_kib"

  // Kernels for matrix units: forward and input gradient.

  /// Most output channels of a work-group.
  case matrixChannels = "matrix_channels"
  /// Most rows of a warp: as many as its sums have registers for.
  case matrixRows = "matrix_rows"
  /// Most local memory for a patch of several steps, KiB; one step may need more.
  case matrixKiB = "matrix_kib"
  /// Elements that an item asks for before it uses the first.
  case matrixLoads = "matrix_loads"
  /// 1: the next step's elements are copied into local memory while this one's are multiplied, where that fits; 0: they are read when
  /// their turn comes. Of NVIDIA's class alone.
  case matrixAhead = "matrix_ahead"
  /// 1: four warps multiply together, by `wgmma`, where the device can and operands are of one part, a tile of 8 rows, or 16 where
  /// `matrix_rows` is 16; 0: each by itself. Of NVIDIA's class alone.
  case matrixWarpgroup = "matrix_warpgroup"

  // Kernels for matrix units: weight gradient.

  case gradientMatrixChannels = "gradient_matrix_channels"
  /// Most rows of a tile of 16 columns.
  case gradientMatrixRows = "gradient_matrix_rows"
  /// As `matrix_loads`; two thirds of it where operands are of two parts.
  case gradientMatrixLoads = "gradient_matrix_loads"

  // Kernels of GPUs: weight gradient.

  case gradientItemChannels = "gradient_item_channels"
  case gradientGroupChannels = "gradient_group_channels"
  /// Most items of a work-group.
  case gradientItems = "gradient_items"
  /// Most rows of a tile of 16 columns.
  case gradientRows = "gradient_rows"
  case gradientKiB = "gradient_kib"

  // All kernels.

  /// Work-groups of the weight gradient wanted a compute unit: into as many slices its pixels are divided.
  case gradientSlices = "gradient_slices"

  /// In the order of a search that may not come to its end: what compiles nothing, or may change most, first.
  public static let searched: [TileSize] = {
    let first: [TileSize] = [.matrixWarpgroup, .matrixAhead, .gradientSlices]
    return first + allCases.filter { !first.contains($0) }
  }()

  /// What the size is of.
  public enum Family: String, CaseIterable, Sendable {
    /// Forward, input gradient, transposed convolution.
    case convolution
    case weightGradient = "weight gradient"
  }

  public var family: Family { rawValue.hasPrefix("gradient_") ? .weightGradient : .convolution }

  /// Values that the kernels can take, in ascending order; empty where the class has no such size.
  public func candidates(_ deviceClass: DeviceClass) -> [Int] {
    if self == .gradientSlices { return [2, 4, 8, 16, 32] }
    guard deviceClass == .cpu else {
      switch self {
      case .itemChannels, .gradientItemChannels: return [4, 8]
      case .groupChannels: return [16, 32, 64, 128]
      case .groupWidth: return [8, 16, 32]
      case .groupChunk: return [2, 4, 8, 16]
      case .groupKiB, .gradientKiB: return [16, 24, 32, 40, 48]
      case .gradientGroupChannels: return [16, 32, 64]
      case .gradientItems: return [64, 128, 256]
      case .gradientRows, .gradientMatrixRows: return [2, 4, 8]
      // 16 are 242 to 255 registers on NVIDIA's.
      case .matrixRows: return deviceClass == .nvidia ? [2, 4, 8, 16] : [2, 4, 8]
      case .matrixChannels: return [32, 64, 128]
      case .gradientMatrixChannels: return [16, 32, 64]
      case .matrixKiB: return [8, 16, 32]
      case .matrixAhead, .matrixWarpgroup: return deviceClass == .nvidia ? [0, 1] : []
      case .matrixLoads, .gradientMatrixLoads: return [8, 16, 24, 32]
      default: return []
      }
    }
    switch self {
    case .vectorFloats, .gradientVectorFloats: return [8, 16]
    case .tileHeight: return [4, 8, 16]
    case .tileChunk: return [8, 16, 32, 64]
    case .tileKiB: return [96, 192, 384]
    case .tileItems: return [2, 4, 8, 16]
    case .winogradPercent, .gradientWinogradPercent: return [0, 70, 90, 110]
    case .winogradHeight: return [4, 8, 16]
    case .winogradKiB: return [128, 256, 384, 512]
    case .winogradSums: return [16, 32, 64]
    case .gradientGroup: return [16, 32, 64]
    case .gradientHeight: return [8, 16]
    case .gradientChunk: return [8, 16, 32]
    case .gradientSquares: return [64, 128]
    default: return []
    }
  }
}

/// The tiles of a device's convolutions: those of its class, or what `glomseg tune` found. One table serves all shapes.
///
/// Its description can be read back.
public struct TileTable: Sendable, Equatable, LosslessStringConvertible {
  public let deviceClass: DeviceClass
  private var values: [TileSize: Int]

  /// What every device of a class starts with, by what its vectors hold where it is a CPU. Those of `cpu` were measured on PoCL (docs/performance.md); those of GPUs come
  /// from their vendors' descriptions of registers and local memory: NVIDIA's OpenCL gives 48 KiB a work-group, and 32 let
  /// several groups share a unit's.
  ///
  /// - Parameter vectorFloats: as ``DeviceTraits/vectorFloats``.
  public init(_ deviceClass: DeviceClass, vectorFloats: Int = 16) {
    self.deviceClass = deviceClass
    values = Self.curated[deviceClass] ?? [:]
    if deviceClass == .cpu, vectorFloats < 16 { values.merge(Self.narrow) { $1 } }
  }

  /// Where registers are of 8 floats second-level caches are smaller, too.
  private static let narrow: [TileSize: Int] = [.vectorFloats: 8, .gradientVectorFloats: 8, .gradientSquares: 64]

  private static let curated = Dictionary(uniqueKeysWithValues: DeviceClass.allCases.map { ($0, sizes($0)) })

  private static func sizes(_ deviceClass: DeviceClass) -> [TileSize: Int] {
    switch deviceClass {
    case .cpu:
      [
        .vectorFloats: 16, .gradientVectorFloats: 16, .tileHeight: 8, .tileChunk: 32, .tileKiB: 192, .tileItems: 4,
        .winogradPercent: 90, .winogradHeight: 8,
        .winogradKiB: 256, .winogradSums: 64, .gradientGroup: 64, .gradientHeight: 16, .gradientChunk: 16,
        .gradientWinogradPercent: 90, .gradientSquares: 128, .gradientSlices: 8,
      ]
    // 64 sums and their operands are about 110 registers of the 255 that an item can have.
    case .nvidia: gpu(itemChannels: 8).merging([.matrixAhead: 1, .matrixWarpgroup: 1]) { $1 }
    case .amd: gpu(itemChannels: 8)
    // An Intel thread's registers hold 64 floats for each of 16 items, so 32 sums.
    case .intel, .gpu: gpu(itemChannels: 4)
    }
  }

  private static func gpu(itemChannels: Int) -> [TileSize: Int] {
    [
      .itemChannels: itemChannels, .groupChannels: 64, .groupWidth: 16, .groupChunk: 8, .groupKiB: 32,
      .gradientItemChannels: itemChannels, .gradientGroupChannels: 64, .gradientItems: 128, .gradientRows: 4,
      .gradientKiB: 32, .gradientSlices: 8, .matrixChannels: 64, .matrixRows: 8, .matrixKiB: 16, .matrixLoads: 16,
      .gradientMatrixChannels: 64, .gradientMatrixRows: 4, .gradientMatrixLoads: 24,
    ]
  }

  /// The class's table with these sizes; nil unless they are exactly its sizes, each one of its candidates.
  public init?(_ deviceClass: DeviceClass, sizes: [String: Int]) {
    self.init(deviceClass)
    guard sizes.count == values.count else { return nil }
    for (name, value) in sizes {
      guard let size = TileSize(rawValue: name), size.candidates(deviceClass).contains(value) else { return nil }
      values[size] = value
    }
  }

  /// "cpu: gradient_chunk 16, gradient_group 64, …"; nil for sizes that these kernels cannot take, as of another version.
  public init?(_ description: String) {
    let parts = description.split(separator: ": ")
    guard parts.count == 2, let deviceClass = DeviceClass(rawValue: String(parts[0])) else { return nil }
    var sizes: [String: Int] = [:]
    for part in parts[1].split(separator: ", ") {
      let words = part.split(separator: " ")
      guard words.count == 2, let value = Int(words[1]) else { return nil }
      sizes[String(words[0])] = value
    }
    self.init(deviceClass, sizes: sizes)
  }

  public var description: String {
    "\(deviceClass.rawValue): " + sizes.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
  }

  /// By name, as in files.
  public var sizes: [String: Int] { Dictionary(uniqueKeysWithValues: values.map { ($0.key.rawValue, $0.value) }) }

  /// A size that the class has.
  public subscript(_ size: TileSize) -> Int {
    get {
      guard let value = values[size] else { preconditionFailure("kernels of class \(deviceClass) have no \(size.rawValue)") }
      return value
    }
    set {
      precondition(size.candidates(deviceClass).contains(newValue), "\(size.rawValue) cannot be \(newValue)")
      values[size] = newValue
    }
  }

  /// A size; nil where the class has none of the name.
  public subscript(ifPresent size: TileSize) -> Int? { values[size] }

  /// The class and a hash of the sizes: "cpu 5f3c09a1". Two devices with the same table have the same.
  public var fingerprint: String {
    let digits = String(StableHash(description.utf8).value >> 32, radix: 16)
    return "\(deviceClass.rawValue) " + String(repeating: "0", count: 8 - digits.count) + digits
  }
}
