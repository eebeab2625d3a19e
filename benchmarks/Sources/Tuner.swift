public import Engine
import Randomness

/// Searches tiles for a device: at the most expensive convolutions of a model's training step, one size after the other,
/// each candidate in turn with the best so far.
///
/// A candidate that is faster is taken once its results were compared with those of the class's own tiles.
public final class Tuner {
  /// What came of one value of a size.
  public struct Choice: Sendable {
    public enum Outcome: Sendable, Equatable {
      case taken, slower
      /// Not built, not run, or wrong.
      case refused(String)
    }
    public let size: TileSize
    public let before: Int
    public let value: Int
    /// Seconds of the best so far divided by those with this value: above 1 this value is faster. Nil where it did not run.
    public let ratio: Double?
    public let outcome: Outcome
  }

  /// What was found.
  public struct Result: Sendable {
    public let tiles: TileTable
    /// Seconds with the class's tiles divided by those with these, by family, from a last comparison in turn.
    public let ratios: [TileSize.Family: Double]
    /// Whether every candidate had its turn.
    public let isComplete: Bool
  }

  /// A convolution of the step.
  private struct Probe {
    let family: TileSize.Family
    let node: SingleNode
    /// Times that a step runs it.
    let occurrences: Int

    var operation: Node { node.graph.nodes[node.graph.nodes.count - 1] }
    var bytes: Int { operation.targets.reduce(0) { $0 + 4 * node.graph.shape($1).count } }

    func launches(_ device: DeviceTraits) -> String {
      operation.operation.launches(node.graph.io(operation), device).map { "\($0)" }.joined()
    }
  }

  private typealias Loaded = [(probe: Probe, executable: any Executable)]

  private let backend: OpenCLBackend
  private let curated: TileTable
  private let probes: [Probe]
  private let deadline: Double
  private let numbers: [Float]
  /// Of one run of every probe, by the clock.
  private let passSeconds: Double
  /// The size whose convolutions are timed: the one asked for, or as much of it as the time allows.
  public let patch: Int
  public let batch: Int

  /// Outputs beyond this are too long to compare.
  private static let mostBytes = 256 << 20
  /// A gain below this may be noise.
  private static let leastGain = 1.02
  /// Of the norm of the difference to the norm: the same sums in another order stay a hundred times below.
  private static let mostDifference = 1e-4

  /// Takes the model's convolutions and finds the size to time them at.
  ///
  /// - Parameters:
  ///   - seconds: for all of the search, from now.
  /// - Throws: the device's error where the class's own tiles fail.
  public init(patch: Int, base: Int, batch: Int, on backend: OpenCLBackend, seconds: Double) throws(EngineError) {
    let start = monotonicSeconds()
    self.backend = backend
    deadline = start + seconds
    curated = backend.traits.curatedTiles
    backend.use(curated)
    var random = RandomSource(state: 11)
    let some = (0..<1 << 20).map { _ in Float(random.unit() - 0.5) }
    // From small to the size asked for, while a run is short.
    var size = (patch: min(patch, 256), batch: 1)
    var found: (probes: [Probe], seconds: Double, size: (patch: Int, batch: Int))?
    var numbers = some
    while true {
      let probes = try Self.probes(patch: size.patch, base: base, batch: size.batch)
      if found != nil, probes.contains(where: { $0.bytes > Self.mostBytes }) { break }
      let most = probes.flatMap { probe in probe.node.inputs.map { probe.node.graph.shape($0).count } }.max() ?? 0
      while numbers.count < most { numbers += some }
      let loaded = try Self.load(probes, backend, numbers)
      _ = try Self.pass(loaded)
      let before = monotonicSeconds()
      _ = try Self.pass(loaded)
      let pass = monotonicSeconds() - before
      found = (probes, pass, size)
      // A search makes some 40 passes, and the next size takes up to four times as long.
      if pass * 4 * 40 > seconds { break }
      if size.patch < patch {
        size.patch = min(patch, 2 * size.patch)
      } else if size.batch < batch {
        size.batch = min(batch, 2 * size.batch)
      } else {
        break
      }
    }
    self.numbers = numbers
    probes = found?.probes ?? []
    passSeconds = found?.seconds ?? 0
    self.patch = found?.size.patch ?? patch
    self.batch = found?.size.batch ?? batch
  }

