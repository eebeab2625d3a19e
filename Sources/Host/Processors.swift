import Glibc

/// The processors that this process may use.
package enum Processors {
  /// Those that it may run on (`taskset`, a batch system's cpuset), but no more than its control group has time for (a container's
  /// `--cpus`); at least 1. The machine may have more.
  package static var available: Int {
    let allowed = allowed(in: "/proc/self/status") ?? Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    return max(1, min(allowed, ControlGroup().processors ?? allowed))
  }

  /// The processors of a line such as `Cpus_allowed_list: 0-3,8`; nil where there is none.
  static func allowed(in path: String) -> Int? {
    let name = "Cpus_allowed_list:"
    guard let line = TextFile.lines(path).first(where: { $0.hasPrefix(name) }) else { return nil }
    var count = 0
    for range in line.dropFirst(name.count).split(separator: ",") {
      let ends = range.split(separator: "-").map { Int($0.filter { !$0.isWhitespace }) }
      guard let first = ends.first ?? nil, let last = ends.last ?? nil, first <= last else { return nil }
      count += last - first + 1
    }
    return count > 0 ? count : nil
  }
}
