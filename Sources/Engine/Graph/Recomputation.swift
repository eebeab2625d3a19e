/// Computes values again before a late use instead of keeping them until then.
///
/// Between two uses of a value its bytes only wait. A *drop* ends its life at the earlier use and runs its producer once
/// more just before the later one; uses from there on read the new value, which has the same bits: same kernel, same
/// operands. What the producer reads has to be there; a source that is itself dropped at that moment is computed for this
/// purpose alone. Nodes that update something in place, such as a batch norm's running statistics, are never repeated: the
/// tables that they write stay.
///
/// ```
/// for some aims at the limit and below:
///   while more is live at some node than the aim:
///     for each value that waits there:  time = of what runs again;  gain = bytes above the aim, summed over nodes, that go
///     take the drop with the least time / gain
///   take back each drop, dearest first, without which the plan still fits the limit
/// of these plans the cheapest
/// ```
struct Recomputation {
  /// Value number `value` is computed again before node `before` of the original graph.
  private struct Drop: Hashable {
    let value: Int
    let before: Int
  }

  /// A choice of drops, carried out.
  private struct Trial {
    let graph: Graph
    /// Time of the nodes that run again, in the units of `time`.
    let addedTime: Double
    /// Live bytes of the arena at each node.
    let live: [Int]

    func excess(over target: Int) -> Double { live.reduce(0) { $0 + Double(max(0, $1 - target)) } }
  }

  private let graph: Graph
  private let device: DeviceTraits
  /// By value, where it can be computed again: the node that does.
  private var producer: [Int?]
  /// By value: the nodes that touch it, in order.
  private var uses: [[Int]]
  /// By node: scratch bytes, and time in the units of a floating-point operation.
  private var scratch: [Int] = []
  private var time: [Double] = []

  /// Floating-point operations that take as long as moving a byte: processors and GPUs have 5 to 30.
  private static let flopsPerByte = 10.0

  init(_ graph: Graph, for device: DeviceTraits) {
    self.graph = graph
    self.device = device
    producer = [Int?](repeating: nil, count: graph.values.count)
    uses = [[Int]](repeating: [], count: graph.values.count)
    var changed: Set<Int> = []
    for (index, node) in graph.nodes.enumerated() {
      for value in (node.inputs + node.targets).flatMap({ graph.stored($0) }) where uses[Int(value.index)].last != index {
        uses[Int(value.index)].append(index)
      }
      // What the update phase changes, nothing reads afterwards.
      if node.phase != .update { changed.formUnion(node.updates.map { Int($0.index) }) }
      let cost = node.operation.cost(graph.io(node))
      time.append(Double(cost.flops) + Self.flopsPerByte * Double(cost.bytes))
      scratch.append(node.operation.scratchBytes(graph.io(node), device).reduce(0, +))
    }
    for (index, node) in graph.nodes.enumerated() where node.phase == .forward && node.updates.isEmpty {
      guard node.results.count == 1, let result = node.results.first, !graph.kept.contains(result) else { continue }
      let operands = node.inputs.flatMap { graph.stored($0) }
      guard (operands + [result]).allSatisfy({ !changed.contains(Int($0.index)) }) else { continue }
      producer[Int(result.index)] = index
    }
  }

  /// A graph of the same results that fits `targetBytes` of arena at the least cost that was found, or else the smallest
  /// that was found.
  ///
  /// - Parameter placedBytes: what a graph's arena takes once every value has its place: more than is live, by gaps.
  func fitted(
    _ targetBytes: Int, _ placedBytes: (Graph) throws(EngineError) -> Int
  ) throws(EngineError) -> Graph {
    func fits(_ trial: Trial) throws(EngineError) -> Bool {
      guard trial.excess(over: targetBytes) == 0 else { return false }
      return try placedBytes(trial.graph) <= targetBytes
    }
    var cheapest: Trial?
    var smallest: (graph: Graph, byteCount: Int)?
    // Placement leaves gaps, and what is best step by step need not be best in the end: some lower aims, too.
    for part in stride(from: 64, through: 44, by: -4) {
      let aim = targetBytes / 64 * part
      var drops: Set<Drop> = []
      var trial = carryOut(drops)
      while let (drop, next) = best(drops, trial, aim) {
        drops.insert(drop)
        trial = next
      }
      let short = trial.excess(over: aim) > 0
      let byteCount = try placedBytes(trial.graph)
      if byteCount < smallest?.byteCount ?? .max { smallest = (trial.graph, byteCount) }
      if byteCount <= targetBytes {
        trial = try trimmed(drops, trial, fits)
        if trial.addedTime < cheapest?.addedTime ?? .infinity { cheapest = trial }
      }
      // What falls short of this aim falls short of lower ones.
      if short { break }
    }
    return cheapest?.graph ?? smallest?.graph ?? graph
  }

