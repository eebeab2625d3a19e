import Foundation
import OpSuite
import Synchronization
import Testing

@testable import Engine

/// Programs that others compile are taken from where they kept them, and what they could not compile is compiled after all.
@Suite(.serialized) struct CompilerProcessesTests {
  private func withStore(_ body: (_ device: OpenCLDevice, _ store: KernelStore) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("compilers-\(UUID().uuidString)").path
    defer {
      CompilerProcesses.useNone()
      try? FileManager.default.removeItem(atPath: folder)
    }
    try body(try #require(OpenCLDevice.all().first, "no OpenCL device was found"), KernelStore(folder: folder))
  }

  /// Several files, one of them with macros.
  private func graphs() throws -> [Graph] {
    var kinds: [String: Graph] = [:]
    for opCase in Catalogue.quick where ["relu", "max_pool", "roof", "adam", "batch_norm"].contains(opCase.operation) {
      kinds[opCase.operation] = try opCase.graph()
    }
    return Array(kinds.values)
  }

  private func load(_ graphs: [Graph], on backend: OpenCLBackend) throws {
    for launch in graphs.flatMap({ graph in graph.nodes.flatMap { $0.operation.launches(graph.io($0), backend.traits) } }) {
      _ = try backend.programs.kernel(launch)
    }
  }

  @Test func whatOthersCompiledIsTaken() throws {
    try withStore { device, store in
      let given = Mutex<[[String]]>([])
      CompilerProcesses.use(most: 3) { shares, device in
        given.withLock { $0 += shares }
        for share in shares {
          do { try CompilerProcesses.keep(share, on: device, store: store) } catch { Issue.record(error) }
        }
      }
      // Where anything is compiled here, it fails.
      let faults = FaultPlan(call: "clCreateProgramWithSource", number: 1, code: -3)
      let backend = try OpenCLBackend(device, faults: faults, edit: nil, store: store)
      backend.compilesAhead = true
      let graphs = try graphs()
      try backend.compileAhead(graphs)
      try load(graphs, on: backend)
      #expect(!faults.happened)
      #expect(backend.compilesAhead)
      let shares = given.withLock { $0 }
      #expect((2...3).contains(shares.count))
      #expect(Set(shares.joined()).count == shares.joined().count, "each program is compiled by one")
      let sizes = shares.map(\.count)
      #expect((sizes.max() ?? 0) - (sizes.min() ?? 0) <= 1, "no share is longer than another")
      // The second time there is nothing to compile.
      try backend.compileAhead(graphs)
      #expect(given.withLock { $0.count } == shares.count)
    }
  }

  @Test func whatNobodyCouldCompileIsCompiledHere() throws {
    try withStore { device, store in
      let asked = Mutex(0)
      CompilerProcesses.use(most: 2) { _, _ in asked.withLock { $0 += 1 } }
      let backend = try OpenCLBackend(device, edit: nil, store: store)
      backend.compilesAhead = true
      let graphs = try graphs()
      try backend.compileAhead(graphs)
      #expect(!backend.compilesAhead, "it is not tried again")
      try backend.compileAhead(graphs)
      #expect(asked.withLock { $0 } == 1)
      try load(graphs, on: backend)
    }
  }

  /// One program that a compiler refuses keeps no other from being compiled.
  @Test func aRefusedProgramEndsNothing() throws {
    try withStore { device, store in
      try CompilerProcesses.keep(["roof.cl __kernel=1", "relu.cl"], on: device, store: store)
      #expect(try FileManager.default.contentsOfDirectory(atPath: store.folder).count == 1)
    }
  }

  @Test(arguments: ["", "none.cl K=3", "conv2d.cl K", "conv2d.cl K=x", "conv2d.cl K=1=2"])
  func whatIsNoProgramIsAnError(_ name: String) throws {
    try withStore { device, store in
      #expect(throws: EngineError.self) { try CompilerProcesses.keep([name], on: device, store: store) }
    }
  }

  /// Few programs, one processor: nothing to gain.
  @Test func fewProgramsAreCompiledHere() throws {
    try withStore { device, store in
      CompilerProcesses.use(most: 4) { _, _ in Issue.record("a process was started") }
      let backend = try OpenCLBackend(device, edit: nil, store: store)
      let launches = try graphs().flatMap { graph in graph.nodes.flatMap { $0.operation.launches(graph.io($0), backend.traits) } }
      let few = try backend.programs.takeKept(launches).prefix(CompilerProcesses.fewest - 1)
      #expect(!CompilerProcesses.compile(Array(few), for: device))
      CompilerProcesses.use(most: 1) { _, _ in Issue.record("a process was started") }
      #expect(!CompilerProcesses.compile(launches, for: device))
    }
  }
}
