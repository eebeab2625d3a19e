import Foundation
import Host
import Testing

@testable import Engine

/// Machines whose NUMA nodes list less memory than there is: PoCL has to see the whole.
@Suite struct HostDescriptionTests {
  private func withMachine(nodes: [Int], total: Int, _ body: (HostDescription) -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("host-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    func write(_ text: String, _ path: String) throws {
      let file = URL(fileURLWithPath: folder).appendingPathComponent(path)
      try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
      try text.write(to: file, atomically: true, encoding: .utf8)
    }
    try write("MemTotal:       \(total) kB\nMemFree:        1 kB\n", "meminfo")
    for (index, memory) in nodes.enumerated() {
      try write("\nNode \(index) MemTotal:        \(memory) kB\nNode \(index) MemFree: 1 kB\n", "node\(index)/meminfo")
    }
    for (index, (level, size)) in [(1, "48K"), (2, "1024K"), (3, "32768K")].enumerated() {
      try write("\(level)\n", "cache/index\(index)/level")
      try write("\(size)\n", "cache/index\(index)/size")
    }
    body(
      HostDescription(
        environment: [], nodes: folder, caches: folder + "/cache", memory: folder + "/meminfo", processors: 4,
        installedProcessors: 4))
  }

  @Test func aMachineWithMoreMemoryThanItsNodesIsDescribed() throws {
    try withMachine(nodes: [2_000_000, 1_000_000], total: 16_000_000) { machine in
      #expect(machine.text == "numa:1(memory=16384000000) l3:1(size=33554432) l2:4(size=1048576) core:1 pu:1")
    }
  }

  @Test func whereHwlocIsRightOrSomebodyChoseItIsLeftAlone() throws {
    try withMachine(nodes: [7_900_000, 8_000_000], total: 16_000_000) { #expect($0.text == nil, "the nodes have it all") }
    try withMachine(nodes: [], total: 16_000_000) { #expect($0.text == nil, "there are no nodes") }
    try withMachine(nodes: [1_000_000], total: 16_000_000) { machine in
      var chosen = machine
      chosen.environment = ["HWLOC_XMLFILE"]
      #expect(chosen.text == nil)
    }
  }

  @Test func poclTakesNoMoreProcessorsThanThereAreToUse() throws {
    try withMachine(nodes: [], total: 16_000_000) { machine in
      #expect(machine.told.isEmpty)
      var part = machine
      part.installedProcessors = 64
      #expect(part.told.map(\.name) == ["POCL_MAX_PTHREAD_COUNT", "POCL_CPU_MAX_CU_COUNT"])
      #expect(part.told.allSatisfy { $0.value == "4" })
      part.environment = ["POCL_MAX_PTHREAD_COUNT"]
      #expect(part.told.isEmpty, "somebody chose")
    }
  }

  @Test func poclSeesTheMachinesMemory() throws {
    let device = try #require(OpenCLDevice.all().first { $0.isPoCL }, "no PoCL was found")
    let total = try #require(HostMemory.bytes("MemTotal:", in: "/proc/meminfo"))
    #expect(device.memoryBytes > total / 2, "PoCL says \(device.memoryBytes) bytes of \(total)")
    #expect(getenv("HWLOC_SYNTHETIC") == nil, "other programs should not see it")
  }
}
