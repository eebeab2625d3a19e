import Glibc
import Host

/// A plan bound to host memory.
final class CPUExecutable: Executable {
  let plan: Plan
  private let arenas: [HostRegion]
  private let inputs: [HostRegion]
  private let state: CPUState
  /// By phase: each node with its pointers.
  private var steps: [Phase: [(node: Int, operation: any Operation, context: CPUContext)]] = [:]
  private var profiling = false
  private var seconds: [Double]

  init(_ plan: Plan, state: CPUState, threads: Int, reusing other: CPUExecutable?) throws(EngineError) {
    self.plan = plan
    self.state = state
    seconds = [Double](repeating: 0, count: plan.graph.nodes.count)
    var arenas: [HostRegion] = []
    for (index, bytes) in plan.arenaBytes.enumerated() {
      if let other, index < other.arenas.count, other.arenas[index].byteCount >= bytes {
        arenas.append(other.arenas[index])
      } else {
        arenas.append(try HostRegion(bytes, for: "the arena"))
      }
    }
    self.arenas = arenas
    var inputs: [HostRegion] = []
    for bytes in plan.inputBytes { inputs.append(try HostRegion(bytes, for: "an input")) }
    self.inputs = inputs
    for (index, node) in plan.graph.nodes.enumerated() {
      var operands: [CPUOperand] = []
      for value in node.inputs { operands.append(try operand(value)) }
      var targets: [UnsafeMutablePointer<Float>] = []
      for value in node.targets { targets.append(try pointer(value)) }
      var scratch: [UnsafeMutablePointer<Float>] = []
      for region in plan.scratch[index] { scratch.append(try pointer(region)) }
      let context = CPUContext(
        inputs: operands, targets: targets, scratch: scratch, io: plan.graph.io(node), threads: threads)
      steps[node.phase, default: []].append((index, node.operation, context))
    }
    try Self.requireBuffers(threads)
  }

  /// Whether the products' own buffers have a place beside the plan, which `ulimit -v` may leave none: a step would never end.
  private static func requireBuffers(_ threads: Int) throws(EngineError) {
    guard HostMemory.hasAddressLimit else { return }
    let bytes = threads * BLAS.bufferBytes
    do throws(EngineError) { _ = try HostRegion(bytes, for: "OpenBLAS") } catch {
      throw .memory(
        neededBytes: bytes, availableBytes: HostMemory.availableBytes() ?? 0,
        purpose: "OpenBLAS, beside the plan, for \(threads) threads",
        wayOut: "raise 'ulimit -v', or take a smaller batch, patch or --memory-limit")
    }
  }

  func write(_ values: UnsafeBufferPointer<Float>, to value: ValueID) throws(EngineError) {
    let count = plan.graph.shape(value).count
    guard values.count == count, let from = values.baseAddress else {
      throw .request("\(plan.graph[value].name) has \(count) elements, got \(values.count)")
    }
    try pointer(value).update(from: from, count: count)
  }

  func read(_ value: ValueID, into values: UnsafeMutableBufferPointer<Float>) throws(EngineError) {
    let count = plan.graph.shape(value).count
    guard values.count == count, let to = values.baseAddress else {
      throw .request("\(plan.graph[value].name) has \(count) elements, got \(values.count)")
    }
    to.update(from: try pointer(value), count: count)
  }

  func run(_ phase: Phase) throws(EngineError) {
    for step in steps[phase] ?? [] {
      if profiling {
        let start = monotonicSeconds()
        step.operation.runOnCPU(step.context)
        seconds[step.node] += monotonicSeconds() - start
      } else {
        step.operation.runOnCPU(step.context)
      }
    }
  }

  func finish() throws(EngineError) {}

  func startProfile() throws(EngineError) {
    profiling = true
    seconds = [Double](repeating: 0, count: seconds.count)
  }

  func nodeSeconds() throws(EngineError) -> [Double] { profiling ? seconds : [] }

  func endProfile() throws(EngineError) { profiling = false }

  func fillArena(_ pattern: Float) throws(EngineError) {
    for arena in arenas { arena.floats.update(repeating: pattern, count: arena.byteCount / 4) }
  }

  func readArena(_ slab: Int, offset: Int, count: Int) throws(EngineError) -> [Float] {
    Array(UnsafeBufferPointer(start: arenas[slab].floats + offset, count: count))
  }

  private func operand(_ value: ValueID) throws(EngineError) -> CPUOperand {
    let (shape, reading) = (plan.graph.shape(value), plan.graph.reading(value))
    guard case .view(let view) = plan.graph[value].residence else {
      let data = UnsafePointer(try pointer(value))
      return CPUOperand(data: data, table: data, aux: data, reading: reading, shape: shape)
    }
    switch view {
    case .normalized(let z, let table, _):
      let data = UnsafePointer(try pointer(z))
      return CPUOperand(data: data, table: UnsafePointer(try pointer(table)), aux: data, reading: reading, shape: shape)
    case .normalizedGradient(let gradient, let z, let table, _):
      return CPUOperand(
        data: UnsafePointer(try pointer(gradient)), table: UnsafePointer(try pointer(table)),
        aux: UnsafePointer(try pointer(z)), reading: reading, shape: shape)
    }
  }

  private func pointer(_ value: ValueID) throws(EngineError) -> UnsafeMutablePointer<Float> {
    guard let region = plan.regions[Int(value.index)] else {
      throw .request("\(plan.graph[value].name) is not stored: no node of the plan touches it")
    }
    return try pointer(region)
  }

  private func pointer(_ region: Plan.Region) throws(EngineError) -> UnsafeMutablePointer<Float> {
    switch region.home {
    case .arena(let slab): return arenas[slab].floats + region.offset / 4
    case .input(let index): return inputs[index].floats
    case .state(let slab):
      guard let base = state.regions[slab] else { throw .request("the state has no \(slab.rawValue) slab") }
      return base.floats + region.offset / 4
    }
  }
}

/// Seconds since some fixed moment.
public func monotonicSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + 1e-9 * Double(time.tv_nsec)
}
