import Glibc
import Host

/// The verified path: BLAS for convolutions, plain loops for the rest, on all processors that the process may use.
public final class CPUBackend: Backend {
  public let name = "cpu"
  public let traits: DeviceTraits

  /// - Parameters:
  ///   - threads: one for each processor that the process may use where nil.
  ///   - precision: a permission that is not used: it computes in fp32.
  public init(threads: Int? = nil, precision: Precision = .fp32) {
    BLAS.useOneThreadACall()
    let pageBytes = sysconf(Int32(_SC_PAGESIZE))
    let memory = sysconf(Int32(_SC_PHYS_PAGES)) * pageBytes
    var traits = DeviceTraits(
      kind: .cpuPath, name: "CPU path, \(BLAS.configuration)",
      computeUnits: max(1, threads ?? Processors.available), localBytes: 1 << 20, alignmentBytes: 64,
      maxAllocationBytes: memory, memoryBytes: memory)
    traits.precision = precision
    self.traits = traits
  }

  /// Addresses that a thread takes beside a plan: OpenBLAS's buffer, as much again to see that there is room for it, the thread's stack and
  /// malloc's arena. They matter where `ulimit -v` counts them.
  private static let mappedBytesAThread = 3 * BLAS.bufferBytes

  public var freeBytes: Int? { HostMemory.availableBytes(besideMapped: traits.computeUnits * Self.mappedBytesAThread) }
  public var usesHostMemory: Bool { true }

  public func makeState(_ layout: StateLayout, slabs: Set<Slab>) throws(EngineError) -> any StateMemory {
    try CPUState(layout, slabs)
  }

  public func load(
    _ plan: Plan, state: any StateMemory, reusing other: (any Executable)?
  ) throws(EngineError) -> any Executable {
    guard let state = state as? CPUState else { throw .request("state memory of another backend") }
    return try CPUExecutable(plan, state: state, threads: traits.computeUnits, reusing: other as? CPUExecutable)
  }
}

/// A zeroed region of host memory.
final class HostRegion {
  let base: UnsafeMutableRawPointer
  let byteCount: Int

  init(_ byteCount: Int, for purpose: String) throws(EngineError) {
    let rounded = max(64, (byteCount + 63) / 64 * 64)
    // Zero pages come from the system untouched, so a plan costs only what it uses.
    let mapped = mmap(nil, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let mapped, mapped != MAP_FAILED else {
      throw .memory(neededBytes: rounded, availableBytes: 0, purpose: purpose)
    }
    base = mapped
    self.byteCount = rounded
  }

  deinit { munmap(base, byteCount) }

  var floats: UnsafeMutablePointer<Float> { base.assumingMemoryBound(to: Float.self) }
}

final class CPUState: StateMemory {
  let layout: StateLayout
  private(set) var regions: [Slab: HostRegion] = [:]

  init(_ layout: StateLayout, _ slabs: Set<Slab>) throws(EngineError) {
    self.layout = layout
    for slab in slabs { regions[slab] = try HostRegion(layout.count(of: slab) * 4, for: "the \(slab.rawValue) slab") }
  }

  func read(_ slab: Slab, offset: Int, into values: UnsafeMutableBufferPointer<Float>) throws(EngineError) {
    let from = try region(slab, offset, values.count)
    if let to = values.baseAddress { to.update(from: from, count: values.count) }
  }

  func write(_ values: UnsafeBufferPointer<Float>, to slab: Slab, offset: Int) throws(EngineError) {
    let to = try region(slab, offset, values.count)
    if let from = values.baseAddress { to.update(from: from, count: values.count) }
  }

  func clear(_ slab: Slab) throws(EngineError) {
    let count = layout.count(of: slab)
    try region(slab, 0, count).update(repeating: 0, count: count)
  }

  private func region(_ slab: Slab, _ offset: Int, _ count: Int) throws(EngineError) -> UnsafeMutablePointer<Float> {
    guard let region = regions[slab] else { throw .request("the state has no \(slab.rawValue) slab") }
    guard offset >= 0, offset + count <= region.byteCount / 4 else {
      throw .request("elements \(offset)..<\(offset + count) are outside the \(slab.rawValue) slab")
    }
    return region.floats + offset
  }
}
