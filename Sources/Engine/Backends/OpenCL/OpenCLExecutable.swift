internal import CLBridge

/// A plan bound to a device: one kernel object per launch, every argument set once.
final class OpenCLExecutable: Executable {
  let plan: Plan
  private let backend: OpenCLBackend
  private let state: OpenCLState
  private let arenas: [OpenCLBuffer]
  private let inputs: [OpenCLBuffer]
  /// Nil where nothing is written ahead.
  private let uploads: OpenCLUploads?
  private var parts: [Plan.Region: OpenCLBuffer] = [:]
  private var steps: [Phase: [Step]] = [:]
  private var profiling = false
  private var seconds: [Double]
  private var launches = (count: 0, seconds: 0.0)
  private var events: [(node: Int, event: OpenCLEvent)] = []

  private struct Step {
    let node: Int
    let kernel: OpenCLKernel
    let global: [Int]
    let local: [Int]?
  }

  init(
    _ plan: Plan, state: OpenCLState, backend: OpenCLBackend, reusing other: OpenCLExecutable?
  ) throws(EngineError) {
    self.plan = plan
    self.backend = backend
    self.state = state
    seconds = [Double](repeating: 0, count: plan.graph.nodes.count)
    var arenas: [OpenCLBuffer] = []
    for (index, bytes) in plan.arenaBytes.enumerated() {
      if let other, index < other.arenas.count, other.arenas[index].byteCount >= bytes {
        arenas.append(other.arenas[index])
      } else {
        arenas.append(try backend.makeBuffer(bytes, for: "the arena"))
      }
    }
    self.arenas = arenas
    var inputs: [OpenCLBuffer] = []
    for bytes in plan.inputBytes { inputs.append(try backend.makeBuffer(bytes, for: "an input")) }
    self.inputs = inputs
    if plan.aheadBytes.isEmpty {
      uploads = nil
    } else if let shared = other?.uploads, shared.holds(plan.aheadBytes) {
      uploads = shared
    } else {
      uploads = try OpenCLUploads(plan.aheadBytes, backend)
    }
    for (index, node) in plan.graph.nodes.enumerated() {
      for launch in node.operation.launches(plan.graph.io(node), backend.traits) {
        let kernel = try backend.programs.kernel(launch)
        try bind(kernel, launch, node, index)
        steps[node.phase, default: []].append(
          Step(node: index, kernel: kernel, global: launch.global, local: launch.local ?? localSize(launch.global)))
      }
    }
  }

  /// A CPU runtime left to choose may put a whole grid into one work-group, hence on one core.
  private func localSize(_ global: [Int]) -> [Int]? {
    guard backend.device.kind == .cpu else { return nil }
    let groupsWanted = backend.traits.workItemsWanted
    let items = global.reduce(1, *)
    // Two sizes only: such runtimes compile a kernel anew for each.
    let first = global[0] % 16 == 0 && items / 16 >= groupsWanted ? 16 : 1
    return [first] + [Int](repeating: 1, count: global.count - 1)
  }

  private func bind(_ kernel: OpenCLKernel, _ launch: Launch, _ node: Node, _ index: Int) throws(EngineError) {
    for (position, argument) in launch.arguments.enumerated() {
      let at = cl_uint(position)
      try check(kernel, at, argument.name, launch)
      switch argument.value {
      case .input(let input): try set(kernel, at, buffer(data(node.inputs[input])))
      case .table(let input): try set(kernel, at, buffer(table(node.inputs[input])))
      case .aux(let input): try set(kernel, at, buffer(aux(node.inputs[input])))
      case .target(let target): try set(kernel, at, buffer(node.targets[target]))
      case .scratch(let scratch): try set(kernel, at, buffer(plan.scratch[index][scratch]))
      case .int(let value):
        guard var number = cl_int(exactly: value) else {
          throw .unsupported(operation: launch.function, problem: "\(argument.name) = \(value) exceeds 32 bits")
        }
        try backend.call.run("clSetKernelArg") { clSetKernelArg(kernel.raw, at, MemoryLayout<cl_int>.size, &number) }
      case .float(var value):
        try backend.call.run("clSetKernelArg") { clSetKernelArg(kernel.raw, at, MemoryLayout<Float>.size, &value) }
      case .local(let bytes):
        try backend.call.run("clSetKernelArg") { clSetKernelArg(kernel.raw, at, bytes, nil) }
      }
    }
  }

  private func set(_ kernel: OpenCLKernel, _ at: cl_uint, _ buffer: OpenCLBuffer) throws(EngineError) {
    var memory: cl_mem? = buffer.raw
    try backend.call.run("clSetKernelArg") { clSetKernelArg(kernel.raw, at, MemoryLayout<cl_mem?>.size, &memory) }
  }

  /// Where the driver tells argument names, a launch that lists them in another order fails at load.
  private func check(_ kernel: OpenCLKernel, _ at: cl_uint, _ name: String, _ launch: Launch) throws(EngineError) {
    var out: UnsafeMutablePointer<CChar>?
    guard clb_kernel_argument_name(kernel.raw, at, &out) == CL_SUCCESS, let out else { return }
    defer { clb_free(out) }
    let actual = String(cString: out)
    guard actual.isEmpty || actual == name else {
      throw .request("argument \(at) of \(launch.function) is \(actual) in \(launch.file) and \(name) in its launch")
    }
  }

  // Values behind an input.
  private func data(_ value: ValueID) -> ValueID {
    guard case .view(let view) = plan.graph[value].residence else { return value }
    switch view {
    case .normalized(let z, _, _): return z
    case .normalizedGradient(let gradient, _, _, _): return gradient
    }
  }

