internal import CLBridge
import Host

/// A device with its context, queue and programs.
public final class OpenCLBackend: Backend {
  public let name: String
  public private(set) var traits: DeviceTraits
  public let device: OpenCLDevice
  let call: OpenCLCall
  let context: OpenCLContext
  private(set) var queue: OpenCLQueue
  /// Whether the queue keeps the times of its commands.
  private(set) var keepsTimes = false
  let programs: ProgramCache
  /// Whether other processes compile what is missing: see ``CompilerProcesses``.
  var compilesAhead: Bool
  /// Where the tiles of its convolutions come from.
  public private(set) var tilesOrigin = TilesOrigin.curated
  private var own: (tiles: TileTable?, origin: TilesOrigin) = (nil, .curated)

  /// - Parameters:
  ///   - forced: takes other kernels than the device's own: right on every device, slow on most; those of matrix units, not emulated, on one
  ///     that has them.
  ///   - precision: what convolutions may round their operands to.
  ///   - faults: a failure to act out, for tests: nothing is then taken from the caches of compiled kernels and tiles.
  public convenience init(
    _ device: OpenCLDevice, as forced: KernelChoice? = nil, precision: Precision = .fp32, faults: FaultPlan? = nil
  ) throws(EngineError) {
    let store = faults == nil && device.givesBinaries ? KernelStore.ofUser() : nil
    var moves = true
    if forced == .nvidiaMatrix {
      let found = MatrixProbe.find(device, store: store)
      guard [.nvidia, .nvidiaWarpgroup].contains(found.units) else {
        throw .request("\(device.name) has no kernels '\(KernelChoice.nvidiaMatrix)', for NVIDIA's matrix units: \(found.reason)")
      }
      moves = found.moves
    }
    try self.init(device, as: forced, precision: precision, faults: faults, edit: nil, store: store, matrixMoves: moves)
    if faults == nil { useTuned(TuningStore.ofUser()) }
  }

  /// - Parameters:
  ///   - edit: changes the kernels' text, for tests that plant faults in it.
  ///   - store: where compiled kernels are kept between processes; nil compiles them.
  ///   - tiles: the device's own, in place of its class's.
  ///   - matrixMoves: ``DeviceTraits/matrixMoves`` of a forced choice.
  package init(
    _ device: OpenCLDevice, as forced: KernelChoice? = nil, precision: Precision = .fp32, faults: FaultPlan? = nil,
    edit: ProgramCache.SourceEdit?, store: KernelStore? = nil, tiles: TileTable? = nil, matrixMoves: Bool = true
  ) throws(EngineError) {
    self.device = device
    var traits = device.traits
    traits.precision = precision
    if let forced {
      traits.deviceClass = forced.deviceClass
      traits.matrixUnits = forced.matrixUnits
      traits.matrixMoves = matrixMoves
    } else if faults == nil && edit == nil {
      let found = MatrixProbe.find(device, store: store)
      (traits.matrixUnits, traits.matrixMoves) = (found.units, found.moves)
    }
    traits.chosenTiles = tiles
    own = (tiles, tiles == nil ? .curated : .given)
    tilesOrigin = own.origin
    self.traits = traits
    name = "\(device.selector)\(forced.map { "@\($0)" } ?? "") \(device.name)"
    call = OpenCLCall(device: name, faults: faults)
    context = try OpenCLContext(device: device.raw, call)
    queue = try OpenCLQueue(context, device: device.raw, profiling: false, call)
    programs = ProgramCache(context, device: device, kernelsFor: traits.deviceClass, edit: edit, store: store, call)
    compilesAhead = device.kind == .gpu && edit == nil && faults == nil
  }

  public func use(_ tiles: TileTable?) {
    guard let tiles, tiles.deviceClass == traits.deviceClass, tiles != (own.tiles ?? traits.curatedTiles) else {
      (traits.chosenTiles, tilesOrigin) = own
      return
    }
    (traits.chosenTiles, tilesOrigin) = (tiles, .given)
  }

  /// Takes what `glomseg tune` kept for this device, driver, class and these kernels, if anything.
  package func useTuned(_ store: TuningStore?) {
    guard let store else { return }
    switch store.find(tuningKey) {
    case .none: break
    case .found(let entry, let path): own = (entry.tiles, .tuned(path: path))
    case .damaged(let path, let problem): own.origin = .ignored(path: path, problem: problem)
    }
    use(nil)
  }

  /// What a table of tiles is kept under.
  public var tuningKey: TuningStore.Key {
    TuningStore.Key(
      device: device.name, platform: "\(device.platformName) \(device.platformVersion)", driver: device.driverVersion,
      deviceClass: traits.deviceClass, arithmetic: traits.arithmetic, kernels: ProgramCache.kernelsDigest)
  }

  public var freeBytes: Int? { usesHostMemory ? HostMemory.availableBytes() : device.freeBytes }
  public var usesHostMemory: Bool { device.usesHostMemory }

  public func makeState(_ layout: StateLayout, slabs: Set<Slab>) throws(EngineError) -> any StateMemory {
    try OpenCLState(layout, slabs, self)
  }

  public func load(
    _ plan: Plan, state: any StateMemory, reusing other: (any Executable)?
  ) throws(EngineError) -> any Executable {
    guard let state = state as? OpenCLState else { throw .request("state memory of another backend") }
    try compileAhead([plan.graph])
    return try OpenCLExecutable(plan, state: state, backend: self, reusing: other as? OpenCLExecutable)
  }

