import Engine

/// The kernels that a step's plan launches on a device that need not be there: one line each, for compilers and assemblers.
enum KernelList {
  /// Names that `--kernels` takes.
  static let choices: [(name: String, kernels: KernelChoice)] =
    KernelChoice.listed.map { ($0.description, $0) }

  /// Distinct launches, each "FILE FUNCTION ITEMS LOCAL MACRO=VALUE…": work-items of a group (0: the driver's choice), and bytes of
  /// local memory that arguments ask for.
  static func lines(
    _ graphs: [Graph], for kernels: KernelChoice, precision: Precision, _ activations: ActivationStorage,
    _ gradients: GradientStorage
  ) -> [String] {
    // An H100, as far as launches depend on it.
    var device = DeviceTraits(
      kind: .openCL, deviceClass: kernels.deviceClass, name: "imaginary", computeUnits: 132, localBytes: 48 << 10,
      alignmentBytes: 128, maxAllocationBytes: 20 << 30, memoryBytes: 80 << 30)
    (device.precision, device.matrixUnits) = (precision, kernels.matrixUnits)
    return launches(graphs.map { $0.storing(activations, gradients, for: device) }, on: device).map(\.line)
  }

  /// Launches of distinct kernels, groups or local memory, with a line that says what they are of, in its order.
  static func launches(_ graphs: [Graph], on device: DeviceTraits) -> [(line: String, launch: Launch)] {
    var found: [String: Launch] = [:]
    for graph in graphs {
      for node in graph.nodes {
        for launch in node.operation.launches(graph.io(node), device) {
          let macros = launch.defines.map { "\($0.name)=\($0.value)" }
          let line = [launch.file, launch.function, "\(launch.local?.reduce(1, *) ?? 0)", "\(launch.localBytes)"] + macros
          found[line.joined(separator: " ")] = launch
        }
      }
    }
    return found.sorted { $0.key < $1.key }.map { (line: $0.key, launch: $0.value) }
  }
}
