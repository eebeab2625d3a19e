/// What the control groups of this process, and those that they are in, leave it of memory and processors.
///
/// Both kinds that Linux has: version 2 (`memory.max`, `cpu.max`) and version 1 (`memory.limit_in_bytes`, `cpu.cfs_quota_us`). In a container
/// the paths of its groups may be those outside of it, which are not there; the limits are then at the root of what is mounted.
package struct ControlGroup {
  /// Lines such as `0::/user.slice` or `4:memory:/job_7`.
  package var membership = "/proc/self/cgroup"
  package var root = "/sys/fs/cgroup"

  package init() {}

  /// The least that one of the groups leaves, bytes; nil where none has a limit.
  package var memoryLeftBytes: Int? {
    left(of: "", limit: "memory.max", used: "memory.current", cache: "inactive_file")
      .least(
        with: left(of: "memory", limit: "memory.limit_in_bytes", used: "memory.usage_in_bytes", cache: "total_inactive_file"))
  }

  /// As many processors as the groups have time for, rounded up; nil where none has a limit.
  package var processors: Int? {
    var least: Int?
    for folder in folders(of: "") {
      // `200000 100000`: microseconds of each so many; or `max 100000`.
      let words = (TextFile.lines(folder + "/cpu.max").first ?? "").split(separator: " ").map { Int($0) }
      if words.count == 2, let quota = words[0], let period = words[1] {
        least = least.least(with: Self.share(quota, of: period))
      }
    }
    for folder in folders(of: "cpu") {
      if let quota = Self.number(folder + "/cpu.cfs_quota_us"), let period = Self.number(folder + "/cpu.cfs_period_us") {
        least = least.least(with: Self.share(quota, of: period))
      }
    }
    return least
  }

  private static func share(_ quota: Int, of period: Int) -> Int? {
    // -1 is no limit.
    quota > 0 && period > 0 ? (quota + period - 1) / period : nil
  }

  private func left(of controller: String, limit: String, used: String, cache: String) -> Int? {
    var least: Int?
    for folder in folders(of: controller) {
      // Version 1 says no limit by a number beyond any memory.
      guard let most = Self.number(folder + "/" + limit), most < 1 << 60, let taken = Self.number(folder + "/" + used) else {
        continue
      }
      // Pages of files that nobody has read lately count as used, and are given up first.
      let words = TextFile.lines(folder + "/memory.stat").lazy.map { $0.split(separator: " ") }
      let reclaimable = words.first { $0.first.map(String.init) == cache }.flatMap { Int($0.last ?? "") } ?? 0
      least = least.least(with: max(0, most - max(0, taken - reclaimable)))
    }
    return least
  }

  /// The folders of a controller's groups, this process's own first and the root last; of version 2 where the name is empty.
  private func folders(of controller: String) -> [String] {
    for line in TextFile.lines(membership) {
      let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3,
        parts[1].split(separator: ",").contains(Substring(controller)) || parts[1].isEmpty && controller.isEmpty
      else { continue }
      let base = controller.isEmpty ? root : root + "/" + controller
      var path = parts[2].split(separator: "/")
      var folders: [String] = []
      while !path.isEmpty {
        folders.append(base + "/" + path.joined(separator: "/"))
        path.removeLast()
      }
      return folders + [base]
    }
    return []
  }

  private static func number(_ path: String) -> Int? { TextFile.lines(path).first.flatMap { Int($0) } }
}

extension Int? {
  /// The lesser of those that are there.
  fileprivate func least(with other: Int?) -> Int? {
    guard let self, let other else { return self ?? other }
    return Swift.min(self, other)
  }
}
