import Foundation
import OpSuite
import Testing

@testable import Engine

/// Values computed again instead of kept: less memory, the same bits.
@Suite(.serialized) struct RecomputationTests {
  private let model = VariableUNet(base: 4)
  private static let height = 96
  private static let width = 80

  /// A limit that leaves a share of what a plan's arena takes; the rest cannot shrink.
  private func limit(_ plan: Plan, percent: Int) -> Int {
    plan.report.peakBytes - plan.report.arenaBytes * (100 - percent) / 100
  }

  private func session(
    _ backend: any Backend, limit: MemoryLimit, batch: Int = 2, microBatch: Int? = nil
  ) throws -> TrainingSession {
    try TrainingSession(
      model, batch: batch, microBatch: microBatch, height: Self.height, width: Self.width, on: backend, memoryLimit: limit,
      seed: 3)
  }

  /// What training leaves behind after some steps: losses, then every slab.
  private func trained(_ session: TrainingSession, steps: Int = 4) throws -> [[Float]] {
    var random = ReferenceRandom(seed: 9)
    let plane = Self.height * Self.width
    var losses: [Float] = []
    for step in 0..<steps {
      // The last one is smaller.
      let count = step == steps - 1 ? session.batch - 1 : session.batch
      let images = (0..<count * 3 * plane).map { _ in Float.random(in: 0..<1, using: &random) }
      let target: [Float] = (0..<count * plane).map { _ in Float.random(in: 0..<1, using: &random) < 0.2 ? 1 : 0 }
      let report = try session.step(images: images, target: target, count: count, learningRate: 1e-3)
      losses += [Float(report.loss), Float(report.gradientNorm)]
    }
    return [losses] + (try [Slab.parameters, .firstMoment, .secondMoment, .running].map { try session.state.read($0) })
  }

  @Test func theSameBitsInLessMemory() throws {
    for backend in try DeviceSelection.all() {
      let whole = try session(backend, limit: .bytes(.max))
      #expect(whole.plan.report.recomputed.isEmpty)
      let want = try trained(whole)
      for percent in [90, 75] {
        let limit = limit(whole.plan, percent: percent)
        let tight = try session(backend, limit: .bytes(limit))
        let report = tight.plan.report
        #expect(report.peakBytes <= limit, "\(backend.name), \(percent)%")
        #expect(report.flopsRecomputed > 0 && !report.recomputed.isEmpty)
        #expect(report.flopsForward == whole.plan.report.flopsForward, "what is done again is counted apart")
        #expect(try trained(tight) == want, "\(backend.name) at \(percent)% differs")
      }
    }
  }

