import Glibc
import Host

/// A description of this machine for PoCL, where it would see but a part of the memory, or more processors than there are to use.
///
/// PoCL asks hwloc, which adds up what the NUMA nodes in sysfs have, and refuses to go beyond that. Where a virtual machine is given
/// memory as it needs it, the nodes list what is there at the moment, though programs may use all that `/proc/meminfo` says. There
/// hwloc reads a description with the whole in it (its variable HWLOC_SYNTHETIC), while devices are first looked for.
struct HostDescription {
  var environment = Self.variables
  var nodes = "/sys/devices/system/node"
  var caches = "/sys/devices/system/cpu/cpu0/cache"
  var memory = "/proc/meminfo"
  var processors = Processors.available
  var installedProcessors = sysconf(Int32(_SC_NPROCESSORS_ONLN))

  /// A machine in hwloc's words; nil where its own look is right, or a variable of hwloc's says that somebody chose.
  var text: String? {
    guard !environment.contains(where: { $0.hasPrefix("HWLOC_") }), let total = HostMemory.bytes("MemTotal:", in: memory) else {
      return nil
    }
    let seen = (0..<1024).lazy.map { HostMemory.bytes("MemTotal:", in: "\(nodes)/node\($0)/meminfo") }
      .prefix { $0 != nil }.reduce(0) { $0 + $1! }
    guard seen > 0, seen < total / 4 * 3 else { return nil }
    // PoCL takes sizes of caches for those of local memory.
    let third = cache(3).map { " l3:1(size=\($0))" } ?? ""
    let second = cache(2).map { " l2:\(processors)(size=\($0)) core:1" } ?? " core:\(processors)"
    return "numa:1(memory=\(total))\(third)\(second) pu:1"
  }

  /// What PoCL and its hwloc are told, as variables.
  var told: [(name: String, value: String)] {
    var told: [(name: String, value: String)] = []
    // It is this machine, so that threads can be bound to its processors.
    if let text { told += [("HWLOC_SYNTHETIC", text), ("HWLOC_THISSYSTEM", "1")] }
    // PoCL starts a thread for each processor of the machine, whatever a container or `taskset` leaves. Its name for it changed in 4.0.
    let names = ["POCL_MAX_PTHREAD_COUNT", "POCL_CPU_MAX_CU_COUNT"]
    if processors < installedProcessors, !names.contains(where: environment.contains) {
      told += names.map { ($0, "\(processors)") }
    }
    return told
  }

  /// Makes the first look at devices, with what PoCL is to be told.
  func whileDescribing<T>(_ look: () -> T) -> T {
    let told = told
    for (name, value) in told { setenv(name, value, 1) }
    defer { for (name, _) in told { unsetenv(name) } }
    return look()
  }

  private static var variables: [String] {
    var names: [String] = []
    var entry = environ
    while let line = entry.pointee {
      names.append(String(String(cString: line).prefix { $0 != "=" }))
      entry += 1
    }
    return names
  }

  /// A cache's size in bytes, of the first processor.
  private func cache(_ level: Int) -> Int? {
    for index in 0..<8 {
      guard let found = TextFile.lines("\(caches)/index\(index)/level").first else { return nil }
      guard found == "\(level)", let size = TextFile.lines("\(caches)/index\(index)/size").first, size.hasSuffix("K") else {
        continue
      }
      return Int(size.dropLast()).map { $0 << 10 }
    }
    return nil
  }
}
