import ArgumentParser
import Engine

/// `glomseg devices`.
struct DevicesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "devices", abstract: "List the OpenCL devices and the CPU path, and say which one 'auto' takes.",
    discussion: "Example: glomseg devices --json -")

  @Option(help: "Write JSON to a file, or to standard output with '-'.") var json: String?

  private struct Device: Encodable {
    let selector: String
    let name: String
    let platform: String
    let driver: String
    let version: String
    let kind: String
    let compute_units: Int
    let memory_bytes: Int
    let max_allocation_bytes: Int
    let local_bytes: Int
    let alignment_bytes: Int
    let kernels_for: String
    /// Whether the convolutions run on matrix units, why, and what else the compiler takes.
    let matrix_units: Bool
    let matrix_reason: String
    let matrix_notes: [String]
    /// Where the tiles of its convolutions come from.
    let tiles: String
    let available: Bool
  }
  private struct Rejection: Encodable {
    let device: String
    let reason: String
  }
  /// One that the loader was told of beside those it knows, or one that brought no device.
  private struct Driver: Encodable {
    let library: String
    let reason: String
  }
  private struct Result: Encodable {
    let devices: [Device]
    let cpu: String
    let auto: String
    let reason: String
    let passed_over: [Rejection]
    let added_drivers: [Driver]
    let idle_drivers: [Driver]
  }

  /// Whether `glomseg tune` chose the tiles of its convolutions.
  private static func tiles(of device: OpenCLDevice) -> String {
    guard TuningStore.ofUser() != nil else { return "of the class; tuned ones are off" }
    return ((try? OpenCLBackend(device))?.tilesOrigin ?? .curated).description
  }

  func run() throws {
    try failing {
      let output = try JSONOutput(path: json)
      let devices = OpenCLDevice.all()
      for device in devices {
        output.say(
          """
          \(device.selector)  \(device.name) (\(device.kind.rawValue))
            platform        \(device.platformName), \(device.platformVersion)
            driver          \(device.driverVersion), \(device.deviceVersion)
            compute units   \(device.computeUnits)
            memory          \(formatBytes(device.memoryBytes)), \(formatBytes(device.maxAllocationBytes)) in one piece
            local memory    \(formatBytes(device.localBytes))
            alignment       \(device.alignmentBytes) bytes
            kernels for     \(device.deviceClass.rawValue)
            tiles           \(Self.tiles(of: device))
            matrix units    \(device.findMatrixUnits().described)
          """)
        for note in device.findMatrixUnits().notes { output.say("                    \(note)") }
      }
      for driver in OpenCLDevice.addedDrivers { output.say("added driver \(driver.library): \(driver.reason)") }
      let idle = IdleDriver.all()
      for driver in idle { output.say("driver \(driver.library) \(driver.reason)") }
      if devices.isEmpty {
        let lack = idle.isEmpty ? "is installed (the GPU's, or PoCL: apt install pocl-opencl-icd)" : "has one"
        output.say("no OpenCL device: no driver \(lack)")
      }
      let cpu = CPUBackend()
      output.say(
        """
        cpu  \(cpu.traits.name)
          threads         \(cpu.traits.computeUnits)
          memory          \(formatBytes(cpu.traits.memoryBytes))
        """)
      let (backend, reason, passedOver) = try DeviceSelection.backend("auto")
      for rejection in passedOver { output.say("passed over \(rejection.device): \(rejection.reason)") }
      output.say("auto takes \(backend.name): \(reason)")
      try output.write(
        Result(
          devices: devices.map {
            let found = $0.findMatrixUnits()
            return Device(
              selector: $0.selector, name: $0.name, platform: $0.platformName, driver: $0.driverVersion,
              version: $0.deviceVersion, kind: $0.kind.rawValue, compute_units: $0.computeUnits,
              memory_bytes: $0.memoryBytes, max_allocation_bytes: $0.maxAllocationBytes, local_bytes: $0.localBytes,
              alignment_bytes: $0.alignmentBytes,
              kernels_for: $0.deviceClass.rawValue, matrix_units: found.units != .none, matrix_reason: found.reason,
              matrix_notes: found.notes, tiles: Self.tiles(of: $0), available: $0.isAvailable)
          }, cpu: cpu.traits.name, auto: backend.name, reason: reason,
          passed_over: passedOver.map { Rejection(device: $0.device, reason: $0.reason) },
          added_drivers: OpenCLDevice.addedDrivers.map { Driver(library: $0.library, reason: $0.reason) },
          idle_drivers: idle.map { Driver(library: $0.library, reason: $0.reason) }))
    }
  }
}