  /// The two most expensive kinds of each: forward, input gradient, weight gradient.
  private static func probes(patch: Int, base: Int, batch: Int) throws(EngineError) -> [Probe] {
    let graph = try TrainingGraph(VariableUNet(base: base), batch: batch, height: patch, width: patch).graph
    var kinds: [String: (operation: String, probe: Probe, flops: Int)] = [:]
    for node in graph.nodes {
      let operation = type(of: node.operation).name
      guard operation.hasPrefix("convolution") else { continue }
      let single = SingleNode(node, of: graph)
      let known = kinds[single.signature]
      let occurrences = (known?.probe.occurrences ?? 0) + 1
      let family: TileSize.Family = operation.hasSuffix("weight_gradient") ? .weightGradient : .convolution
      kinds[single.signature] = (
        operation, Probe(family: family, node: single, occurrences: occurrences),
        (known?.flops ?? 0) + node.operation.cost(graph.io(node)).flops
      )
    }
    let byOperation = Dictionary(grouping: kinds.sorted { $0.key < $1.key }.map(\.value), by: \.operation)
    return byOperation.sorted { $0.key < $1.key }.flatMap { _, all in
      all.sorted { $0.flops > $1.flops }.prefix(2).map(\.probe)
    }
  }

  /// The tiles that the backend has while this runs, loaded with numbers in every input.
  private static func load(
    _ probes: [Probe], _ backend: OpenCLBackend, _ numbers: [Float]
  ) throws(EngineError) -> Loaded {
    var loaded: Loaded = []
    for probe in probes {
      let plan = try Plan(probe.node.graph, layout: StateLayout(), for: backend.traits)
      try plan.requireFit(backend.traits, purpose: "a convolution to tune on \(backend.name)")
      let executable = try backend.load(plan, state: backend.makeState(StateLayout(), slabs: []))
      try write(numbers, probe, executable)
      loaded.append((probe, executable))
    }
    return loaded
  }

  private static func write(_ numbers: [Float], _ probe: Probe, _ executable: any Executable) throws(EngineError) {
    for input in probe.node.inputs { try executable.write(numbers, 0..<probe.node.graph.shape(input).count, to: input) }
  }

  /// Seconds of each, by the device's clock.
  private static func pass(_ loaded: Loaded) throws(EngineError) -> [Double] {
    var seconds: [Double] = []
    for (_, executable) in loaded {
      try executable.startProfile()
      try executable.runAll()
      try executable.finish()
      seconds.append(try executable.nodeSeconds().last ?? 0)
    }
    return seconds
  }

  private func load(_ family: TileSize.Family?, _ tiles: TileTable) throws(EngineError) -> Loaded {
    backend.use(tiles)
    return try Self.load(probes.filter { family == nil || $0.family == family }, backend, numbers)
  }

  /// Whether a table changes any launch of a family.
  private func launches(_ family: TileSize.Family, _ tiles: TileTable) -> [String] {
    var device = backend.traits
    device.chosenTiles = tiles
    return probes.filter { $0.family == family }.map { $0.launches(device) }
  }

  /// Has what each value of a size beside `tiles` would launch compiled: most of a search's time where a compiler is slow.
  private func compileAhead(_ size: TileSize, _ tiles: TileTable) throws(EngineError) {
    var launches: [Launch] = []
    for value in size.candidates(tiles.deviceClass) {
      var candidate = tiles
      candidate[size] = value
      var device = backend.traits
      device.chosenTiles = candidate
      for probe in probes where probe.family == size.family {
        for node in probe.node.graph.nodes { launches += node.operation.launches(probe.node.graph.io(node), device) }
      }
    }
    try backend.compileAhead(launches)
  }

  /// Searches until the time is up, and compares what was found with the class's tiles once more.
  ///
  /// - Parameter shouldStop: asked before each candidate; true ends the search with what was found by then.
  public func run(shouldStop: () -> Bool = { false }, report: (Choice) -> Void) throws(EngineError) -> Result {
    defer { backend.use(nil) }
    // The last comparison: five rounds of two, loading, and the comparison of results.
    let reserve = passSeconds * 16 + 0.3
    var best = curated
    var isComplete = true
    for family in TileSize.Family.allCases {
      // The first family leaves half to the second.
      let end = family == .convolution ? (monotonicSeconds() + deadline - reserve) / 2 : deadline - reserve
      isComplete = try search(family, &best, until: end, shouldStop, report) && isComplete
    }
    var ratios: [TileSize.Family: Double] = [:]
    for family in TileSize.Family.allCases {
      guard launches(family, best) != launches(family, curated) else {
        restore(family, &best)
        continue
      }
      let (old, new) = (try load(family, curated), try load(family, best))
      let ratio = try ratio(old, new, rounds: 5)
      // Not a gain after all, or not the same results together.
      let error = try difference(old, new)
      let isRight = ratio >= Self.leastGain && error <= Self.mostDifference
      if isRight { ratios[family] = ratio } else { restore(family, &best) }
    }
    return Result(tiles: best, ratios: ratios, isComplete: isComplete)
  }

