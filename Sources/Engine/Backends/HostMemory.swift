import Glibc

/// The machine's own memory.
enum HostMemory {
  /// What programs can still take without swapping, bytes, as the kernel estimates it; nil where it does not say.
  static var availableBytes: Int? { bytes("MemAvailable:", in: "/proc/meminfo") }

  /// The size behind a key, in a file of lines such as `MemTotal: 24684100 kB` or `Node 0 MemTotal: 6383836 kB`.
  static func bytes(_ key: Substring, in path: String) -> Int? {
    guard let file = fopen(path, "r") else { return nil }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    while fgets(&line, 256, file) != nil {
      let words = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        .split(whereSeparator: \.isWhitespace)
      if let at = words.firstIndex(of: key), words.indices.contains(at + 1), let kibibytes = Int(words[at + 1]) {
        return kibibytes << 10
      }
    }
    return nil
  }
}
