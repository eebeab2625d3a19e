/// A graph in which every byte has a place. A backend loads it once and replays it every step.
public struct Plan: Sendable {
  /// A region of memory: of a persistent slab, an input of its own, or an arena slab.
  public struct Region: Hashable, Sendable {
    public enum Home: Hashable, Sendable {
      case state(Slab)
      case input(Int)
      case arena(Int)
    }
    public let home: Home
    /// Bytes from the home's start.
    public let offset: Int
    public let byteCount: Int
  }

  public let graph: Graph
  public let layout: StateLayout
  /// By value; nil for views.
  package let regions: [Region?]
  /// By node: its scratch regions.
  package let scratch: [[Region]]
  public let arenaBytes: [Int]
  public let inputBytes: [Int]
  /// Second buffers of the inputs that are written ahead, in the order of `graph.ahead`; empty where none are.
  public let aheadBytes: [Int]
  public let usesSlabs: Set<Slab>
  /// Bytes set aside on both sides of each arena region, for tests that look for writes out of bounds. Where there are
  /// any, no two regions share memory, so that a band keeps its pattern unless something wrote out of bounds.
  package let guardBytes: Int

  /// Plans `graph` for a device.
  ///
  /// - Throws: `.memory` where one value exceeds the device's largest allocation.
  public init(
    _ graph: Graph, layout: StateLayout, for device: DeviceTraits, guardBytes: Int = 0
  ) throws(EngineError) {
    self.graph = graph
    self.layout = layout
    self.guardBytes = guardBytes
    let (extents, scratchExtents, arenaBytes) = try Plan.placeArena(graph, device, guardBytes)
    var regions = [Region?](repeating: nil, count: graph.values.count)
    var inputBytes: [Int] = []
    var slabs: Set<Slab> = []
    for (index, info) in graph.values.enumerated() {
      switch info.residence {
      case .input:
        regions[index] = Region(home: .input(inputBytes.count), offset: 0, byteCount: info.byteCount)
        inputBytes.append(info.byteCount)
      case .persistent(let slab, let offset):
        regions[index] = Region(home: .state(slab), offset: offset * 4, byteCount: info.byteCount)
        slabs.insert(slab)
      case .arena:
        if let extent = extents[index] {
          regions[index] = Region(home: .arena(extent.slab), offset: extent.offset + guardBytes, byteCount: info.byteCount)
        }
      case .view: break
      }
    }
    self.regions = regions
    self.scratch = scratchExtents
    self.arenaBytes = arenaBytes
    self.inputBytes = inputBytes
    aheadBytes = device.writesAhead ? graph.ahead.map { graph[$0].byteCount } : []
    self.usesSlabs = slabs
  }

  private static func placeArena(
    _ graph: Graph, _ device: DeviceTraits, _ guardBytes: Int
  ) throws(EngineError) -> ([MemoryPlanner.Extent?], [[Region]], [Int]) {
    let lives = Liveness(graph)
    let always = 0...graph.nodes.count
    var requests: [MemoryPlanner.Request] = []
    var owners: [Int] = []
    for (index, info) in graph.values.enumerated() {
      guard case .arena = info.residence, let range = lives[index] else { continue }
      let life = guardBytes > 0 ? always : range
      requests.append(.init(byteCount: info.byteCount + 2 * guardBytes, first: life.lowerBound, last: life.upperBound))
      owners.append(index)
    }
    var scratchOwners: [(node: Int, byteCount: Int)] = []
    for (index, node) in graph.nodes.enumerated() {
      for byteCount in node.operation.scratchBytes(graph.io(node), device) {
        let life = guardBytes > 0 ? always : index...index
        requests.append(
          .init(byteCount: byteCount + 2 * guardBytes, first: life.lowerBound, last: life.upperBound))
        scratchOwners.append((index, byteCount))
      }
    }
    let planner = MemoryPlanner(alignment: max(64, device.alignmentBytes), slabLimit: device.maxAllocationBytes)
    let (extents, slabBytes) = try planner.place(requests)
    var byValue = [MemoryPlanner.Extent?](repeating: nil, count: graph.values.count)
    for (request, owner) in owners.enumerated() { byValue[owner] = extents[request] }
    var byNode = [[Region]](repeating: [], count: graph.nodes.count)
    for (index, owner) in scratchOwners.enumerated() {
      let extent = extents[owners.count + index]
      byNode[owner.node].append(
        Region(home: .arena(extent.slab), offset: extent.offset + guardBytes, byteCount: owner.byteCount))
    }
    return (byValue, byNode, slabBytes)
  }

