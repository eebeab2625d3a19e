import Foundation
import Testing

@testable import Host

/// Processors and memory of this process.
@Suite struct HostLimitsTests {
  @Test(arguments: [
    ("Cpus_allowed_list:\t0-3,8,10-11", 7), ("Cpus_allowed_list:\t5", 1), ("Cpus_allowed_list:\t", nil), ("Name: x", nil),
  ])
  func aProcesssProcessorsAreCounted(_ line: String, _ count: Int?) throws {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("status-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: file) }
    try "Name:\tglomseg\n\(line)\n".write(toFile: file, atomically: true, encoding: .utf8)
    #expect(Processors.allowed(in: file) == count)
  }

  /// Addresses that something else will take are left to it; other tests have room meanwhile.
  @Test func aLimitOfAddressesCounts() throws {
    let kind = __rlimit_resource_t(RLIMIT_AS.rawValue)
    var before = rlimit()
    try #require(getrlimit(kind, &before) == 0)
    let taken = try #require(HostMemory.bytes("VmSize:", in: "/proc/self/status")), room = 64 << 30
    var limit = before
    limit.rlim_cur = min(before.rlim_cur, rlim_t(taken + room))
    try #require(setrlimit(kind, &limit) == 0)
    defer { setrlimit(kind, &before) }
    #expect(HostMemory.hasAddressLimit)
    #expect(try #require(HostMemory.availableBytes(besideMapped: room - 64 << 20)) <= 1 << 30)
    #expect(HostMemory.availableBytes(besideMapped: 2 * room) == 0)
  }

  @Test func thisMachineHasSome() throws {
    #expect(Processors.available >= 1)
    #expect(try #require(HostMemory.availableBytes()) > 1 << 20)
    #expect(
      HostMemory.bytes("MemTotal:", in: "/proc/meminfo") ?? 0 >= HostMemory.bytes("MemAvailable:", in: "/proc/meminfo") ?? 1)
  }
}
