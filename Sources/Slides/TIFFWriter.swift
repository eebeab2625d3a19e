public import Images
import TIFFBridge
import Threads

/// Writes a tiled TIFF, level by level, the largest first. Tiles are compressed by the caller's threads.
///
/// The file grows under a temporary name and takes its own when it is finished, so a reader never sees half of one.
public final class TIFFWriter {
  public enum Compression: Sendable {
    /// Without loss.
    case deflate
    /// Quality 1 to 100; RGB with halved colour resolution.
    case jpeg(quality: Int)
  }

  public struct Level {
    public let width: Int
    public let height: Int
    public let tile: Int
    public let channels: Int
    public let compression: Compression
    public var columns: Int { (width + tile - 1) / tile }
    public var rows: Int { (height + tile - 1) / tile }
  }

  public let path: String
  /// Where the file is until it is finished; its finished levels can be read there.
  public let temporaryPath: String
  private var handle: OpaquePointer?
  private var current: Level?
  private var levelCount = 0

  /// - Parameter isBig: BigTIFF, which a file beyond 4 GiB needs.
  public init(_ path: String, isBig: Bool) throws(SlideError) {
    self.path = path
    temporaryPath = "\(path).tmp-\(FileSystem.processID)"
    try check { message, size in
      handle = tb_create(temporaryPath, isBig, message, size)
      return handle != nil
    }
  }

  deinit {
    // Not finished: nothing stays.
    if handle != nil {
      try? close(keeping: false)
      FileSystem.remove(temporaryPath)
    }
  }

  /// Whether pixels that might be stored as they are need BigTIFF.
  public static func needsBig(width: Int, height: Int, channels: Int) -> Bool {
    // A pyramid adds a third.
    Double(width) * Double(height) * Double(channels) * 4 / 3 > 3.5e9
  }

  /// Starts a level.
  ///
  /// - Parameters:
  ///   - tile: side, a multiple of 16.
  ///   - micronsPerPixel: of this level.
  ///   - description: for the first level.
  public func begin(
    width: Int, height: Int, tile: Int, channels: Int, compression: Compression, micronsPerPixel: Double? = nil,
    description: String? = nil
  ) throws(SlideError) {
    precondition(tile % 16 == 0 && tile > 0, "the side of a tile is a multiple of 16")
    var isJPEG = false
    if case .jpeg = compression { isJPEG = true }
    let reduced = levelCount > 0
    func begin(_ description: UnsafePointer<CChar>?) throws(SlideError) {
      try check { message, size in
        var layout = tb_layout(
          width: UInt32(width), height: UInt32(height), tile_side: UInt32(tile), samples: Int32(channels), jpeg: isJPEG,
          reduced: reduced, pixels_per_cm: Float(micronsPerPixel.map { 10_000 / $0 } ?? 0), description: description)
        guard let handle else { return false }
        return tb_begin(handle, &layout, message, size)
      }
    }
    if let description {
      var failure: SlideError?
      description.withCString { text in
        do throws(SlideError) { try begin(text) } catch { failure = error }
      }
      if let failure { throw failure }
    } else {
      try begin(nil)
    }
    current = Level(width: width, height: height, tile: tile, channels: channels, compression: compression)
    levelCount += 1
  }

  /// Compresses a tile's pixels (tile × tile × channels) as the level wants them. For any thread.
  public static func compress(_ pixels: PixelBuffer, _ compression: Compression) throws(SlideError) -> [UInt8] {
    switch compression {
    case .deflate: return try deflate(pixels.bytes)
    case .jpeg(let quality):
      do throws(ImageError) { return try ImageFile.encodeJPEG(pixels, quality: quality) } catch {
        throw SlideError(.unwritable, path: "tile", reason: error.reason)
      }
    }
  }

  static func deflate(_ bytes: [UInt8]) throws(SlideError) -> [UInt8] {
    let capacity = tb_deflate_bound(bytes.count)
    let packed = [UInt8](unsafeUninitializedCapacity: capacity) { out, filled in
      bytes.withUnsafeBufferPointer { source in
        guard let from = source.baseAddress, let to = out.baseAddress else { return }
        // Level 4: masks and flat pictures gain little from more.
        filled = tb_deflate(from, bytes.count, 4, to, capacity)
      }
    }
    guard !packed.isEmpty else {
      throw SlideError(.unwritable, path: "tile", reason: "there is not enough memory to compress it")
    }
    return packed
  }

  /// Writes a level's next tiles, row by row of the level, compressing them in parallel.
  ///
  /// - Parameter make: the compressed bytes of the tile at a column of `row`, on any thread.
  public func write(
    row: Int, threads: Int, _ make: @escaping @Sendable (_ column: Int) throws(SlideError) -> [UInt8]
  ) throws(SlideError) {
    guard let level = current else { preconditionFailure("a level is begun before its tiles are written") }
    // A few columns at a time: a row of a wide slide need not be in memory whole.
    let group = max(threads, 1) * 8
    for first in stride(from: 0, to: level.columns, by: group) {
      let count = min(group, level.columns - first)
      let made = Monitor([Result<[UInt8], SlideError>?](repeating: nil, count: count))
      Parallel.forEach(count, threads: threads) { i in
        let result: Result<[UInt8], SlideError>
        do throws(SlideError) { result = .success(try make(first + i)) } catch { result = .failure(error) }
        made.change { $0[i] = result }
      }
      for (i, result) in made.change({ $0 }).enumerated() {
        guard let bytes = try result?.get() else { continue }
        try check { message, size in
          guard let handle else { return false }
          return bytes.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return false }
            return tb_write_tile(handle, UInt32(first + i), UInt32(row), base, buffer.count, message, size)
          }
        }
      }
    }
  }

  /// Ends a level; from here on it can be read at `temporaryPath`.
  public func end() throws(SlideError) {
    try check { message, size in
      guard let handle else { return false }
      return tb_end(handle, message, size)
    }
    current = nil
  }

  private func close(keeping: Bool) throws(SlideError) {
    guard let handle else { return }
    self.handle = nil
    try check { message, size in tb_finish(handle, keeping, message, size) }
  }

  /// Closes the file and puts it in its place.
  public func finish() throws(SlideError) {
    do throws(SlideError) { try close(keeping: true) } catch {
      FileSystem.remove(temporaryPath)
      throw error
    }
    if let problem = FileSystem.rename(temporaryPath, path) {
      FileSystem.remove(temporaryPath)
      throw SlideError(.unwritable, path: path, reason: "it cannot be put in place: \(problem)")
    }
  }

  private func check(_ body: (UnsafeMutablePointer<CChar>, Int) -> Bool) throws(SlideError) {
    let reason = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 400) { message -> String? in
      message.initialize(repeating: 0)
      guard let base = message.baseAddress else { return "there is not enough memory" }
      return body(base, 400) ? nil : String(cString: base)
    }
    if let reason { throw SlideError(.unwritable, path: path, reason: reason) }
  }
}
