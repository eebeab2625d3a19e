#if canImport(Glibc)
  import Glibc
#endif

/// The machine's own memory.
enum HostMemory {
  /// What programs can still take without swapping, bytes, as the kernel estimates it; nil where it does not say.
  static var availableBytes: Int? {
    guard let file = fopen("/proc/meminfo", "r") else { return nil }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    while fgets(&line, 256, file) != nil {
      let words = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        .split(separator: " ")
      if words.first == "MemAvailable:", words.count > 1, let kibibytes = Int(words[1]) { return kibibytes << 10 }
    }
    return nil
  }
}
