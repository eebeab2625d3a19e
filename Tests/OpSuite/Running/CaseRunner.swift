public import Engine

/// Runs cases on backends and holds the results against the Double reference.
///
/// Each case runs three times, and all three must give the same bytes: once with guard bands around every region of the
/// arena and no memory shared, then twice on one plan whose values share memory as in earnest. Before each run all
/// memory is filled with NaN, so that an element that nobody wrote shows; after the first, the bands, the padding of the
/// slabs and the inputs must be as they were. A case that fills the memory of a common device runs on the one plan alone.
public enum CaseRunner {
  /// A NaN that no arithmetic produces.
  private static let untouched = Float(bitPattern: 0x7fd5_a5a5)

  /// Never throws: an error is a failed result with the error's description.
  public static func run(_ opCase: OpCase, on backend: any Backend) -> CaseResult {
    var result = CaseResult(opCase.name, on: backend.name)
    let start = monotonicSeconds()
    do throws(EngineError) {
      let inputs = opCase.definition.inputs(seed: opCase.seed)
      let runs = try outputs(of: opCase.definition, inputs, on: backend)
      result.problems += runs.problems
      compare(runs.values, runs.roundoffs, opCase, inputs, backend.traits.arithmetic, &result)
    } catch {
      if case .build = error { result.didNotBuild = true }
      if case .memory = error, opCase.tier == .large { result.skipReason = error.description }
      result.problems.append(error.description)
    }
    result.elapsedSeconds = monotonicSeconds() - start
    return result
  }

  private static func compare(
    _ values: [[String: [Float]]], _ roundoffs: [String: Double], _ opCase: OpCase, _ inputs: [CaseInput],
    _ arithmetic: Precision, _ result: inout CaseResult
  ) {
    let tensors = byName(inputs)
    for (step, got) in values.enumerated() {
      let want = opCase.definition.reference(tensors, step)
      if Set(want.keys) != Set(got.keys) {
        result.problems.append("computed \(got.keys.sorted()), should be \(want.keys.sorted())")
      }
      for name in want.keys.sorted() {
        guard let want = want[name], let got = got[name] else { continue }
        var accuracy = opCase.definition.accuracy(name, tensors)
        accuracy.storageRoundoff = roundoffs[name] ?? 0
        let label = values.count == 1 ? name : "\(name) after step \(step + 1)"
        if let bound = ErrorBound.ofNorm(accuracy, constant: opCase.tolerance, arithmetic: arithmetic) {
          result.tensors.append(TensorResult(label, got: got, want: want, boundOfNorm: bound))
          continue
        }
        let bound = ErrorBound.absolute(
          accuracy, want: want, constant: opCase.tolerance, arithmetic: arithmetic)
        result.tensors.append(TensorResult(label, got: got, want: want, bound: bound))
      }
    }
  }

  /// A definition's outputs by step and name, what storing them may have cost, and what was wrong beside their values.
  static func outputs(
    of definition: any CaseDefinition, _ inputs: [CaseInput], on backend: any Backend
  ) throws(EngineError) -> (values: [[String: [Float]]], roundoffs: [String: Double], problems: [String]) {
    var builder = CaseBuilder(inputs)
    try definition.build(&builder)
    let alignment = max(64, backend.traits.alignmentBytes)
    let guardBytes = (4096 + alignment - 1) / alignment * alignment
    var problems: [String] = []
    var first: [[String: [Float]]]?
    if !definition.fillsMemory {
      let apart = try Run(builder, on: backend, guardBytes: guardBytes, pattern: untouched)
      first = try apart.go(steps: definition.steps)
      problems = try apart.findDamage()
      // Without the bands the next run could damage the process.
      if let first, !problems.isEmpty { return (first, apart.roundoffs, problems) }
    }
    let shared = try Run(builder, on: backend, guardBytes: 0, pattern: untouched)
    let second = try shared.go(steps: definition.steps)
    let third = try shared.go(steps: definition.steps)
    if let difference = differences(second, third) { problems.append("two runs of one plan differ in \(difference)") }
    if let first, let difference = differences(first, second) {
      problems.append("a plan that shares memory and one that doesn't differ in \(difference)")
    }
    return (second, shared.roundoffs, problems)
  }

  /// The first element whose bytes differ.
  private static func differences(_ a: [[String: [Float]]], _ b: [[String: [Float]]]) -> String? {
    for (step, (a, b)) in zip(a, b).enumerated() {
      for (name, left) in a.sorted(by: { $0.key < $1.key }) {
        guard let right = b[name], left.count == right.count else { return name }
        let index = left.withUnsafeBufferPointer { left in
          right.withUnsafeBufferPointer { right in
            left.indices.first { left[$0].bitPattern != right[$0].bitPattern }
          }
        }
        if let index { return "\(name)[\(index)], step \(step + 1): \(left[index]) and \(right[index])" }
      }
    }
    return nil
  }
}

/// Elements of a slab: offset, count.
private typealias MemoryReader = (_ offset: Int, _ count: Int) throws(EngineError) -> [Float]

/// A case's graph loaded on a backend.
private struct Run {
  let builder: CaseBuilder
  let plan: Plan
  let state: any StateMemory
  let executable: any Executable
  let pattern: Float