  /// Takes back drops that others made needless, those that save most time first.
  private func trimmed(
    _ drops: Set<Drop>, _ trial: Trial, _ fits: (Trial) throws(EngineError) -> Bool
  ) throws(EngineError) -> Trial {
    var (drops, trial) = (drops, trial)
    let order = ordered(drops).map { ($0, carryOut(drops.subtracting([$0])).addedTime) }.sorted { $0.1 < $1.1 }
    for (drop, _) in order {
      let without = carryOut(drops.subtracting([drop]))
      guard without.addedTime < trial.addedTime, try fits(without) else { continue }
      drops.remove(drop)
      trial = without
    }
    return trial
  }

  /// The drop that costs least time a byte of excess, and what comes of it; nil where none helps or none is needed.
  private func best(_ drops: Set<Drop>, _ trial: Trial, _ target: Int) -> (drop: Drop, trial: Trial)? {
    let excess = trial.excess(over: target)
    guard excess > 0 else { return nil }
    var best: (drop: Drop, trial: Trial)?
    var least = Double.infinity
    for drop in candidates(drops, trial, target) {
      let next = carryOut(drops.union([drop]))
      let gain = excess - next.excess(over: target)
      guard gain > 0 else { continue }
      let rate = (next.addedTime - trial.addedTime) / gain
      if rate < least { (best, least) = ((drop, next), rate) }
    }
    return best
  }

  /// In the order in which they run: a set has none, and a plan is to be the same each time.
  private func ordered(_ drops: Set<Drop>) -> [Drop] { drops.sorted { ($0.before, $0.value) < ($1.before, $1.value) } }

  /// Drops of values that wait while more is live than the target.
  private func candidates(_ drops: Set<Drop>, _ trial: Trial, _ target: Int) -> [Drop] {
    // Where the original's nodes are among those of the trial.
    var position: [Int] = []
    for (index, node) in trial.graph.nodes.enumerated() where !node.recomputes { position.append(index) }
    var crowded = [0]
    for bytes in trial.live { crowded.append(crowded[crowded.count - 1] + (bytes > target ? 1 : 0)) }
    return allDrops(above: target / 100).filter { drop in
      let earlier = uses[drop.value].last { $0 < drop.before } ?? 0
      // Strictly between the two uses.
      return crowded[position[drop.before]] > crowded[position[earlier] + 1] && !drops.contains(drop)
    }
  }

  /// Every drop of a value of more than `byteCount`: small ones take time to try and save nothing worth it.
  private func allDrops(above byteCount: Int) -> [Drop] {
    return uses.indices.filter { producer[$0] != nil && graph.values[$0].byteCount > byteCount }.flatMap { value in
      uses[value].dropFirst().map { Drop(value: value, before: $0) }
    }
  }

  private func carryOut(_ drops: Set<Drop>) -> Trial {
    var rewriter = Rewriter(self, ordered(drops).map { ($0.value, $0.before) })
    let (rewritten, origins) = rewriter.run()
    var added = 0.0
    for (node, origin) in zip(rewritten.nodes, origins) where node.recomputes { added += time[origin] }
    let lives = Liveness(rewritten)
    // Differences at each node, then their running sum.
    var live = [Int](repeating: 0, count: rewritten.nodes.count + 2)
    for (index, info) in rewritten.values.enumerated() {
      guard case .arena = info.residence, let life = lives[index] else { continue }
      live[life.lowerBound] += info.byteCount
      live[life.upperBound + 1] -= info.byteCount
    }
    for index in live.indices.dropFirst() { live[index] += live[index - 1] }
    live.removeLast(2)
    for (index, origin) in origins.enumerated() { live[index] += scratch[origin] }
    return Trial(graph: rewritten, addedTime: added, live: live)
  }

