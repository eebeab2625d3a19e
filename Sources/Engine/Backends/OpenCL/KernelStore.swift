import Glibc
import Randomness

/// Compiled programs on disk, so that the next start need not compile them.
///
/// An entry is found by a hash of its key and believed only where the whole key stands in it: device, driver, platform,
/// options, and the full text of the program. A file that is damaged, or of another version, counts as missing. Nothing here
/// fails: a cache that cannot be read or written is a slow start.
package struct KernelStore: Sendable {
  package let folder: String

  package init(folder: String) { self.folder = folder }

  /// The user's: `$XDG_CACHE_HOME/glomseg/kernels`, else `~/.cache/glomseg/kernels`; nil where `GLOMSEG_KERNEL_CACHE` is
  /// `off`, or there is no home.
  static func ofUser() -> KernelStore? {
    func variable(_ name: String) -> String? {
      getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    }
    guard variable("GLOMSEG_KERNEL_CACHE") != "off" else { return nil }
    guard let caches = variable("XDG_CACHE_HOME") ?? variable("HOME").map({ $0 + "/.cache" }) else { return nil }
    return KernelStore(folder: caches + "/glomseg/kernels")
  }

  // A file: the magic, the key's length (8 bytes, little-endian), the key, the binary, the hash of all before it (8 bytes).
  private static let magic = Array("glomseg kernel 1".utf8)

  private func path(_ key: [UInt8]) -> String {
    let digits = StableHash(key).digits
    return folder + "/" + String(repeating: "0", count: 16 - digits.count) + digits
  }

  /// The compiled program that was kept under `key`; nil where there is none to be trusted.
  func binary(for key: [UInt8]) -> [UInt8]? {
    let start = Self.magic + Self.bytes(UInt64(key.count)) + key
    guard let file = Self.read(path(key)), file.count > start.count + 8, file.starts(with: start) else { return nil }
    let end = file.count - 8
    guard Self.bytes(StableHash(file[..<end]).value).elementsEqual(file[end...]) else { return nil }
    return Array(file[start.count..<end])
  }

  /// Keeps a compiled program: under another name until it is whole.
  func keep(_ binary: [UInt8], for key: [UInt8]) {
    makeFolder()
    var file = Self.magic + Self.bytes(UInt64(key.count)) + key + binary
    file += Self.bytes(StableHash(file).value)
    // No two threads or processes write to one file.
    var template = Array((folder + "/.new-XXXXXX").utf8CString)
    let descriptor = mkstemp(&template)
    guard descriptor >= 0 else { return }
    var written = 0
    while written < file.count {
      let count = file[written...].withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
      guard count > 0 else { break }
      written += count
    }
    let closed = close(descriptor) == 0
    if !closed || written < file.count || rename(template, path(key)) != 0 { unlink(template) }
  }

  func remove(_ key: [UInt8]) { unlink(path(key)) }

  private func makeFolder() {
    var path = ""
    for part in folder.split(separator: "/", omittingEmptySubsequences: false) {
      path += (path.isEmpty && part.isEmpty) ? "/" : path.hasSuffix("/") || path.isEmpty ? "\(part)" : "/\(part)"
      mkdir(path, 0o755)
    }
  }

  private static func bytes(_ number: UInt64) -> [UInt8] { withUnsafeBytes(of: number.littleEndian) { Array($0) } }

  private static func read(_ path: String) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_size > 0 else { return nil }
    var file = [UInt8](repeating: 0, count: Int(status.st_size))
    var filled = 0
    while filled < file.count {
      let count = file[filled...].withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
      guard count > 0 else { return nil }
      filled += count
    }
    return file
  }
}
