import Foundation
import Testing

@testable import Host

/// What containers and batch systems allow, as the kernel says it.
@Suite final class ControlGroupTests {
  private let folder = FileManager.default.temporaryDirectory.appendingPathComponent("group-\(UUID().uuidString)")

  deinit { try? FileManager.default.removeItem(at: folder) }

  /// Control groups of files in a folder of their own.
  private func group(_ membership: String, _ files: [String: String]) throws -> ControlGroup {
    let folder = folder.appendingPathComponent(UUID().uuidString)
    for (path, text) in files {
      let file = folder.appendingPathComponent("root/\(path)")
      try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
      try (text + "\n").write(to: file, atomically: true, encoding: .utf8)
    }
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try (membership + "\n").write(to: folder.appendingPathComponent("cgroup"), atomically: true, encoding: .utf8)
    var group = ControlGroup()
    (group.membership, group.root) = (folder.appendingPathComponent("cgroup").path, folder.appendingPathComponent("root").path)
    return group
  }

  /// The least that a job or the job's user leaves; pages of files are given up first.
  @Test func theTightestGroupCounts() throws {
    let group = try group(
      "0::/user/job_7/step",
      [
        "user/job_7/step/memory.max": "max", "user/job_7/step/memory.current": "1000", "user/job_7/step/cpu.max": "max 100000",
        "user/job_7/memory.max": "8000", "user/job_7/memory.current": "3000",
        "user/job_7/memory.stat": "anon 1\ninactive_file 500",
        "user/job_7/cpu.max": "250000 100000",
        "user/memory.max": "100000", "user/memory.current": "10000", "user/cpu.max": "800000 100000",
      ])
    #expect(group.memoryLeftBytes == 5500)
    #expect(group.processors == 3, "two and a half, rounded up")
  }

  /// In a container the groups' paths are those of the outside, and its own limits are at the root.
  @Test func aContainersLimitsAreAtItsRoot() throws {
    let two = try group("0::/", ["memory.max": "4000", "memory.current": "1000", "cpu.max": "200000 100000"])
    #expect(two.memoryLeftBytes == 3000 && two.processors == 2)
    let one = try group(
      "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc",
      [
        "memory/memory.limit_in_bytes": "4000", "memory/memory.usage_in_bytes": "1000",
        "memory/memory.stat": "inactive_file 1\ntotal_inactive_file 100", "cpu/cpu.cfs_quota_us": "150000",
        "cpu/cpu.cfs_period_us": "100000",
      ])
    #expect(one.memoryLeftBytes == 3100 && one.processors == 2)
  }

  @Test func noLimitIsNone() throws {
    let one = try group(
      "5:memory:/\n4:cpu:/",
      [
        "memory/memory.limit_in_bytes": "9223372036854771712", "memory/memory.usage_in_bytes": "1000",
        "cpu/cpu.cfs_quota_us": "-1",
        "cpu/cpu.cfs_period_us": "100000",
      ])
    #expect(one.memoryLeftBytes == nil && one.processors == nil)
    let neither = try group("0::/", [:])
    #expect(neither.memoryLeftBytes == nil && neither.processors == nil)
    // More is used than is allowed: nothing is left, and not less.
    let over = try group("0::/", ["memory.max": "4000", "memory.current": "5000"])
    #expect(over.memoryLeftBytes == 0)
  }
}
