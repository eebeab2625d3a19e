internal import CLBridge
import Host
import Synchronization

/// Programs compiled by several processes at a time: NVIDIA's and AMD's drivers compile one after another in each, however many threads
/// ask. What a process compiled it keeps (``KernelStore``), and the one that waits takes it from there.
public enum CompilerProcesses {
  /// Runs a process for each share of programs, which calls ``keep(_:on:)`` with it, and waits for all of them.
  public typealias Start = @Sendable (_ shares: [[String]], _ device: OpenCLDevice) -> Void

  private static let start = Mutex<(most: Int, start: Start)?>(nil)

  /// A program says at its start how such processes are run; without it programs are compiled by the one that needs them.
  ///
  /// - Parameter most: processes at a time: the processors there are.
  public static func use(most: Int, _ start: @escaping Start) { self.start.withLock { $0 = (most, start) } }

  /// For tests: as before.
  static func useNone() { start.withLock { $0 = nil } }

  /// Fewer are not worth a process's start and its own context on the device.
  static let fewest = 4
  private static let mostProcesses = 8
  /// Of the device's memory, for each process: its context takes some hundred MiB of it.
  private static let bytesEach = 2 << 30
  /// Of the host's free memory: a driver with its compiler takes some hundred MiB of it, too, and a container may have few.
  private static let hostBytesEach = 1 << 30

  /// Compiles what launches need and was kept by nobody.
  ///
  /// - Returns: whether a process was started.
  static func compile(_ launches: [Launch], for device: OpenCLDevice) -> Bool {
    guard launches.count >= fewest, let (most, start) = start.withLock({ $0 }) else { return false }
    let count = min(
      most, mostProcesses, launches.count / 2, device.memoryBytes / bytesEach,
      HostMemory.availableBytes().map { $0 / hostBytesEach } ?? mostProcesses)
    guard count > 1 else { return false }
    // In turn: neighbours are alike, and so is what they take.
    let names = launches.map(Self.name)
    start((0..<count).map { first in stride(from: first, to: names.count, by: count).map { names[$0] } }, device)
    return true
  }

  /// What one of the processes does; it ends at once with the one that started it. What its driver refuses is left to the process that
  /// waits, which says why.
  ///
  /// - Parameter programs: each "FILE MACRO=VALUE…".
  /// - Throws: `.request` for what is no program's name; the device's error where it gives no context.
  public static func keep(_ programs: [String], on device: OpenCLDevice) throws(EngineError) {
    clb_end_with_parent()
    try keep(programs, on: device, store: KernelStore.ofUser())
  }

  static func keep(_ programs: [String], on device: OpenCLDevice, store: KernelStore?) throws(EngineError) {
    var launches: [Launch] = []
    for program in programs { launches.append(try launch(program)) }
    // Macros say all of a program; a choice of kernels spares the probe.
    let backend = try OpenCLBackend(device, as: KernelChoice(device.deviceClass), edit: nil, store: store)
    for launch in launches {
      do throws(EngineError) { try backend.programs.keep(launch) } catch { continue }
    }
  }

  private static func name(_ launch: Launch) -> String {
    ([launch.file] + launch.defines.map { "\($0.name)=\($0.value)" }).joined(separator: " ")
  }

  private static func launch(_ name: String) throws(EngineError) -> Launch {
    let words = name.split(separator: " ")
    var defines: [(name: String, value: Int)] = []
    for word in words.dropFirst() {
      let parts = word.split(separator: "=")
      guard parts.count == 2, let value = Int(parts[1]) else { throw .request("'\(word)' is not MACRO=VALUE") }
      defines.append((String(parts[0]), value))
    }
    guard let file = words.first.map(String.init), ProgramCache.source(file) != nil else {
      throw .request("'\(name)' begins with no kernel file's name")
    }
    return Launch(file, "", defines: defines, arguments: [], global: [])
  }
}

extension OpenCLBackend {
  /// Has several processes compile the programs of launches that are neither built nor kept, where the device's compiler is worth it.
  /// Does nothing elsewhere. What nobody compiled is compiled here when it is loaded.
  ///
  /// Best called before memory is taken on the device: each process has a context of its own there.
  public func compileAhead(_ launches: [Launch]) throws(EngineError) {
    guard compilesAhead else { return }
    let left = try programs.takeKept(launches)
    guard CompilerProcesses.compile(left, for: device) else { return }
    // None could: a device for one process alone, say. Not tried again.
    compilesAhead = try programs.takeKept(left).count < left.count
  }

  /// The same for all that graphs launch.
  public func compileAhead(_ graphs: [Graph]) throws(EngineError) {
    guard compilesAhead else { return }
    try compileAhead(graphs.flatMap { graph in graph.nodes.flatMap { $0.operation.launches(graph.io($0), traits) } })
  }
}
