import OpSuite
import Testing

@testable import Engine

/// Properties of placements, on random requests and on the catalogue's own graphs.
@Suite struct MemoryPlannerTests {
  /// Requests of a few kilobytes over intervals of a few dozen nodes.
  private func requests(_ random: inout ReferenceRandom) -> [MemoryPlanner.Request] {
    let nodes = Int.random(in: 1...60, using: &random)
    return (0..<Int.random(in: 0...80, using: &random)).map { _ in
      let first = Int.random(in: 0..<nodes, using: &random)
      return MemoryPlanner.Request(
        byteCount: Int.random(in: 0...5000, using: &random), first: first,
        last: min(nodes - 1, first + Int.random(in: 0...12, using: &random)))
    }
  }

  private func size(_ request: MemoryPlanner.Request, _ planner: MemoryPlanner) -> Int {
    (max(1, request.byteCount) + planner.alignment - 1) / planner.alignment * planner.alignment
  }

  private func overlap(_ a: MemoryPlanner.Request, _ b: MemoryPlanner.Request) -> Bool {
    a.first <= b.last && b.first <= a.last
  }

  @Test(arguments: 0..<200) func placementsAreSound(_ seed: Int) throws {
    var random = ReferenceRandom(seed: UInt64(seed))
    let planner = MemoryPlanner(alignment: [64, 128, 512][seed % 3], slabLimit: seed % 2 == 0 ? 1 << 30 : 8192)
    let requests = requests(&random)
    let (extents, slabBytes) = try planner.place(requests)
    #expect(extents.count == requests.count)
    for (index, extent) in extents.enumerated() {
      #expect(extent.offset % planner.alignment == 0, "request \(index) is not aligned")
      #expect(
        extent.offset + size(requests[index], planner) <= slabBytes[extent.slab], "request \(index) leaves its slab")
      for other in 0..<index where overlap(requests[index], requests[other]) && extents[other].slab == extent.slab {
        let apart =
          extent.offset + size(requests[index], planner) <= extents[other].offset
          || extents[other].offset + size(requests[other], planner) <= extent.offset
        #expect(apart, "requests \(index) and \(other) live at one time and share bytes")
      }
    }
    #expect(slabBytes.allSatisfy { $0 <= planner.slabLimit })
    let nodes = (requests.map(\.last).max() ?? 0) + 1
    let lowerBound =
      (0..<nodes).map { node in
        requests.reduce(0) { $0 + ($1.first <= node && node <= $1.last ? size($1, planner) : 0) }
      }.max() ?? 0
    let peak = slabBytes.reduce(0, +)
    #expect(peak >= lowerBound)
    #expect(peak <= requests.reduce(0) { $0 + size($1, planner) }, "never worse than sharing nothing")
    #expect(try planner.place(requests).extents == extents, "the same each time")
  }

  @Test func valuesThatFollowEachOtherShareBytes() throws {
    let planner = MemoryPlanner(alignment: 64, slabLimit: 1 << 20)
    let chain = (0..<10).map { MemoryPlanner.Request(byteCount: 1000, first: $0, last: $0 + 1) }
    #expect(try planner.place(chain).slabBytes == [2048])
  }

  @Test func aValueBeyondTheSlabLimitIsAnError() {
    let planner = MemoryPlanner(alignment: 64, slabLimit: 4096)
    #expect(throws: EngineError.self) { try planner.place([.init(byteCount: 4097, first: 0, last: 0)]) }
  }

  @Test func plansOfTheCatalogueAreSound() throws {
    for opCase in Catalogue.quick {
      let graph = try opCase.graph()
      for guardBytes in [0, 4096] {
        let plan = try Plan(graph, layout: StateLayout(), for: Coverage.imaginaryDevice(), guardBytes: guardBytes)
        let lives = Liveness(graph)
        let placed =
          graph.values.indices.compactMap { index -> (region: Plan.Region, life: ClosedRange<Int>)? in
            guard let region = plan.regions[index], case .arena = region.home, let life = lives[index] else {
              return nil
            }
            return (region, life)
          } + plan.scratch.enumerated().flatMap { index, regions in regions.map { ($0, index...index) } }
        for (index, a) in placed.enumerated() {
          for b in placed[..<index] where a.region.home == b.region.home && (guardBytes > 0 || a.life.overlaps(b.life)) {
            let apart =
              a.region.offset + a.region.byteCount + 2 * guardBytes <= b.region.offset
              || b.region.offset + b.region.byteCount + 2 * guardBytes <= a.region.offset
            #expect(apart, "\(opCase): \(a.region) and \(b.region)")
          }
        }
        #expect(plan.report.arenaBytes >= plan.report.arenaLowerBoundBytes)
      }
    }
  }
}