  func makeBuffer(_ byteCount: Int, for purpose: String) throws(EngineError) -> OpenCLBuffer {
    guard byteCount <= traits.maxAllocationBytes else {
      throw .memory(
        neededBytes: byteCount, availableBytes: traits.maxAllocationBytes, purpose: "\(purpose) in one piece on \(name)")
    }
    return try OpenCLBuffer(context, byteCount: max(64, byteCount), call)
  }

  func write(_ from: UnsafeRawPointer, _ byteCount: Int, to buffer: OpenCLBuffer, offset: Int) throws(EngineError) {
    if forgetsPartialWrites, buffer.parent != nil || byteCount < buffer.byteCount {
      let whole = buffer.parent ?? buffer
      var contents = [UInt8](repeating: 0, count: whole.byteCount)
      var failure: EngineError?
      contents.withUnsafeMutableBytes { bytes in
        guard let base = bytes.baseAddress else { return }
        do throws(EngineError) {
          try read(base, bytes.count, from: whole, offset: 0)
          (base + buffer.origin + offset).copyMemory(from: from, byteCount: byteCount)
          try write(base, bytes.count, to: whole, offset: 0)
        } catch { failure = error }
      }
      if let failure { throw failure }
      return
    }
    try call.run("clEnqueueWriteBuffer") {
      clEnqueueWriteBuffer(queue.raw, buffer.raw, cl_bool(CL_TRUE), offset, byteCount, from, 0, nil, nil)
    }
  }

  /// Oclgrind 21.10 with --uninitialized takes what was written before for uninitialised when a part of a buffer is
  /// written: there, a part is written with the rest. docs/devices.md has the case.
  private var forgetsPartialWrites: Bool { device.name.hasPrefix("Oclgrind") }

  func read(_ to: UnsafeMutableRawPointer, _ byteCount: Int, from buffer: OpenCLBuffer, offset: Int) throws(EngineError) {
    try call.run("clEnqueueReadBuffer") {
      clEnqueueReadBuffer(queue.raw, buffer.raw, cl_bool(CL_TRUE), offset, byteCount, to, 0, nil, nil)
    }
  }

  /// Fills a whole buffer with one value, in pieces: large fills are broken on some drivers.
  func fill(_ buffer: OpenCLBuffer, _ value: Float) throws(EngineError) {
    let piece = 64 << 20
    let pattern = [Float](repeating: value, count: min(piece, buffer.byteCount) / 4)
    var offset = 0
    while offset < buffer.byteCount {
      let count = min(piece, buffer.byteCount - offset)
      var failure: EngineError?
      pattern.withUnsafeBytes { bytes in
        guard let base = bytes.baseAddress else { return }
        do throws(EngineError) { try write(base, count / 4 * 4, to: buffer, offset: offset) } catch { failure = error }
      }
      if let failure { throw failure }
      offset += count
    }
  }

  func finish() throws(EngineError) { try call.run("clFinish") { clFinish(queue.raw) } }

  /// Whether the device still answers: after a fault of some drivers every call to its context fails.
  public var responds: Bool {
    do throws(EngineError) { try finish() } catch { return false }
    return true
  }

  /// Waits for the device, then goes on with a queue that keeps the times of its commands or one that does not: keeping them
  /// may cost each launch something.
  func keepTimes(_ keeps: Bool) throws(EngineError) {
    guard keeps != keepsTimes else { return }
    try finish()
    queue = try OpenCLQueue(context, device: device.raw, profiling: keeps, call)
    keepsTimes = keeps
  }
}

/// Where a table of tiles comes from.
public enum TilesOrigin: Sendable, Equatable {
  /// The device's class.
  case curated
  /// A file that `glomseg tune` wrote.
  case tuned(path: String)
  /// A caller: a run that goes on with the tiles it began with, or a search.
  case given
  /// The class, because a file could not be used.
  case ignored(path: String, problem: String)
}

final class OpenCLState: StateMemory {
  let layout: StateLayout
  let buffers: [Slab: OpenCLBuffer]
  private let backend: OpenCLBackend

  init(_ layout: StateLayout, _ slabs: Set<Slab>, _ backend: OpenCLBackend) throws(EngineError) {
    self.layout = layout
    self.backend = backend
    var buffers: [Slab: OpenCLBuffer] = [:]
    for slab in slabs {
      let buffer = try backend.makeBuffer(layout.count(of: slab) * 4, for: "the \(slab.rawValue) slab")
      try backend.fill(buffer, 0)
      buffers[slab] = buffer
    }
    self.buffers = buffers
  }

  func read(_ slab: Slab, offset: Int, into values: UnsafeMutableBufferPointer<Float>) throws(EngineError) {
    let buffer = try buffer(slab, offset, values.count)
    guard let to = values.baseAddress else { return }
    try backend.read(to, values.count * 4, from: buffer, offset: offset * 4)
  }

  func write(_ values: UnsafeBufferPointer<Float>, to slab: Slab, offset: Int) throws(EngineError) {
    let buffer = try buffer(slab, offset, values.count)
    guard let from = values.baseAddress else { return }
    try backend.write(from, values.count * 4, to: buffer, offset: offset * 4)
  }

  func clear(_ slab: Slab) throws(EngineError) { try backend.fill(buffer(slab, 0, layout.count(of: slab)), 0) }

  private func buffer(_ slab: Slab, _ offset: Int, _ count: Int) throws(EngineError) -> OpenCLBuffer {
    guard let buffer = buffers[slab] else { throw .request("the state has no \(slab.rawValue) slab") }
    guard offset >= 0, (offset + count) * 4 <= buffer.byteCount else {
      throw .request("elements \(offset)..<\(offset + count) are outside the \(slab.rawValue) slab")
    }
    return buffer
  }
}