  /// Refuses what memory cannot hold. The system hands out pages that it does not have, so without this the process would
  /// be killed on the way.
  ///
  /// - Throws: `.memory` with both numbers, and with `wayOut`.
  public func requireFit(
    within limitBytes: Int, purpose: String, wayOut: @autoclosure () -> String? = nil
  ) throws(EngineError) {
    let needed = report.peakBytes
    guard needed > limitBytes else { return }
    throw .memory(neededBytes: needed, availableBytes: limitBytes, purpose: purpose, wayOut: wayOut())
  }

  /// Refuses what a device's whole memory cannot hold.
  public func requireFit(_ device: DeviceTraits, purpose: String) throws(EngineError) {
    // A driver that does not tell its memory says 0.
    try requireFit(within: device.memoryBytes > 0 ? device.memoryBytes : .max, purpose: purpose)
  }

  /// The peak by kind, and the largest values.
  public var report: Report { Report(self) }

  /// What a plan will take, before it is allocated.
  public struct Report: Sendable {
    public let parameterBytes: Int
    /// Gradients and optimiser moments.
    public let optimizerBytes: Int
    public let runningBytes: Int
    public let inputBytes: Int
    public let arenaBytes: Int
    /// The most that must be live at one time: no placement can do with less.
    public let arenaLowerBoundBytes: Int
    public let largest: [(name: String, byteCount: Int)]
    public let flopsForward: Int
    public let flopsBackward: Int
    /// Work done again to save memory, beside the above.
    public let flopsRecomputed: Int
    /// What is computed again, in order.
    public let recomputed: [(name: String, byteCount: Int, flops: Int)]
    public var peakBytes: Int { parameterBytes + optimizerBytes + runningBytes + inputBytes + arenaBytes }

    init(_ plan: Plan) {
      func bytes(_ slab: Slab) -> Int { plan.usesSlabs.contains(slab) ? plan.layout.count(of: slab) * 4 : 0 }
      parameterBytes = bytes(.parameters)
      optimizerBytes =
        bytes(.gradients) + bytes(.accumulated) + bytes(.firstMoment) + bytes(.secondMoment)
        + bytes(.averaged)
      runningBytes = bytes(.running)
      inputBytes = plan.inputBytes.reduce(0, +) + plan.aheadBytes.reduce(0, +)
      arenaBytes = plan.arenaBytes.reduce(0, +)
      let graph = plan.graph
      let lives = Liveness(graph)
      var live = [Int](repeating: 0, count: graph.nodes.count + 1)
      var sizes: [(String, Int)] = []
      for (index, info) in graph.values.enumerated() {
        guard case .arena = info.residence, let life = lives[index] else { continue }
        sizes.append((info.name, info.byteCount))
        for node in life where node < live.count { live[node] += info.byteCount }
      }
      for (index, regions) in plan.scratch.enumerated() { live[index] += regions.reduce(0) { $0 + $1.byteCount } }
      arenaLowerBoundBytes = live.max() ?? 0
      largest = sizes.sorted { $0.1 > $1.1 }.prefix(10).map { (name: $0.0, byteCount: $0.1) }
      var flops: [Phase: Int] = [:]
      var recomputed: [(name: String, byteCount: Int, flops: Int)] = []
      for node in graph.nodes {
        let cost = node.operation.cost(graph.io(node))
        if node.recomputes, let result = node.results.first {
          recomputed.append((graph[result].name, graph[result].byteCount, cost.flops))
        } else {
          flops[node.phase, default: 0] += cost.flops
        }
      }
      self.recomputed = recomputed
      flopsRecomputed = recomputed.reduce(0) { $0 + $1.flops }
      flopsForward = flops[.forward] ?? 0
      flopsBackward = flops[.backward] ?? 0
    }
  }
}

/// For each value, the closed range of node indices over which its bytes matter; nil where no node touches it.
struct Liveness {
  private let ranges: [ClosedRange<Int>?]

  subscript(value: Int) -> ClosedRange<Int>? { ranges[value] }

  init(_ graph: Graph) {
    var ranges = [ClosedRange<Int>?](repeating: nil, count: graph.values.count)
    func touch(_ value: ValueID, _ node: Int) {
      for stored in graph.stored(value) {
        let index = Int(stored.index)
        if let range = ranges[index] {
          ranges[index] = min(range.lowerBound, node)...max(range.upperBound, node)
        } else {
          ranges[index] = node...node
        }
      }
    }
    for (index, node) in graph.nodes.enumerated() {
      for value in node.inputs + node.targets { touch(value, index) }
    }
    for value in graph.kept { touch(value, graph.nodes.count) }
    self.ranges = ranges
  }
}
