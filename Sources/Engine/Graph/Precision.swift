/// How exactly convolutions multiply: a bound on the error that their operands may be rounded with. Everything else, and every
/// sum, is fp32 throughout.
///
/// It is a permission: a device without matrix units that glomseg uses computes in fp32 whatever is asked.
public enum Precision: String, CaseIterable, Sendable {
  /// As fp32 multiplies: fused multiply-adds, or three TF32 products for one on matrix units.
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

  /// Macros of matrix.clh: the numbers that operands are rounded to, and how many of them one is.
  var defines: [(name: String, value: Int)] { [("ELEMENT", usesBF16 ? 1 : 0), ("PARTS", parts)] }
  var parts: Int { self == .fp32 || self == .fp32Fast ? 2 : 1 }
  /// Numbers of one operand in a word of 32 bits, so elements of a sum: VALUES in matrix.clh.
  var wordValues: Int { usesBF16 ? 2 : 1 }
  private var usesBF16: Bool { self == .fp32Fast || self == .bf16 }
}

/// The door to a device's matrix units: MATRIX in matrix.clh.
public enum MatrixUnits: Int, Sendable {
  /// No door, or none that is used: other kernels.
  case none = -1
  /// The kernels for matrix units with products in plain OpenCL C: slow, for verification on any device.
  case emulated = 0
  /// NVIDIA's `mma.sync`, after a probe found it to work.
  case nvidia = 1
}