  private func restore(_ family: TileSize.Family, _ tiles: inout TileTable) {
    for size in TileSize.allCases where size.family == family && !size.candidates(tiles.deviceClass).isEmpty {
      tiles[size] = curated[size]
    }
  }

  /// - Returns: whether every candidate had its turn.
  private func search(
    _ family: TileSize.Family, _ best: inout TileTable, until end: Double, _ shouldStop: () -> Bool, _ report: (Choice) -> Void
  ) throws(EngineError) -> Bool {
    var current = try load(family, best)
    let reference = current
    _ = try Self.pass(current)
    let first = monotonicSeconds()
    var (tried, compiling) = (0.0, 0.0)
    for size in TileSize.searched where size.family == family {
      guard let before = best[ifPresent: size] else { continue }
      if shouldStop() || monotonicSeconds() > end { return false }
      let began = monotonicSeconds()
      try compileAhead(size, best)
      compiling += monotonicSeconds() - began
      for value in size.candidates(best.deviceClass) where value != before {
        let now = monotonicSeconds()
        // As long as one took so far.
        if shouldStop() || now + (now - first - compiling) / max(1, tried) > end { return false }
        var tiles = best
        tiles[size] = value
        guard launches(family, tiles) != launches(family, best) else { continue }
        let was = best[size]
        do throws(EngineError) {
          let candidate = try load(family, tiles)
          _ = try Self.pass(candidate)
          var ratio = try ratio(current, candidate, rounds: 3)
          // A busy moment of the machine does not come twice.
          if ratio >= Self.leastGain { ratio = min(ratio, try self.ratio(current, candidate, rounds: 3)) }
          if ratio < Self.leastGain {
            report(Choice(size: size, before: was, value: value, ratio: ratio, outcome: .slower))
          } else if case let error = try difference(reference, candidate), !(error <= Self.mostDifference) {
            let problem = "its results differ by \(Float(error)) of their norm"
            report(Choice(size: size, before: was, value: value, ratio: ratio, outcome: .refused(problem)))
          } else {
            report(Choice(size: size, before: was, value: value, ratio: ratio, outcome: .taken))
            (best, current) = (tiles, candidate)
          }
        } catch {
          report(Choice(size: size, before: was, value: value, ratio: nil, outcome: .refused("\(error)")))
          // After a fault of some devices nothing runs any more: the others would be refused one by one.
          if !backend.responds { throw error }
        }
        tried += 1
      }
    }
    return true
  }

  /// Seconds of `a` divided by those of `b`: each probe's best, as often as a step runs it; `a` and `b` in turn.
  private func ratio(_ a: Loaded, _ b: Loaded, rounds: Int) throws(EngineError) -> Double {
    var least = [[Double](repeating: .infinity, count: a.count), [Double](repeating: .infinity, count: b.count)]
    func sum(_ seconds: [Double]) -> Double { zip(seconds, a).reduce(0) { $0 + $1.0 * Double($1.1.probe.occurrences) } }
    for _ in 0..<rounds {
      for (index, loaded) in [a, b].enumerated() {
        least[index] = zip(least[index], try Self.pass(loaded)).map { min($0, $1) }
      }
      // Too far off: no further rounds.
      if sum(least[1]) > 1.05 * sum(least[0]) { break }
    }
    return sum(least[0]) / max(sum(least[1]), 1e-12)
  }

  /// The largest of the probes' ‖a − b‖ / ‖a‖; infinite where a result of `b` is not finite.
  private func difference(_ a: Loaded, _ b: Loaded) throws(EngineError) -> Double {
    var worst = 0.0
    for (old, new) in zip(a, b) {
      for (probe, executable) in [old, new] {
        // What a run adds to starts anew.
        try Self.write(numbers, probe, executable)
        try executable.runAll()
      }
      for target in old.probe.operation.targets {
        let (left, right) = (try old.executable.read(target), try new.executable.read(target))
        var (apart, norm): (Float, Float) = (0, 0)
        var sums = (0.0, 0.0)
        left.withUnsafeBufferPointer { left in
          right.withUnsafeBufferPointer { right in
            for start in stride(from: 0, to: left.count, by: 4096) {
              (apart, norm) = (0, 0)
              for index in start..<min(start + 4096, left.count) {
                let d = left[index] - right[index]
                apart += d * d
                norm += left[index] * left[index]
              }
              sums.0 += Double(apart)
              sums.1 += Double(norm)
            }
          }
        }
        let error = (sums.0 / max(sums.1, 1e-30)).squareRoot()
        worst = error.isFinite ? max(worst, error) : .infinity
      }
    }
    return worst
  }
}
