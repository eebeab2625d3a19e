import Engine
import Randomness

/// A graph loaded on a device with random inputs, to be run over and over; its last node is timed.
final class GraphRunner {
  private let executable: any Executable

  /// - Throws: `.memory` where it does not fit.
  init(_ graph: Graph, inputs: [ValueID], on backend: any Backend, purpose: String) throws(EngineError) {
    let plan = try Plan(graph, layout: StateLayout(), for: backend.traits)
    try plan.requireFit(backend.traits, purpose: purpose)
    executable = try backend.load(plan, state: backend.makeState(StateLayout(), slabs: []))
    let largest = inputs.map { graph.shape($0).count }.max() ?? 0
    let values = Self.numbers(largest)
    var failure: EngineError?
    values.withUnsafeBufferPointer { values in
      do throws(EngineError) {
        for input in inputs {
          try executable.write(UnsafeBufferPointer(rebasing: values[..<graph.shape(input).count]), to: input)
        }
      } catch { failure = error }
    }
    if let failure { throw failure }
  }

  /// Numbers in 0..<1: a million random ones, over and over.
  private static func numbers(_ count: Int) -> [Float] {
    var random = RandomSource(state: 7)
    let some = (0..<min(count, 1 << 20)).map { _ in Float(random.unit()) }
    var all: [Float] = []
    all.reserveCapacity(count)
    while all.count < count { all.append(contentsOf: some.prefix(count - all.count)) }
    return all
  }

  /// Runs once to warm up, then up to `runs` times while `seconds` last, at least three times; the seconds are those of the
  /// device's own clock.
  func time(runs: Int, seconds: Double) throws(EngineError) -> Timing {
    _ = try once()
    let start = monotonicSeconds()
    var all: [Double] = []
    while all.count < 3 || (all.count < runs && monotonicSeconds() - start < seconds) { all.append(try once()) }
    try executable.endProfile()
    return Timing(all)
  }

  private func once() throws(EngineError) -> Double {
    try executable.startProfile()
    try executable.runAll()
    try executable.finish()
    return try executable.nodeSeconds().last ?? 0
  }
}