  /// Writes the graph down anew with nodes that run again.
  private struct Rewriter {
    private let source: Recomputation
    private var graph: Graph
    private var nodes: [Node] = []
    private var origins: [Int] = []
    /// By value: what stands for it at this moment.
    private var current: [ValueID]
    /// By value: the nodes before which it is computed again, in order.
    private var drops: [Int: [Int]] = [:]
    private var dropsBefore: [Int: [Int]] = [:]
    /// Sources that live for one recomputation before the present node.
    private var passing: [Int: ValueID] = [:]

    init(_ source: Recomputation, _ drops: [(value: Int, before: Int)]) {
      self.source = source
      graph = source.graph
      current = graph.values.indices.map { ValueID(index: Int32($0)) }
      for drop in drops {
        self.drops[drop.value, default: []].append(drop.before)
        dropsBefore[drop.before, default: []].append(drop.value)
      }
    }

    /// The graph, and for each of its nodes the original's node that it is or repeats.
    mutating func run() -> (Graph, [Int]) {
      for (index, node) in source.graph.nodes.enumerated() {
        passing = [:]
        // In the order of values: sources come before what is made of them.
        for value in dropsBefore[index] ?? [] { current[value] = again(value, index) }
        nodes.append(graph.substituting(node, current))
        origins.append(index)
      }
      return (graph.replacing(nodes: nodes), origins)
    }

    /// Whether what stands for a value now is kept until node `index` at least: the uses since it was made say so.
    private func isStored(_ value: Int, at index: Int) -> Bool {
      let next = drops[value]?.first { $0 > index } ?? .max
      return source.uses[value].contains { $0 >= index && $0 < next }
    }

    private mutating func again(_ value: Int, _ index: Int) -> ValueID {
      guard let origin = source.producer[value] else { return current[value] }
      let node = source.graph.nodes[origin]
      var present = current
      for operand in node.inputs.flatMap({ source.graph.stored($0) }) {
        let operand = Int(operand.index)
        guard source.producer[operand] != nil, !isStored(operand, at: index) else { continue }
        let made = passing[operand] ?? again(operand, index)
        passing[operand] = made
        present[operand] = made
      }
      let info = source.graph.values[value]
      let fresh = graph.source(
        info.name, info.shape, .arena, storage: info.storage, needsGradient: info.needsGradient)
      nodes.append(
        Node(
          operation: node.operation, inputs: graph.substituting(node, present).inputs, results: [fresh], updates: [],
          phase: source.graph.nodes[index].phase, recomputes: true))
      origins.append(origin)
      return fresh
    }
  }
}

extension Plan {
  /// Plans `graph` for a device within a limit on the plan's peak: where it does not fit as it is, some values are computed
  /// again instead of being kept (`report.recomputed`), at the least cost in time. Results are the same bits.
  ///
  /// Where nothing fits, this is the smallest plan that was found: ask `requireFit`.
  ///
  /// - Throws: `.memory` where one value exceeds the device's largest allocation.
  public init(
    _ graph: Graph, layout: StateLayout, for device: DeviceTraits, within limitBytes: Int
  ) throws(EngineError) {
    let plain = try Plan(graph, layout: layout, for: device)
    let report = plain.report
    guard report.peakBytes > limitBytes else {
      self = plain
      return
    }
    // Beside the arena nothing changes.
    let target = limitBytes - (report.peakBytes - report.arenaBytes)
    guard target > 0 else {
      self = plain
      return
    }
    let fitted = try Recomputation(graph, for: device).fitted(target) { (graph) throws(EngineError) in
      try Plan(graph, layout: layout, for: device).arenaBytes.reduce(0, +)
    }
    try self.init(fitted, layout: layout, for: device)
  }
}
