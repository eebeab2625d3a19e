/// What a device's kernels are shaped for: few wide vector units, or many narrow work-items that share local memory.
public enum DeviceClass: String, CaseIterable, Sendable {
  case cpu, nvidia, amd, intel
  /// A GPU of another vendor.
  case gpu

  /// Sizes that elementwise kernels and reductions are compiled with; a ``TileTable`` has those of convolutions. Those of
  /// GPUs were not measured.
  struct Tuning: Sendable {
    /// Work-items that share a run of elements: LANES in lanes.clh.
    let lanes: Int
    /// The same for a row of a pooled plane.
    let rowLanes: Int
    /// Elements that an item takes at a time: WIDTH in lanes.clh.
    let width: Int

    /// The runs of `count` elements where each is one SPAN of lanes.clh.
    func spans(_ count: Int) -> [Int] { [(count + lanes * width - 1) / (lanes * width)] }
  }

  var tuning: Tuning {
    switch self {
    case .cpu: Tuning(lanes: 1, rowLanes: 1, width: 16)
    case .nvidia, .amd, .intel, .gpu: Tuning(lanes: 256, rowLanes: 64, width: 4)
    }
  }

  /// What a device must have for the kernels of GPUs.
  static let leastWorkGroup = 256
  static let leastLocalBytes = 32 << 10
}

/// Kernels to run on a device instead of its own: a class's, written `nvidia`; those for its matrix units with the products in plain OpenCL C,
/// written `nvidia-emulated`, `nvidia-warpgroup-emulated`, `amd-emulated`, `amd-wmma-emulated` or `intel-emulated`; and `nvidia-matrix`, NVIDIA's
/// units without `wgmma`, on a GPU that has them.
public struct KernelChoice: Sendable, Equatable, CustomStringConvertible {
  public let deviceClass: DeviceClass
  public let matrixUnits: MatrixUnits

  public init(_ deviceClass: DeviceClass, matrixUnits: MatrixUnits = .none) {
    self.deviceClass = deviceClass
    self.matrixUnits = matrixUnits
  }

  public static let cpu = KernelChoice(.cpu)
  public static let nvidia = KernelChoice(.nvidia)
  public static let gpu = KernelChoice(.gpu)
  public static let emulated = KernelChoice(.nvidia, matrixUnits: .nvidiaEmulated)
  public static let warpgroupEmulated = KernelChoice(.nvidia, matrixUnits: .nvidiaWarpgroupEmulated)
  public static let amdEmulated = KernelChoice(.amd, matrixUnits: .amdEmulated)
  public static let wmmaEmulated = KernelChoice(.amd, matrixUnits: .amdWMMAEmulated)
  public static let intelEmulated = KernelChoice(.intel, matrixUnits: .intelEmulated)
  public static let allEmulated = [emulated, warpgroupEmulated, amdEmulated, wmmaEmulated, intelEmulated]
  static let nvidiaMatrix = KernelChoice(.nvidia, matrixUnits: .nvidia)
  static let warpgroup = KernelChoice(.nvidia, matrixUnits: .nvidiaWarpgroup)
  /// With a vendor's own matrix units: for a probe, which asks for `warpgroup` besides, and for lists of kernels.
  static let matrix = [
    nvidiaMatrix, KernelChoice(.amd, matrixUnits: .amd), KernelChoice(.amd, matrixUnits: .amdWMMA),
    KernelChoice(.intel, matrixUnits: .intel),
  ]
  /// What a list of kernels may be for.
  package static let listed = matrix + [warpgroup] + all

  /// Nil where the words name none.
  public init?(_ words: String) {
    guard let choice = Self.selectable.first(where: { $0.description == words }) else { return nil }
    self = choice
  }

  /// What a user may ask for.
  static let selectable = all + [nvidiaMatrix]

  /// Those that run on every device.
  public static let all = DeviceClass.allCases.map { KernelChoice($0) } + allEmulated
  public var description: String {
    let units =
      switch matrixUnits {
      case .none: ""
      case .nvidia, .amd, .intel: "-matrix"
      case .amdWMMA: "-wmma"
      case .amdWMMAEmulated: "-wmma-emulated"
      case .nvidiaWarpgroup: "-warpgroup"
      case .nvidiaWarpgroupEmulated: "-warpgroup-emulated"
      case .nvidiaEmulated, .amdEmulated, .intelEmulated: "-emulated"
      }
    return deviceClass.rawValue + units
  }
}
