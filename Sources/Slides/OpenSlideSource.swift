public import Images

/// A slide of a scanner's own format, read by OpenSlide (mirax, Hamamatsu, Leica, Ventana, …).
public final class OpenSlideSource: SlideSource, @unchecked Sendable {
  // Sendable by hand: OpenSlide's functions on one slide may be called from several threads (openslide.h).
  public let path: String
  public let levels: [SlideLevel]
  public let channels = 3
  public let micronsPerPixel: Double?
  public let objectivePower: Double?
  public let isLossy = true
  private let library: OpenSlideLibrary
  private let slide: OpenSlideLibrary.Slide

  /// - Throws: `.unsupported` where the library is not installed or doesn't know the format.
  public init(_ path: String) throws(SlideError) {
    // The library's own sentence for a missing file is that of an unknown format.
    _ = try FileKind.of(path)
    guard let library = OpenSlideLibrary.shared else {
      throw SlideError(
        .unsupported, path: path,
        reason: "such a file is read by OpenSlide, which is not installed (Debian: libopenslide0); TIFF, SVS, PNG and JPEG "
          + "files need nothing more")
    }
    guard let slide = library.open(path) else {
      throw SlideError(.unsupported, path: path, reason: "neither this program nor OpenSlide knows its format")
    }
    if let error = library.error(slide) {
      let reason = String(cString: error)
      library.close(slide)
      throw SlideError(.damaged, path: path, reason: "OpenSlide cannot open it: \(reason)")
    }
    var sizes: [(width: Int, height: Int)] = []
    for level in 0..<max(0, library.levelCount(slide)) {
      var width: Int64 = 0, height: Int64 = 0
      library.dimensions(slide, level, &width, &height)
      if width > 0 && height > 0 { sizes.append((Int(width), Int(height))) }
    }
    guard let full = sizes.first else {
      library.close(slide)
      throw SlideError(.damaged, path: path, reason: "OpenSlide finds no image in it")
    }
    func number(_ name: String) -> Double? {
      library.property(slide, "openslide." + name).flatMap { Double(String(cString: $0)) }
    }
    self.path = path
    self.library = library
    self.slide = slide
    levels = sizes.map { SlideLevel(width: $0.width, height: $0.height, of: full) }
    if let x = number("mpp-x"), let y = number("mpp-y") { micronsPerPixel = (x + y) / 2 } else { micronsPerPixel = nil }
    objectivePower = number("objective-power")
  }

  deinit { library.close(slide) }

  public func read(level: Int, x: Int, y: Int, width: Int, height: Int) throws(SlideError) -> PixelBuffer {
    try checkWindow(level, x, y, width, height)
    // Places are in level 0 for OpenSlide.
    let left = Int64((Double(x) * levels[level].downsampleX).rounded())
    let top = Int64((Double(y) * levels[level].downsampleY).rounded())
    var argb = [UInt32](repeating: 0, count: width * height)
    library.read(slide, &argb, left, top, Int32(level), Int64(width), Int64(height))
    if let error = library.error(slide) {
      throw SlideError(.damaged, path: path, reason: "OpenSlide cannot read it: \(String(cString: error))")
    }
    // Premultiplied by alpha: what is not there becomes white glass.
    let bytes = [UInt8](unsafeUninitializedCapacity: argb.count * 3) { out, filled in
      argb.withUnsafeBufferPointer { pixels in
        for (i, pixel) in pixels.enumerated() {
          let glass = 255 - (pixel >> 24)
          out[3 * i] = UInt8(truncatingIfNeeded: min(255, (pixel >> 16 & 255) + glass))
          out[3 * i + 1] = UInt8(truncatingIfNeeded: min(255, (pixel >> 8 & 255) + glass))
          out[3 * i + 2] = UInt8(truncatingIfNeeded: min(255, (pixel & 255) + glass))
        }
      }
      filled = argb.count * 3
    }
    return PixelBuffer(width: width, height: height, channels: 3, bytes: bytes)
  }
}
