public import Engine

/// What the cases reach: worked out from their graphs and launches, so no device is needed.
public struct Coverage: Sendable {
  /// Operations by name, gradients included, with the number of cases that run them.
  public private(set) var operations: [String: Int] = [:]
  /// Kernel functions with the number of cases that launch them.
  public private(set) var kernels: [String: Int] = [:]
  /// Distinct programs: a file with its macros.
  public private(set) var programs: Set<String> = []

  /// - Parameter devices: what launches are described for; by default an imaginary OpenCL device with each choice of kernels.
  public init(
    _ cases: [OpCase], on devices: [DeviceTraits] = KernelChoice.all.map { Self.imaginaryDevice($0) }
  ) throws(EngineError) {
    for opCase in cases {
      let graph = try opCase.graph()
      var operations: Set<String> = []
      var kernels: Set<String> = []
      for node in graph.nodes {
        operations.insert(type(of: node.operation).name)
        for launch in devices.flatMap({ node.operation.launches(graph.io(node), $0) }) {
          kernels.insert(launch.function)
          programs.insert(launch.file + launch.defines.map { " \($0.name)=\($0.value)" }.joined())
        }
      }
      for name in operations { self.operations[name, default: 0] += 1 }
      for name in kernels { self.kernels[name, default: 0] += 1 }
    }
  }

  public static func imaginaryDevice(_ kernels: KernelChoice = .cpu, precision: Precision = .fp32) -> DeviceTraits {
    var device = DeviceTraits(
      kind: .openCL, deviceClass: kernels.deviceClass, name: "imaginary", computeUnits: 2, localBytes: 1 << 20,
      alignmentBytes: 128, maxAllocationBytes: 1 << 32, memoryBytes: 1 << 33)
    device.precision = precision
    device.matrixUnits = kernels.matrixUnits
    return device
  }

  /// The cases of which a launch on the device has four warps multiply together.
  public static func multipliedTogether(_ cases: [OpCase], on device: DeviceTraits) throws(EngineError) -> [OpCase] {
    var found: [OpCase] = []
    for opCase in cases where try Coverage([opCase], on: [device]).programs.contains(where: { $0.contains(" WARPGROUP=1") }) {
      found.append(opCase)
    }
    return found
  }

  /// Every `__kernel` function of the embedded files, with its file.
  public static func embeddedKernels() -> [(function: String, file: String)] {
    var found: [(String, String)] = []
    for file in ProgramCache.files {
      guard let source = ProgramCache.source(file) else { continue }
      let words = source.split { !($0.isLetter || $0.isNumber || $0 == "_") }
      for (index, word) in words.enumerated()
      where word == "__kernel" && index + 2 < words.count && words[index + 1] == "void" {
        found.append((String(words[index + 2]), file))
      }
    }
    return found
  }

  /// Embedded kernel functions that no case launches.
  public var missingKernels: [String] { Self.embeddedKernels().map(\.function).filter { kernels[$0] == nil } }
}
