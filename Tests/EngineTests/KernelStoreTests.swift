import Foundation
import Testing

@testable import Engine

/// Compiled kernels on disk: never a stale one, and never an error for a damaged one.
@Suite(.serialized) struct KernelStoreTests {
  private func withFolder(_ body: (_ store: KernelStore) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("kernels-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(KernelStore(folder: folder + "/in/folders"))
  }

  private func files(_ store: KernelStore) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: store.folder).map { store.folder + "/" + $0 }
  }

  @Test func givesBackWhatWasKept() throws {
    try withFolder { store in
      #expect(store.binary(for: [1, 2]) == nil)
      store.keep([7, 8, 9], for: [1, 2])
      store.keep([5], for: [1, 2, 3])
      #expect(store.binary(for: [1, 2]) == [7, 8, 9])
      #expect(store.binary(for: [1, 2, 3]) == [5])
      #expect(store.binary(for: [1]) == nil)
      store.keep([4], for: [1, 2])
      #expect(store.binary(for: [1, 2]) == [4])
      let count = try files(store).count
      #expect(count == 2, "nothing half-written stays")
    }
  }

  /// The name of a file is a hash: another key's file under it is not believed.
  @Test func theWholeKeyCounts() throws {
    try withFolder { store in
      store.keep([7, 8, 9], for: [1, 2])
      let name = try #require(try files(store).first)
      store.keep([5], for: [3, 4])
      let other = try #require(try files(store).first { $0 != name })
      try FileManager.default.removeItem(atPath: other)
      try FileManager.default.moveItem(atPath: name, toPath: other)
      #expect(store.binary(for: [3, 4]) == nil)
    }
  }

  @Test func everyTruncationAndEveryFlippedByteIsSeen() throws {
    try withFolder { store in
      store.keep([7, 8, 9], for: [1, 2])
      let name = try #require(try files(store).first)
      let whole = try Data(contentsOf: URL(fileURLWithPath: name))
      for count in 0..<whole.count {
        try whole.prefix(count).write(to: URL(fileURLWithPath: name))
        #expect(store.binary(for: [1, 2]) == nil)
        var flipped = whole
        flipped[count] ^= 0x10
        try flipped.write(to: URL(fileURLWithPath: name))
        #expect(store.binary(for: [1, 2]) == nil)
      }
      try whole.write(to: URL(fileURLWithPath: name))
      #expect(store.binary(for: [1, 2]) == [7, 8, 9])
    }
  }

  @Test func aFolderThatCannotBeIsNoError() throws {
    let store = KernelStore(folder: "/proc/no/such/folder")
    store.keep([1], for: [2])
    #expect(store.binary(for: [2]) == nil)
  }

  // MARK: On a device

  /// y = x on the device, by a copy that may have been edited.
  private func copy(_ store: KernelStore, faults: FaultPlan? = nil, edit: ProgramCache.SourceEdit? = nil) throws -> [Float] {
    let device = try #require(OpenCLDevice.all().first, "no OpenCL device was found")
    let backend = try OpenCLBackend(device, faults: faults, edit: edit, store: store)
    var graph = Graph()
    let x = graph.source("x", .vector(8), .input)
    let y = try graph.apply(RoofCopy(), [x])[0]
    graph.keep(y)
    let plan = try Plan(graph, layout: StateLayout(), for: backend.traits)
    let executable = try backend.load(plan, state: backend.makeState(StateLayout(), slabs: []))
    try executable.write((1...8).map(Float.init), to: x)
    try executable.runAll()
    return try executable.read(y)
  }

  private let same = (1...8).map(Float.init)

  private func expectCopy(_ store: KernelStore, faults: FaultPlan? = nil, sourceLocation: SourceLocation = #_sourceLocation)
    throws
  {
    let got = try copy(store, faults: faults)
    #expect(got == same, sourceLocation: sourceLocation)
  }

  private func expectFiles(_ count: Int, _ store: KernelStore, sourceLocation: SourceLocation = #_sourceLocation) throws {
    let found = try files(store).count
    #expect(found == count, sourceLocation: sourceLocation)
  }

  /// The n-th creation from source fails: so where nothing fails, nothing was compiled.
  private var noCompiler: FaultPlan { FaultPlan(call: "clCreateProgramWithSource", number: 1, code: -3) }

  @Test func theSecondStartCompilesNothing() throws {
    try withFolder { store in
      #expect(throws: EngineError.self) { try copy(store, faults: noCompiler) }
      try expectCopy(store)
      try expectFiles(1, store)
      let faults = noCompiler
      try expectCopy(store, faults: faults)
      #expect(!faults.happened)
    }
  }

  @Test func aChangedSourceIsCompiledAnew() throws {
    try withFolder { store in
      try expectCopy(store)
      let edited = try copy(store) { file, text in
        let right = "= *(const __global float4 *)(x + at)"
        return file == "roof.cl" ? text.replacing(right, with: "= 2.0f * *(const __global float4 *)(x + at)") : text
      }
      #expect(edited == same.map { 2 * $0 })
      try expectFiles(2, store)
      try expectCopy(store)
    }
  }

  @Test func aDamagedFileIsCompiledAnewAndReplaced() throws {
    try withFolder { store in
      try expectCopy(store)
      let name = URL(fileURLWithPath: try #require(try files(store).first))
      let whole = try Data(contentsOf: name)
      try whole.prefix(whole.count / 2).write(to: name)
      try expectCopy(store)
      let faults = noCompiler
      try expectCopy(store, faults: faults)
    }
  }

  /// A driver may refuse what it gave, as after an update that its version does not show.
  @Test(arguments: [("clCreateProgramWithBinary", Int32(-42)), ("clBuildProgram", -11)])
  func aRefusedBinaryIsCompiledAnew(_ call: String, _ code: Int32) throws {
    try withFolder { store in
      try expectCopy(store)
      let faults = FaultPlan(call: call, number: 1, code: code)
      try expectCopy(store, faults: faults)
      #expect(faults.happened)
    }
  }

  @Test func aDriverWithoutBinariesIsNoError() throws {
    try withFolder { store in
      let faults = FaultPlan(call: "clGetProgramInfo", number: 1, code: -5)
      try expectCopy(store, faults: faults)
      #expect(faults.happened)
      #expect(!FileManager.default.fileExists(atPath: store.folder))
    }
  }
}
