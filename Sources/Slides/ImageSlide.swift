public import Images

/// A PNG or JPEG file as a slide of one level, held in memory whole: at most 2²⁸ pixels.
public final class ImageSlide: SlideSource {
  public let path: String
  public let levels: [SlideLevel]
  public let channels: Int
  public let micronsPerPixel: Double? = nil
  public let objectivePower: Double? = nil
  public let isLossy: Bool
  private let image: PixelBuffer

  public init(_ path: String) throws(SlideError) {
    self.path = path
    do throws(ImageError) {
      let header = try ImageFile.header(path)
      channels = header.channels < 3 ? 1 : 3
      isLossy = header.format == .jpeg
      image = try ImageFile.read(path, channels: channels)
    } catch {
      throw SlideError(error.kind == .unsupported ? .unsupported : .damaged, path: path, reason: error.reason)
    }
    levels = [SlideLevel(width: image.width, height: image.height, of: (image.width, image.height))]
  }

  public func read(level: Int, x: Int, y: Int, width: Int, height: Int) throws(SlideError) -> PixelBuffer {
    try checkWindow(level, x, y, width, height)
    var window = PixelBuffer(width: width, height: height, channels: channels)
    let rowBytes = width * channels
    for row in 0..<height {
      let start = ((y + row) * image.width + x) * channels
      window.bytes.replaceSubrange(row * rowBytes..<(row + 1) * rowBytes, with: image.bytes[start..<start + rowBytes])
    }
    return window
  }
}
