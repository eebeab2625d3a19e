public import Engine

/// What a device can do at most, measured: everything else is quoted against it.
public struct Roof: Sendable {
  /// Fused multiply-adds count two.
  public let flopsPerSecond: Double
  /// Bytes read and bytes written of a copy that no cache holds.
  public let copyBytesPerSecond: Double
  /// The CPU path's matrix products; nil on other devices.
  public let productFlopsPerSecond: Double?

  /// Measures for about `seconds` each and takes the best run: other work on the machine only takes away.
  public init(_ backend: any Backend, seconds: Double = 1) throws(EngineError) {
    // As many elements as fill any device; as many rounds as make a run long beside its launch.
    let few = 1 << 22
    var rounds = 256
    var arithmetic = try Self.best(RoofArithmetic(rounds: rounds), count: few, backend, seconds: 0)
    while arithmetic < 0.03, rounds < 1 << 24 {
      rounds *= 2
      arithmetic = try Self.best(RoofArithmetic(rounds: rounds), count: few, backend, seconds: 0)
    }
    arithmetic = try Self.best(RoofArithmetic(rounds: rounds), count: few, backend, seconds: seconds)
    flopsPerSecond = Double(2 * rounds * few) / arithmetic
    // Two of 256 MiB: beyond every cache.
    let many = min(1 << 26, backend.traits.maxAllocationBytes / 16)
    copyBytesPerSecond = Double(8 * many) / (try Self.best(RoofCopy(), count: many, backend, seconds: seconds))
    productFlopsPerSecond = (backend as? CPUBackend)?.productPeak(seconds: seconds)
  }

  private static func best(
    _ operation: some Operation, count: Int, _ backend: any Backend, seconds: Double
  ) throws(EngineError) -> Double {
    var graph = Graph()
    let x = graph.source("x", .vector(count), .input)
    graph.keep(try graph.apply(operation, [x])[0])
    let runner = try GraphRunner(graph, inputs: [x], on: backend, purpose: "the roof's \(type(of: operation).name)")
    return try runner.time(runs: 1000, seconds: seconds).least
  }

  /// The part of the roof that work reaches, and which roof: the time that it would take at the device's limit, of the time
  /// that it takes.
  public func fraction(of cost: Cost, seconds: Double) -> (fraction: Double, isMemoryBound: Bool) {
    let arithmetic = Double(cost.flops) / flopsPerSecond
    let memory = Double(cost.bytes) / copyBytesPerSecond
    return (max(arithmetic, memory) / max(seconds, 1e-12), memory > arithmetic)
  }
}
