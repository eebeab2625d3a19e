/// Where a plan's bytes live and its nodes run. Confined to one thread; deliberately not Sendable.
public protocol Backend: AnyObject {
  /// Such as "opencl:0:0 NVIDIA H100" or "cpu".
  var name: String { get }
  var traits: DeviceTraits { get }
  /// Memory that nobody uses now; nil where the driver does not tell.
  var freeBytes: Int? { get }
  /// Whether a plan's bytes are the host's, as on a CPU or a processor's own graphics.
  var usesHostMemory: Bool { get }
  /// Takes tiles for the plans that are made and loaded from now on: the device's own where nil, and where they are of another
  /// class.
  func use(_ tiles: TileTable?)
  /// Allocates the slabs of a model's state, zeroed.
  func makeState(_ layout: StateLayout, slabs: Set<Slab>) throws(EngineError) -> any StateMemory
  /// Allocates, compiles and binds every argument. Plans over the same layout may share one state.
  ///
  /// - Parameter other: an executable of this backend whose arena slabs are used again where they are large enough; the two
  ///   must not rely on each other's values.
  func load(_ plan: Plan, state: any StateMemory, reusing other: (any Executable)?) throws(EngineError) -> any Executable
}

extension Backend {
  public func use(_ tiles: TileTable?) {}

  public func load(_ plan: Plan, state: any StateMemory) throws(EngineError) -> any Executable {
    try load(plan, state: state, reusing: nil)
  }
}

/// The slabs that outlive steps and plans: parameters, gradients, moments, running statistics.
public protocol StateMemory: AnyObject {
  var layout: StateLayout { get }
  /// Copies a part of a slab, offset in elements; waits for the device.
  func read(_ slab: Slab, offset: Int, into values: UnsafeMutableBufferPointer<Float>) throws(EngineError)
  func write(_ values: UnsafeBufferPointer<Float>, to slab: Slab, offset: Int) throws(EngineError)
  /// Sets a whole slab to zero.
  func clear(_ slab: Slab) throws(EngineError)
}

extension StateMemory {
  public func read(_ slab: Slab, offset: Int = 0, count: Int? = nil) throws(EngineError) -> [Float] {
    var values = [Float](repeating: 0, count: count ?? layout.count(of: slab))
    var failure: EngineError?
    values.withUnsafeMutableBufferPointer { buffer in
      do throws(EngineError) { try read(slab, offset: offset, into: buffer) } catch { failure = error }
    }
    if let failure { throw failure }
    return values
  }

  public func write(_ values: [Float], to slab: Slab, offset: Int = 0) throws(EngineError) {
    var failure: EngineError?
    values.withUnsafeBufferPointer { buffer in
      do throws(EngineError) { try write(buffer, to: slab, offset: offset) } catch { failure = error }
    }
    if let failure { throw failure }
  }
}

/// A loaded plan.
public protocol Executable: AnyObject {
  var plan: Plan { get }
  /// Copies into an input (or, in tests, any stored value); waits until the bytes may be reused.
  func write(_ values: UnsafeBufferPointer<Float>, to value: ValueID) throws(EngineError)
  /// Writes values of an input for a later run beside what runs now; ``takeAhead()`` puts them in place. Waits until the bytes
  /// may be reused. Only for the inputs of the plan's `graph.ahead`, all of them, and only where `writesAhead`.
  func writeAhead(_ values: UnsafeBufferPointer<Float>, to value: ValueID) throws(EngineError)
  /// What was written ahead is the inputs' value for the runs from now on.
  func takeAhead() throws(EngineError)
  /// Whether the plan has second buffers for inputs that are written ahead.
  var writesAhead: Bool { get }
  /// Waits for the device, then copies a stored value out.
  func read(_ value: ValueID, into values: UnsafeMutableBufferPointer<Float>) throws(EngineError)
  /// Runs a phase's nodes in order; on a device, only enqueues.
  func run(_ phase: Phase) throws(EngineError)
  /// Waits until all that was enqueued is done.
  func finish() throws(EngineError)
  /// Times the runs from now on, by node.
  func startProfile() throws(EngineError)
  /// Seconds of each node of the runs since `startProfile`, by node index; empty where not profiling.
  func nodeSeconds() throws(EngineError) -> [Double]
  /// Times no further runs.
  func endProfile() throws(EngineError)
  /// Kernels launched, and the host's seconds to hand them over, since the executable was loaded; nil where nothing is launched.
  var enqueued: (launches: Int, seconds: Double)? { get }
  /// Fills all arena memory, guard bands included, with one bit pattern.
  func fillArena(_ pattern: Float) throws(EngineError)
  /// Elements of an arena slab, for tests that look at guard bands.
  func readArena(_ slab: Int, offset: Int, count: Int) throws(EngineError) -> [Float]
}

extension Executable {
  public var enqueued: (launches: Int, seconds: Double)? { nil }
  public var writesAhead: Bool { false }
  public func writeAhead(_ values: UnsafeBufferPointer<Float>, to value: ValueID) throws(EngineError) {
    throw .request("\(plan.graph[value].name) is not written ahead on this device")
  }
  public func takeAhead() throws(EngineError) {}

  /// Writes a range of `values` ahead.
  func writeAhead(_ values: [Float], _ range: Range<Int>, to value: ValueID) throws(EngineError) {
    var failure: EngineError?
    values.withUnsafeBufferPointer { buffer in
      do throws(EngineError) { try writeAhead(UnsafeBufferPointer(rebasing: buffer[range]), to: value) } catch { failure = error }
    }
    if let failure { throw failure }
  }

  public func write(_ values: [Float], to value: ValueID) throws(EngineError) {
    var failure: EngineError?
    values.withUnsafeBufferPointer { buffer in
      do throws(EngineError) { try write(buffer, to: value) } catch { failure = error }
    }
    if let failure { throw failure }
  }

  /// Copies a range of `values` into an input.
  public func write(_ values: [Float], _ range: Range<Int>, to value: ValueID) throws(EngineError) {
    var failure: EngineError?
    values.withUnsafeBufferPointer { buffer in
      do throws(EngineError) { try write(UnsafeBufferPointer(rebasing: buffer[range]), to: value) } catch { failure = error }
    }
    if let failure { throw failure }
  }

  public func read(_ value: ValueID) throws(EngineError) -> [Float] {
    var values = [Float](repeating: 0, count: plan.graph.shape(value).count)
    var failure: EngineError?
    values.withUnsafeMutableBufferPointer { buffer in
      do throws(EngineError) { try read(value, into: buffer) } catch { failure = error }
    }
    if let failure { throw failure }
    return values
  }

  /// Runs every phase.
  public func runAll() throws(EngineError) {
    for phase in Phase.allCases { try run(phase) }
  }
}
