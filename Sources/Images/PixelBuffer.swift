/// An 8-bit image in memory: rows from top to bottom, pixels from left to right, channels interleaved (H, W, C).
public struct PixelBuffer: Sendable, Equatable {
  public let width: Int
  public let height: Int
  /// 1 (grey) or 3 (RGB).
  public let channels: Int
  /// height × width × channels bytes.
  public var bytes: [UInt8]

  public init(width: Int, height: Int, channels: Int, bytes: [UInt8]) {
    precondition(width > 0 && height > 0, "an image has at least one pixel")
    precondition(channels == 1 || channels == 3, "an image has 1 or 3 channels")
    precondition(bytes.count == width * height * channels, "the byte count of an image is height × width × channels")
    self.width = width
    self.height = height
    self.channels = channels
    self.bytes = bytes
  }

  /// An image of one value.
  public init(width: Int, height: Int, channels: Int, filledWith value: UInt8 = 0) {
    self.init(
      width: width, height: height, channels: channels,
      bytes: [UInt8](repeating: value, count: width * height * channels))
  }

  /// Channel `c` at column `x`, row `y`. For tests and single looks; loops take the bytes' buffer pointer.
  public subscript(x: Int, y: Int, c: Int) -> UInt8 {
    get { bytes[(y * width + x) * channels + c] }
    set { bytes[(y * width + x) * channels + c] = newValue }
  }

  /// A number of 64 bits that two images share by chance only: FNV-1a over eight bytes at a time.
  public var digest: UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325 ^ UInt64(width) << 32 ^ UInt64(height)
    bytes.withUnsafeBytes { raw in
      var i = 0
      while i + 8 <= raw.count {
        hash = (hash ^ raw.loadUnaligned(fromByteOffset: i, as: UInt64.self)) &* 0x100_0000_01b3
        // The product carries upwards alone; the high half joins the low.
        hash ^= hash >> 29
        i += 8
      }
      while i < raw.count {
        hash = (hash ^ UInt64(raw[i])) &* 0x100_0000_01b3
        i += 1
      }
    }
    return hash
  }

  /// The same image in RGB; a grey value becomes three equal ones.
  public func rgb() -> PixelBuffer {
    if channels == 3 { return self }
    let count = width * height
    let wide = [UInt8](unsafeUninitializedCapacity: 3 * count) { out, filled in
      bytes.withUnsafeBufferPointer { grey in
        for i in 0..<count {
          let value = grey[i]
          out[3 * i] = value
          out[3 * i + 1] = value
          out[3 * i + 2] = value
        }
      }
      filled = 3 * count
    }
    return PixelBuffer(width: width, height: height, channels: 3, bytes: wide)
  }

  /// A grey picture of values that run from 0 to 1 (a probability map), H × W in row order; NaN is drawn as 0.
  public static func grey(width: Int, height: Int, unitValues: [Float]) -> PixelBuffer {
    precondition(unitValues.count == width * height, "a map has height × width values")
    let bytes = unitValues.map { value in
      value > 0 ? UInt8((min(value, 1) * 255).rounded()) : 0
    }
    return PixelBuffer(width: width, height: height, channels: 1, bytes: bytes)
  }
}
