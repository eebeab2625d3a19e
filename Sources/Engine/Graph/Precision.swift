/// How exactly convolutions multiply: a bound on the error that their operands may be rounded with. Everything else, and every
/// sum, is fp32 throughout.
///
/// It is a permission: a device without matrix units that glomseg uses computes in fp32 whatever is asked.
public enum Precision: String, CaseIterable, Sendable {
  /// As fp32 multiplies: fused multiply-adds, or on matrix units fp32 products or three TF32 products for one.
  case fp32
  /// Three bf16 products for one: operands keep 16 bits of 24.
  case fp32Fast = "fp32-fast"
  /// Operands rounded to 11 bits, as PyTorch does by default on NVIDIA's GPUs.
  case tf32
  /// Operands rounded to 8 bits.
  case bf16

  /// The unit roundoff of an operand: what remains of one is at most this part of it.
  public var unitRoundoff: Double {
    switch self {
    case .fp32: 0x1p-24
    case .fp32Fast: 0x1p-16
    case .tf32: 0x1p-11
    case .bf16: 0x1p-8
    }
  }
}

/// Which matrix units a device has, and by which instructions kernels reach them; emulated ones are slow, for verification on any device.
public enum MatrixUnits: Int, CaseIterable, Sendable {
  /// None, or none that is used: other kernels.
  case none = 0
  /// NVIDIA's `mma.sync`, after a probe found it to work.
  case nvidia = 1
  /// AMD's `mfma` (CDNA), the same.
  case amd = 2
  /// Intel's sub-group matrix extension, the same.
  case intel = 3
  /// AMD's `wmma` (RDNA 3), the same: for bf16 alone.
  case amdWMMA = 4
  /// NVIDIA's `wgmma` beside `mma.sync`, the same: for convolutions to many channels.
  case nvidiaWarpgroup = 5
  case nvidiaEmulated = 11
  case amdEmulated = 12
  case intelEmulated = 13
  case amdWMMAEmulated = 14
  case nvidiaWarpgroupEmulated = 15

  /// Whose fragments: LAYOUT in matrix.clh. 0 where there are none.
  var layout: Int { hasWarpgroups ? Self.nvidia.rawValue : rawValue % 10 }
  /// Whether four units may multiply together: WARPGROUP in matrix.clh.
  var hasWarpgroups: Bool { rawValue % 10 == Self.nvidiaWarpgroup.rawValue }
  public var isEmulated: Bool { rawValue > 10 }
}

/// How convolutions use a device's matrix units: the macros of matrix.clh, and what follows from them.
struct MatrixForm: Sendable {
  let units: MatrixUnits
  /// What an operand's numbers are rounded to: ELEMENT. And how many of them it is: PARTS.
  private let element: Int
  let parts: Int
  /// What that amounts to: AMD's units multiply fp32 as it is, so no TF32 is needed.
  let arithmetic: Precision
  /// Whether `copy_word` of matrix.clh goes on beside computing, and `LDMATRIX` loads fragments: ``DeviceTraits/matrixMoves``. Three
  /// products for one take three times as long, which other groups' loads are hidden behind; and the addresses are registers more than
  /// two parts leave.
  let moves: Bool

  /// Output channels of a fragment, and words of a step.
  static let channels = 16
  static let stepWords = 8

  /// Nil for units that are not used, or not in this precision: `wmma` has neither fp32 nor TF32, and bf16 at twice the rate of its
  /// GPUs' fp32 at most, so that three products for one would gain nothing.
  init?(_ units: MatrixUnits, _ precision: Precision, moves: Bool = true) {
    guard units != .none, units.layout != MatrixUnits.amdWMMA.layout || precision == .bf16 else { return nil }
    self.units = units
    arithmetic = units.layout == MatrixUnits.amd.layout && precision == .tf32 ? .fp32 : precision
    switch arithmetic {
    case .bf16: (element, parts) = (1, 1)
    case .fp32Fast: (element, parts) = (1, 2)
    case .tf32: (element, parts) = (0, 1)
    case .fp32: (element, parts) = units.layout == MatrixUnits.amd.layout ? (2, 1) : (0, 2)
    }
    self.moves = moves && parts == 1 && units.layout == MatrixUnits.nvidia.layout
  }

  /// Whether four units can multiply together.
  var multipliesTogether: Bool { units.hasWarpgroups }

  /// Work-items that share a fragment, and pixels (or input channels) of one.
  var lanes: Int { [32, 64, 16, 32][units.layout - 1] }
  var columns: Int { [8, 16, 16, 16][units.layout - 1] }
  /// Fragments of sums that an item has registers for: Intel's are of 16 numbers, `wmma`'s of 8, the others' of 4.
  var sums: Int { [36, 36, parts == 1 ? 4 : 2, 18][units.layout - 1] }
  /// The same where the fragments of several rows are held beside them. `wmma`'s: with 16 of them gfx1100's 256 registers spill, by
  /// clang 19; 8 are rows that divide planes. NVIDIA's of two parts: 16, by ptxas.
  var tileSums: Int {
    switch units.layout {
    case MatrixUnits.amdWMMA.layout: 8
    case MatrixUnits.nvidia.layout: parts == 2 ? 16 : sums
    default: sums
    }
  }
  /// Work-items of a group, four units'.
  var items: Int { 4 * lanes }
  /// Numbers of one operand in a word of 32 bits, so elements of a sum.
  var wordValues: Int { element == 1 ? 2 : 1 }

  /// Lanes that pack `fragments` of weights, and the bytes of one's in each part.
  func packingItems(_ fragments: Int) -> Int { fragments * lanes }
  /// `wmma` wants each row in two lanes.
  var packedBytes: Int { Self.channels * Self.stepWords * 4 * (units.layout == MatrixUnits.amdWMMA.layout ? 2 : 1) / lanes }

  var defines: [(name: String, value: Int)] {
    [("MATRIX", units.isEmulated ? 0 : units.layout), ("LAYOUT", units.layout), ("ELEMENT", element), ("PARTS", parts)]
  }
}
