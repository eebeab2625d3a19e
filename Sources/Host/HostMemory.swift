import Glibc

/// The memory of the machine, and what this process may take of it.
package enum HostMemory {
  /// What this process can still take without swapping or being ended for it, bytes: what the kernel estimates, but no more than its
  /// control group (a container, a batch system's job) and its own limit (`ulimit -v`) leave. nil where nothing says so.
  ///
  /// - Parameter mapped: bytes of addresses, but not of memory, that something else will take.
  package static func availableBytes(besideMapped mapped: Int = 0) -> Int? {
    [
      bytes("MemAvailable:", in: "/proc/meminfo"), ControlGroup().memoryLeftBytes,
      addressSpaceLeftBytes.map { max(0, $0 - mapped) },
    ].compactMap { $0 }.min()
  }

  /// The size behind a key, in a file of lines such as `MemTotal: 24684100 kB` or `Node 0 MemTotal: 6383836 kB`.
  package static func bytes(_ key: Substring, in path: String) -> Int? {
    for line in TextFile.lines(path) {
      let words = line.split(whereSeparator: \.isWhitespace)
      if let at = words.firstIndex(of: key), words.indices.contains(at + 1), let kibibytes = Int(words[at + 1]) {
        return kibibytes << 10
      }
    }
    return nil
  }

  /// Whether there is a limit of addresses (`ulimit -v`), mapped or not.
  package static var hasAddressLimit: Bool { addressSpaceLeftBytes != nil }

  /// What `ulimit -v` leaves; nil where there is no such limit.
  private static var addressSpaceLeftBytes: Int? {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0, let most = Int(exactly: limit.rlim_cur),
      let taken = bytes("VmSize:", in: "/proc/self/status")
    else { return nil }
    return max(0, most - taken)
  }
}
