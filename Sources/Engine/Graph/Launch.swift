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

extension Launch {
  /// A launch of a kernel that includes lanes.clh.
  ///
  /// - Parameters:
  ///   - runs: pieces of work, each shared by the lanes of a work-group.
  ///   - rows: whether a run is a row of a plane, shorter than most.
  init(
    _ file: String, _ function: String, defines: [(name: String, value: Int)] = [],
    arguments: [(name: String, value: Argument)], runs: [Int], on device: DeviceTraits, rows: Bool = false
  ) {
    let tuning = device.deviceClass.tuning
    let lanes = rows ? tuning.rowLanes : tuning.lanes
    guard lanes > 1 else {
      self.init(file, function, defines: defines, arguments: arguments, global: runs)
      return
    }
    self.init(
      file, function, defines: defines + [("LANES", lanes), ("WIDTH", tuning.width)], arguments: arguments,
      global: [runs[0] * lanes] + runs.dropFirst(), local: [lanes] + runs.dropFirst().map { _ in 1 })
  }
}

/// The macro that says how a kernel's tensor is stored, where that is in 16 bits: where not, it is the same program whatever storage there
/// is.
func storedMacro(_ name: String, _ storage: Storage) -> [(name: String, value: Int)] {
  storage == .float32 ? [] : [(name, storage.rawValue)]
}
