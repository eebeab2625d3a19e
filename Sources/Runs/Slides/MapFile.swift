import Engine
import Glibc
import Slides

/// A slide's probability map on disk while it is being made: a header, then rows of bytes as they are finished.
///
/// The file is locked while a process works on it, so two processes never make one map; the lock goes with the process.
/// What a killed process leaves is a whole number of rows and perhaps a part of one, which is cut off.
final class MapFile {
  let path: String
  let width: Int
  let height: Int
  private(set) var rowCount: Int
  private let descriptor: Int32
  private var pending: [UInt8] = []
  private static let headerBytes = 1024

  /// Opens or begins the map of a slide.
  ///
  /// - Returns: `nil` where another process has it.
  /// - Parameter settings: all that the probabilities depend on; a file of other settings begins anew.
  static func open(_ path: String, width: Int, height: Int, settings: String) throws(RunError) -> MapFile? {
    for _ in 0..<8 {
      let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
      guard descriptor >= 0 else {
        throw .file(path: path, problem: "cannot be written: \(String(cString: strerror(errno)))")
      }
      guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
        let problem = errno
        close(descriptor)
        if problem == EWOULDBLOCK { return nil }
        throw .file(path: path, problem: "cannot be locked: \(String(cString: strerror(problem)))")
      }
      var about = stat()
      // Another process finished and removed it between the two calls: its name may be a new file by now.
      if fstat(descriptor, &about) == 0, about.st_nlink > 0 {
        return try MapFile(path, descriptor, width: width, height: height, settings: settings, byteCount: Int(about.st_size))
      }
      close(descriptor)
    }
    return nil
  }

  private init(
    _ path: String, _ descriptor: Int32, width: Int, height: Int, settings: String, byteCount: Int
  ) throws(RunError) {
    self.path = path
    self.descriptor = descriptor
    self.width = width
    self.height = height
    var header = Array("glomseg map 1\n\(width) \(height)\n\(settings)\n".utf8.prefix(Self.headerBytes - 1))
    header += [UInt8](repeating: 0, count: Self.headerBytes - header.count)
    var found = [UInt8](repeating: 0, count: Self.headerBytes)
    let count = pread(descriptor, &found, Self.headerBytes, 0)
    if count == Self.headerBytes && found == header {
      rowCount = min(height, max(0, byteCount - Self.headerBytes) / width)
    } else {
      rowCount = 0
    }
    let end = Self.headerBytes + rowCount * width
    guard ftruncate(descriptor, off_t(rowCount == 0 ? 0 : end)) == 0 else { throw failure("cannot be cut") }
    if rowCount == 0 { try write(header, at: 0) }
  }

  deinit { close(descriptor) }

  private func failure(_ what: String) -> RunError {
    .file(path: path, problem: "\(what): \(String(cString: strerror(errno)))")
  }

  private func write(_ bytes: [UInt8], at start: Int) throws(RunError) {
    var position = 0
    while position < bytes.count {
      let written = bytes.withUnsafeBytes { raw in
        pwrite(descriptor, raw.baseAddress?.advanced(by: position), raw.count - position, off_t(start + position))
      }
      if written < 0 && errno == EINTR { continue }
      guard written > 0 else { throw failure("cannot be written") }
      position += written
    }
  }

  /// Adds the next row; it is on disk after the next `flush`.
  func append(_ row: UnsafeMutableBufferPointer<UInt8>) throws(RunError) {
    pending.append(contentsOf: row)
    if pending.count >= 4 << 20 { try flush() }
  }

  func flush() throws(RunError) {
    guard !pending.isEmpty else { return }
    try write(pending, at: Self.headerBytes + rowCount * width)
    rowCount += pending.count / width
    pending = []
  }

  func row(_ number: Int) throws(RunError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: width)
    let count = pread(descriptor, &bytes, width, off_t(Self.headerBytes + number * width))
    guard count == width else { throw failure("a row cannot be read") }
    return bytes
  }

  /// Removes the file; the lock goes with this object.
  func remove() { unlink(path) }
}
