public import Images

/// A slide seen at one magnification, whatever its levels: pixels of `downsample` × `downsample` level-0 pixels.
///
/// A canvas pixel depends on its place in the slide alone, not on the window that it is read in: windows that overlap
/// agree bit for bit, so what is computed from them has no seams.
public struct SlideCanvas: Sendable {
  public let source: any SlideSource
  /// Level-0 pixels in a canvas pixel, along x and y; 1 or more, or less to enlarge.
  public let downsample: Double
  public let width: Int
  public let height: Int
  /// The level that is read: the smallest that has the canvas' resolution at least.
  public let level: Int
  private let ratioX: Double
  private let ratioY: Double
  private let readLimit: Double

  /// - Parameter readLimit: bytes of the slide that are read at once, if one canvas pixel doesn't need more.
  public init(_ source: any SlideSource, downsample: Double, readLimit: Int = 96 << 20) {
    precondition(downsample > 0 && downsample.isFinite, "a canvas pixel has a size")
    self.source = source
    self.downsample = downsample
    self.readLimit = Double(readLimit)
    width = Self.size(source.width, downsample)
    height = Self.size(source.height, downsample)
    // A level of 16.1 serves a canvas of 16: it is enlarged by less than anyone could see.
    level = source.levels.lastIndex { $0.downsample <= downsample * 1.01 } ?? 0
    ratioX = Self.ratio(downsample, source.levels[level].downsampleX)
    ratioY = Self.ratio(downsample, source.levels[level].downsampleY)
  }

  /// Canvas pixels that cover `length` level-0 pixels.
  public static func size(_ length: Int, _ downsample: Double) -> Int {
    max(1, Int((Double(length) / downsample - 1e-6).rounded(.up)))
  }

  private static func ratio(_ downsample: Double, _ level: Double) -> Double {
    let ratio = downsample / level, whole = ratio.rounded()
    // Rounding of the division alone: a ratio that is almost whole adds up to many pixels over a slide.
    return whole >= 1 && abs(ratio - whole) < 1e-9 * whole ? whole : ratio
  }

  /// The canvas' pixels of a window in RGB; what lies outside the slide is black.
  public func read(x: Int, y: Int, width: Int, height: Int) throws(SlideError) -> PixelBuffer {
    let left = max(0, x), right = min(self.width, x + width), top = max(0, y), bottom = min(self.height, y + height)
    guard left < right, top < bottom else { return PixelBuffer(width: width, height: height, channels: 3) }
    let inside = try readInside(left, top, right, bottom).rgb()
    if left == x && right == x + width && top == y && bottom == y + height { return inside }
    var window = PixelBuffer(width: width, height: height, channels: 3)
    let rowBytes = 3 * (right - left)
    for row in 0..<bottom - top {
      let start = 3 * ((top - y + row) * width + left - x)
      window.bytes.replaceSubrange(
        start..<start + rowBytes, with: inside.bytes[row * rowBytes..<(row + 1) * rowBytes])
    }
    return window
  }

  private func readInside(_ left: Int, _ top: Int, _ right: Int, _ bottom: Int) throws(SlideError) -> PixelBuffer {
    let size = source.levels[level]
    // A coarse canvas of a slide without a pyramid would read much at once: it reads part after part, to the same pixels.
    let sourceBytes = Double((right - left) * (bottom - top) * source.channels) * ratioX * ratioY
    if sourceBytes > readLimit && max(right - left, bottom - top) > 1 {
      return try readParts(left, top, right, bottom)
    }
    if ratioX == 1 && ratioY == 1 && right <= size.width && bottom <= size.height {
      return try source.read(level: level, x: left, y: top, width: right - left, height: bottom - top)
    }
    let columns = AxisTaps(left..<right, ratio: ratioX, sourceCount: size.width)
    let rows = AxisTaps(top..<bottom, ratio: ratioY, sourceCount: size.height)
    let pixels = try source.read(
      level: level, x: columns.source.lowerBound, y: rows.source.lowerBound, width: columns.source.count,
      height: rows.source.count)
    return pixels.resampled(columns: columns, rows: rows)
  }

  /// Two halves, along the longer side.
  private func readParts(_ left: Int, _ top: Int, _ right: Int, _ bottom: Int) throws(SlideError) -> PixelBuffer {
    let width = right - left, height = bottom - top, channels = source.channels
    if height >= width {
      let middle = top + height / 2
      let upper = try readInside(left, top, right, middle), lower = try readInside(left, middle, right, bottom)
      return PixelBuffer(width: width, height: height, channels: channels, bytes: upper.bytes + lower.bytes)
    }
    let middle = left + width / 2
    let sides = [try readInside(left, top, middle, bottom), try readInside(middle, top, right, bottom)]
    var bytes: [UInt8] = []
    bytes.reserveCapacity(width * height * channels)
    for row in 0..<height {
      for side in sides {
        let rowBytes = side.width * channels
        bytes += side.bytes[row * rowBytes..<(row + 1) * rowBytes]
      }
    }
    return PixelBuffer(width: width, height: height, channels: channels, bytes: bytes)
  }
}