  private func table(_ value: ValueID) -> ValueID {
    guard case .view(let view) = plan.graph[value].residence else { return value }
    switch view {
    case .normalized(_, let table, _), .normalizedGradient(_, _, let table, _): return table
    }
  }

  private func aux(_ value: ValueID) -> ValueID {
    guard case .view(let view) = plan.graph[value].residence else { return value }
    switch view {
    case .normalized(let z, _, _), .normalizedGradient(_, let z, _, _): return z
    }
  }

  private func buffer(_ value: ValueID) throws(EngineError) -> OpenCLBuffer {
    guard let region = plan.regions[Int(value.index)] else {
      throw .request("\(plan.graph[value].name) is not stored: no node of the plan touches it")
    }
    return try buffer(region)
  }

  private func buffer(_ region: Plan.Region) throws(EngineError) -> OpenCLBuffer {
    if let known = parts[region] { return known }
    let whole: OpenCLBuffer
    switch region.home {
    case .input(let index): return inputs[index]
    case .arena(let slab): whole = arenas[slab]
    case .state(let slab):
      guard let buffer = state.buffers[slab] else { throw .request("the state has no \(slab.rawValue) slab") }
      whole = buffer
    }
    let part = try OpenCLBuffer(part: region.offset, region.byteCount, of: whole, backend.call)
    parts[region] = part
    return part
  }

  func write(_ values: UnsafeBufferPointer<Float>, to value: ValueID) throws(EngineError) {
    let info = plan.graph[value]
    guard values.count == info.shape.count, let from = values.baseAddress else {
      throw .request("\(info.name) has \(info.shape.count) elements, got \(values.count)")
    }
    try backend.write(from, values.count * 4, to: buffer(value), offset: 0)
  }

  var writesAhead: Bool { uploads != nil }

  func writeAhead(_ values: UnsafeBufferPointer<Float>, to value: ValueID) throws(EngineError) {
    let info = plan.graph[value]
    guard let uploads, let index = plan.graph.ahead.firstIndex(of: value), values.count == info.shape.count,
      let from = values.baseAddress
    else { throw .request("\(info.name) has \(info.shape.count) elements and is not written ahead with \(values.count)") }
    try uploads.write(from, values.count * 4, to: index)
  }

  func takeAhead() throws(EngineError) {
    guard let uploads else { return }
    for (index, value) in plan.graph.ahead.enumerated() {
      try uploads.copy(index, plan.aheadBytes[index], to: buffer(value))
    }
  }

  func read(_ value: ValueID, into values: UnsafeMutableBufferPointer<Float>) throws(EngineError) {
    let info = plan.graph[value]
    guard values.count == info.shape.count, let to = values.baseAddress else {
      throw .request("\(info.name) has \(info.shape.count) elements, got \(values.count)")
    }
    try backend.read(to, values.count * 4, from: buffer(value), offset: 0)
  }

  var enqueued: (launches: Int, seconds: Double)? { (launches.count, launches.seconds) }

  func run(_ phase: Phase) throws(EngineError) {
    let start = monotonicSeconds()
    defer { launches.seconds += monotonicSeconds() - start }
    if profiling { try backend.keepTimes(true) }
    for step in steps[phase] ?? [] {
      launches.count += 1
      guard profiling else {
        try backend.call.run("clEnqueueNDRangeKernel") { enqueue(step, nil) }
        continue
      }
      var event: cl_event?
      try backend.call.run("clEnqueueNDRangeKernel") { enqueue(step, &event) }
      if let event { events.append((step.node, OpenCLEvent(event))) }
    }
    try backend.call.run("clFlush") { clFlush(backend.queue.raw) }
  }

  private func enqueue(_ step: Step, _ event: UnsafeMutablePointer<cl_event?>?) -> cl_int {
    clEnqueueNDRangeKernel(
      backend.queue.raw, step.kernel.raw, cl_uint(step.global.count), nil, step.global, step.local, 0, nil, event)
  }

  func finish() throws(EngineError) { try backend.finish() }

  func startProfile() throws(EngineError) {
    try finish()
    try backend.keepTimes(true)
    events = []
    profiling = true
    seconds = [Double](repeating: 0, count: seconds.count)
  }

  func nodeSeconds() throws(EngineError) -> [Double] {
    guard profiling else { return [] }
    try finish()
    for (node, event) in events {
      var start: cl_ulong = 0
      var end: cl_ulong = 0
      let size = MemoryLayout<cl_ulong>.size
      try backend.call.run("clGetEventProfilingInfo") {
        let first = clGetEventProfilingInfo(event.raw, cl_profiling_info(CL_PROFILING_COMMAND_START), size, &start, nil)
        guard first == CL_SUCCESS else { return first }
        return clGetEventProfilingInfo(event.raw, cl_profiling_info(CL_PROFILING_COMMAND_END), size, &end, nil)
      }
      seconds[node] += Double(end &- start) * 1e-9
    }
    events = []
    return seconds
  }

  func endProfile() throws(EngineError) {
    try finish()
    try backend.keepTimes(false)
    events = []
    profiling = false
  }

  func fillArena(_ pattern: Float) throws(EngineError) {
    for arena in arenas { try backend.fill(arena, pattern) }
  }

  func readArena(_ slab: Int, offset: Int, count: Int) throws(EngineError) -> [Float] {
    var values = [Float](repeating: 0, count: count)
    var failure: EngineError?
    values.withUnsafeMutableBytes { bytes in
      guard let base = bytes.baseAddress else { return }
      do throws(EngineError) { try backend.read(base, bytes.count, from: arenas[slab], offset: offset * 4) } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return values
  }
}