  init(_ builder: CaseBuilder, on backend: any Backend, guardBytes: Int, pattern: Float) throws(EngineError) {
    self.builder = builder
    self.pattern = pattern
    let graph = builder.graph.storing(.fp32, builder.gradientStorage, for: backend.traits)
    plan = try Plan(graph, layout: builder.layout, for: backend.traits, guardBytes: guardBytes)
    try plan.requireFit(backend.traits, purpose: "a case on \(backend.name)")
    state = try backend.makeState(builder.layout, slabs: plan.usesSlabs)
    executable = try backend.load(plan, state: state)
  }

  /// By output, what storing it may have cost: the roundoff of 16 bits, as often as some node wrote it or added to it; and twice that for
  /// each gradient in 16 bits that it is computed from, whose roundings add up by chance.
  var roundoffs: [String: Double] {
    let graph = plan.graph
    // By value, how often each gradient behind it, itself among them, was rounded.
    var roundings: [ValueID: [ValueID: Int]] = [:]
    for node in graph.nodes {
      var behind: [ValueID: Int] = [:]
      for value in node.inputs.flatMap({ graph.stored($0) }) { behind.merge(roundings[value] ?? [:], uniquingKeysWith: max) }
      for target in node.targets {
        roundings[target, default: [:]].merge(behind, uniquingKeysWith: max)
        if graph.gradients[target] != nil, graph[target].storage == .bfloat16 { roundings[target]![target, default: 0] += 1 }
      }
    }
    var found: [String: Double] = [:]
    for (name, _, shown) in builder.outputs {
      var behind: [ValueID: Int] = [:]
      for value in graph.stored(shown) { behind.merge(roundings[value] ?? [:], uniquingKeysWith: max) }
      let times = behind.reduce(0) { $0 + ($1.key == shown ? 1 : 2) * $1.value }
      let cost = Double(times) * 0x1p-8 + (graph[shown].storage == .float16 ? 0x1p-11 : 0)
      if cost > 0 { found[name] = cost }
    }
    return found
  }

  /// Fills all memory, writes the inputs, runs, and reads the outputs of each step.
  func go(steps: Int) throws(EngineError) -> [[String: [Float]]] {
    try executable.fillArena(pattern)
    for slab in plan.usesSlabs {
      try state.write([Float](repeating: pattern, count: builder.layout.count(of: slab)), to: slab)
    }
    var results: [[String: [Float]]] = []
    for step in 0..<steps {
      for (value, input) in builder.sources {
        if step == 0 {
          try executable.write(input.value.floats, to: value)
        } else if input.laterSteps.indices.contains(step - 1) {
          try executable.write(input.laterSteps[step - 1].floats, to: value)
        }
      }
      try executable.runAll()
      try executable.finish()
      var outputs: [String: [Float]] = [:]
      for (name, value, _) in builder.outputs { outputs[name] = try executable.read(value) }
      results.append(outputs)
    }
    return results
  }

  /// What a run wrote outside of the values that it should write.
  func findDamage() throws(EngineError) -> [String] {
    var problems: [String] = []
    var owned: [Plan.Region.Home: [(start: Int, end: Int, name: String)]] = [:]
    func own(_ region: Plan.Region, _ name: String) {
      let start = region.offset / 4
      owned[region.home, default: []].append((start, start + region.byteCount / 4, name))
    }
    for (index, region) in plan.regions.enumerated() {
      if let region { own(region, plan.graph.values[index].name) }
    }
    for (index, regions) in plan.scratch.enumerated() {
      for region in regions { own(region, "scratch of \(type(of: plan.graph.nodes[index].operation).name)") }
    }
    func check(_ home: Plan.Region.Home, _ place: String, count: Int, _ read: MemoryReader) throws(EngineError) {
      var at = 0
      var before = "the start"
      func scan(to end: Int, _ after: String) throws(EngineError) {
        while at < end {
          // In parts: the gap may be gigabytes.
          let memory = try read(at, min(end - at, 1 << 24))
          let bad = memory.withUnsafeBufferPointer { memory in
            memory.indices.first { memory[$0].bitPattern != pattern.bitPattern }
          }
          if let bad {
            problems.append(
              "wrote out of bounds: element \(at + bad) of \(place), between \(before) and \(after), is \(memory[bad])")
            return
          }
          at += memory.count
        }
      }
      for region in (owned[home] ?? []).sorted(by: { $0.start < $1.start }) {
        try scan(to: region.start, region.name)
        at = max(at, region.end)
        before = region.name
      }
      try scan(to: count, "the end")
    }
    for (slab, byteCount) in plan.arenaBytes.enumerated() {
      try check(.arena(slab), "arena slab \(slab)", count: byteCount / 4) { (offset, count) throws(EngineError) in
        try executable.readArena(slab, offset: offset, count: count)
      }
    }
    for slab in plan.usesSlabs {
      try check(.state(slab), "the \(slab.rawValue) slab", count: builder.layout.count(of: slab)) {
        (offset, count) throws(EngineError) in try state.read(slab, offset: offset, count: count)
      }
    }

    let written = Set(plan.graph.nodes.flatMap(\.updates))
    for (value, input) in builder.sources where !written.contains(value) && input.laterSteps.isEmpty {
      let now = try executable.read(value)
      if let index = zip(now, input.value.floats).enumerated().first(where: { $0.element.0 != $0.element.1 })?.offset {
        problems.append("changed its input \(input.name) at [\(index)]")
      }
    }
    return problems
  }
}
