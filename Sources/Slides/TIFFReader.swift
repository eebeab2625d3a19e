import TIFFBridge
import Threads

/// A handle of libtiff on one file. Confined to one thread at a time.
final class TIFFReader {
  let path: String
  private let handle: OpaquePointer

  init(_ path: String) throws(SlideError) {
    self.path = path
    var opened: OpaquePointer?
    try Self.check(path, .unreadable) { message, size in
      opened = tb_open(path, message, size)
      return opened != nil
    }
    guard let opened else { throw SlideError(.unreadable, path: path, reason: "it cannot be opened") }
    handle = opened
  }

  deinit { tb_close(handle) }

  /// Goes to the next directory; false at the end.
  func next() throws(SlideError) -> Bool {
    var found = false
    try Self.check(path, .damaged) { tb_next(handle, &found, $0, $1) }
    return found
  }

  func seek(_ offset: UInt64) throws(SlideError) {
    try Self.check(path, .damaged) { tb_seek(handle, offset, $0, $1) }
  }

  /// The current directory; `.unsupported` where its kind is not read here or it contradicts itself.
  func describe() throws(SlideError) -> tb_directory {
    var directory = tb_directory()
    try Self.check(path, .unsupported) { tb_describe(handle, &directory, $0, $1) }
    return directory
  }

  var imageDescription: String { tb_description(handle).map { String(cString: $0) } ?? "" }

  func palette() throws(SlideError) -> [UInt8] {
    var colours = [UInt8](repeating: 0, count: 768)
    try Self.check(path, .damaged) { message, size in
      colours.withUnsafeMutableBufferPointer { buffer in
        guard let base = buffer.baseAddress else { return false }
        return tb_palette(handle, base, message, size)
      }
    }
    return colours
  }

  /// Decodes a block as stored: block_width × block_height × samples; `nil` for one that a sparse file leaves out.
  func block(_ directory: tb_directory, column: Int, row: Int, plane: Int) throws(SlideError) -> [UInt8]? {
    let samples = directory.planar ? 1 : Int(directory.samples)
    let count = Int(directory.block_width) * Int(directory.block_height) * samples
    // Zeroed: of a strip at the bottom only its rows are written.
    var bytes = [UInt8](repeating: 0, count: count)
    var isMissing = false
    var described = directory
    try Self.check(
      path, .damaged, at: directory.tiled ? "tile \(column), \(row): " : "strip \(row): "
    ) { message, size in
      bytes.withUnsafeMutableBufferPointer { buffer in
        guard let base = buffer.baseAddress else { return false }
        return tb_read_block(
          handle, &described, UInt32(column), UInt32(row), Int32(plane), base, count, &isMissing, message, size)
      }
    }
    return isMissing ? nil : bytes
  }

  private static func check(
    _ path: String, _ kind: SlideError.Kind, at place: String = "",
    _ body: (UnsafeMutablePointer<CChar>, Int) -> Bool
  ) throws(SlideError) {
    let reason = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 400) { message -> String? in
      message.initialize(repeating: 0)
      guard let base = message.baseAddress else { return "there is not enough memory" }
      return body(base, 400) ? nil : String(cString: base)
    }
    if let reason { throw SlideError(kind, path: path, reason: place + reason) }
  }
}

/// Handles on one file, one for each thread that reads at the same time.
final class TIFFReaderPool: Sendable {
  /// Sendable by hand: a reader in the pool is used by nobody.
  private struct Idle: @unchecked Sendable {
    var readers: [TIFFReader] = []
  }

  private let path: String
  private let idle = Monitor(Idle())

  init(_ path: String) { self.path = path }

  func with<Result>(_ body: (TIFFReader) throws(SlideError) -> Result) throws(SlideError) -> Result {
    let reader: TIFFReader
    if let known = idle.change({ $0.readers.popLast() }) { reader = known } else { reader = try TIFFReader(path) }
    defer { idle.change { $0.readers.append(reader) } }
    return try body(reader)
  }
}