  /// Batch norm's statistics move once a step, however often the convolution before it runs.
  @Test func onlyNodesWithoutSideEffectsRunTwice() throws {
    let traits = CPUBackend(threads: 1).traits
    let graph = try TrainingGraph(model, batch: 1, height: 64, width: 64)
    let plain = try Plan(graph.graph, layout: graph.layout, for: traits)
    let tight = try Plan(graph.graph, layout: graph.layout, for: traits, within: limit(plain, percent: 75))
    let again = tight.graph.nodes.filter(\.recomputes)
    #expect(again.count > 3)
    #expect(again.allSatisfy { $0.updates.isEmpty })
    let others = tight.graph.nodes.filter { !$0.recomputes }
    #expect(others.map { type(of: $0.operation).name } == graph.graph.nodes.map { type(of: $0.operation).name })
    #expect(others.map(\.results) == graph.graph.nodes.map(\.results))
    // Each value is written once, and before it is read.
    var written: Set<ValueID> = []
    for node in tight.graph.nodes {
      for value in (node.inputs + node.updates).flatMap({ tight.graph.stored($0) }) {
        if case .arena = tight.graph[value].residence { #expect(written.contains(value), "\(tight.graph[value].name)") }
      }
      for value in node.results { #expect(written.insert(value).inserted, "\(tight.graph[value].name)") }
    }
  }

  /// The choice is greedy, so neighbouring limits may be out of order; these are not.
  @Test func aLooserLimitCostsLess() throws {
    let traits = CPUBackend(threads: 1).traits
    let graph = try TrainingGraph(VariableUNet(base: 8), batch: 1, height: 128, width: 128)
    let plain = try Plan(graph.graph, layout: graph.layout, for: traits)
    var last = Int.max
    for percent in [65, 85, 100] {
      let limit = limit(plain, percent: percent)
      let report = try Plan(graph.graph, layout: graph.layout, for: traits, within: limit).report
      #expect(report.peakBytes <= limit)
      #expect(report.flopsRecomputed < last)
      last = report.flopsRecomputed
    }
    #expect(last == 0)
  }

  @Test func theSamePlanEachTime() throws {
    let traits = CPUBackend(threads: 1).traits
    let graph = try TrainingGraph(model, batch: 1, height: 64, width: 64)
    let limit = limit(try Plan(graph.graph, layout: graph.layout, for: traits), percent: 75)
    let plans = try (0..<2).map { _ in try Plan(graph.graph, layout: graph.layout, for: traits, within: limit) }
    #expect(plans[0].regions == plans[1].regions)
    #expect(plans[0].report.recomputed.map(\.name) == plans[1].report.recomputed.map(\.name))
  }

  @Test func whatCannotFitSaysWhatWould() throws {
    let backend = CPUBackend(threads: 1)
    let shape = TrainingShape(VariableUNet(base: 8), batch: 4, height: 128, width: 128)
    // What half the patch needs, and a little more.
    let limit = try TrainingShape(VariableUNet(base: 8), batch: 1, height: 64, width: 64).plan(on: backend.traits, within: .max)
      .plan.report
      .peakBytes
    #expect {
      try TrainingSession(
        VariableUNet(base: 8), batch: 4, height: 128, width: 128, on: backend, memoryLimit: .bytes(limit))
    } throws: { error in
      guard case EngineError.memory(let needed, limit, _, let wayOut?) = error else { return false }
      return needed > limit && wayOut.contains("--base") && wayOut.contains("--patch")
    }
    // Each way out fits, and the next size does not.
    let advice = shape.advice(backend.traits, within: limit)
    var ways = 0
    for (name, step, path) in [
      ("--patch ", 16, [\TrainingShape.height, \.width]), ("--base ", 2, [\.base]), ("--batch ", 1, [\.batch, \.microBatch]),
      ("--micro-batch ", 1, [\.microBatch]),
    ] {
      guard let found = advice.range(of: name),
        let value = Int(advice[found.upperBound...].prefix { $0.isNumber })
      else { continue }
      ways += 1
      var sized = shape
      for key in path { sized[keyPath: key] = value }
      #expect(sized.fits(backend.traits, within: limit), "\(name)\(value)")
      for key in path { sized[keyPath: key] = value + step }
      #expect(!sized.fits(backend.traits, within: limit), "\(name)\(value + step)")
    }
    #expect(ways >= 2)
  }

  // MARK: Micro-batches

  /// Halves of a batch that are alike: the mean of their gradients is each one's own.
  @Test func likeMicroBatchesGiveOnesGradient() throws {
    let plane = Self.height * Self.width
    var random = ReferenceRandom(seed: 4)
    let images = (0..<2 * 3 * plane).map { _ in Float.random(in: 0..<1, using: &random) }
    let target: [Float] = (0..<2 * plane).map { _ in Float.random(in: 0..<1, using: &random) < 0.2 ? 1 : 0 }
    for backend in try DeviceSelection.all() {
      let one = try session(backend, limit: .automatic)
      let parts = try session(backend, limit: .automatic, batch: 4, microBatch: 2)
      for _ in 0..<3 {
        let a = try one.step(images: images, target: target, count: 2, learningRate: 1e-3)
        let b = try parts.step(images: images + images, target: target + target, count: 4, learningRate: 1e-3)
        #expect(a.loss == b.loss && a.gradientNorm == b.gradientNorm && a.bce == b.bce && a.dice == b.dice)
      }
      #expect(try one.state.read(.parameters) == parts.state.read(.parameters), "\(backend.name)")
      #expect(try one.state.read(.running) != parts.state.read(.running), "running values move with each part")
    }
  }

  /// Three images in parts of two and one: each part counts by its images.
  @Test func partsCountByTheirImages() throws {
    let plane = Self.height * Self.width
    var random = ReferenceRandom(seed: 5)
    let images = (0..<3 * 3 * plane).map { _ in Float.random(in: 0..<1, using: &random) }
    let target: [Float] = (0..<3 * plane).map { _ in Float.random(in: 0..<1, using: &random) < 0.2 ? 1 : 0 }
    func gradient(_ range: Range<Int>, _ backend: any Backend) throws -> (values: [Float], bce: Double) {
      let session = try session(backend, limit: .automatic, batch: range.count)
      let report = try session.step(
        images: Array(images[range.lowerBound * 3 * plane..<range.upperBound * 3 * plane]),
        target: Array(target[range.lowerBound * plane..<range.upperBound * plane]), count: range.count, learningRate: 1e-3)
      return (try session.state.read(.gradients), report.bce)
    }
    for backend in try DeviceSelection.all() {
      let parts = try session(backend, limit: .automatic, batch: 3, microBatch: 2)
      let report = try parts.step(images: images, target: target, count: 3, learningRate: 1e-3)
      let (first, second) = (try gradient(0..<2, backend), try gradient(2..<3, backend))
      #expect(abs(report.bce - (2 * first.bce + second.bce) / 3) < 1e-12)
      let got = try parts.state.read(.accumulated)
      let largest = got.map(abs).max() ?? 0
      #expect(largest > 0)
      var worst = 0.0
      for index in got.indices {
        let want = (2 * Double(first.values[index]) + Double(second.values[index])) / 3
        worst = max(worst, abs(Double(got[index]) - want))
      }
      #expect(worst < 1e-6 * Double(largest), "\(backend.name): off by \(worst) of \(largest)")
    }
  }

  @Test func microBatchesWithinALimitGiveTheSameBits() throws {
    for backend in try DeviceSelection.all() {
      let whole = try session(backend, limit: .bytes(.max), batch: 3, microBatch: 2)
      let limit = limit(whole.plan, percent: 80)
      let tight = try session(backend, limit: .bytes(limit), batch: 3, microBatch: 2)
      #expect(tight.plan.report.peakBytes <= limit && tight.plan.report.flopsRecomputed > 0)
      #expect(try trained(tight) == trained(whole), "\(backend.name)")
    }
  }

  @Test(arguments: [
    ("5GiB", 5 << 30), ("4800MB", 4_800_000_000), ("1.5 GiB", 3 << 29), ("512mib", 512 << 20), ("1000B", 1000),
  ])
  func limitsAreRead(_ text: String, _ bytes: Int) throws {
    let limit = try MemoryLimit(text)
    #expect(limit == .bytes(bytes))
    #expect(try MemoryLimit(limit.description) == limit)
  }

  @Test(arguments: ["5", "GiB", "-1GiB", "0B", "5 apples", "nanGiB", "infGiB", ""])
  func otherLimitsAreRefused(_ text: String) {
    #expect {
      try MemoryLimit(text)
    } throws: { error in
      "\(error)".contains("5GiB")
    }
  }
}
