public import Images

/// One resolution of a slide.
public struct SlideLevel: Sendable, Equatable {
  public let width: Int
  public let height: Int
  /// Pixels of level 0 in a pixel of this level, along x and y; 1 for level 0. A whole number where the level's size is level 0's divided by
  /// one and rounded: 2967 rows halve to 1483, which is a factor of 2 and not of 2.0007.
  public let downsampleX: Double
  public let downsampleY: Double

  init(width: Int, height: Int, of full: (width: Int, height: Int)) {
    self.width = width
    self.height = height
    downsampleX = Self.factor(full.width, width)
    downsampleY = Self.factor(full.height, height)
  }

  private static func factor(_ full: Int, _ size: Int) -> Double {
    let factor = Double(full) / Double(size), whole = factor.rounded()
    let isRounding = abs(Double(full) / whole - Double(size)) < 1 && abs(factor - whole) < 0.02 * whole
    return isRounding ? whole : factor
  }

  public var downsample: Double { (downsampleX * downsampleY).squareRoot() }
}

/// An image too large for memory, read by windows. May be read from several threads at once.
public protocol SlideSource: AnyObject, Sendable {
  var path: String { get }
  /// Level 0, the largest, first; one at least.
  var levels: [SlideLevel] { get }
  /// 1 (grey) or 3 (RGB).
  var channels: Int { get }
  /// Micrometres a pixel of level 0, the mean of x and y; `nil` where the file doesn't say.
  var micronsPerPixel: Double? { get }
  /// Of the objective, such as 20 or 40; `nil` where the file doesn't say.
  var objectivePower: Double? { get }
  /// Whether the pixels were compressed with loss, so that a mask's values waver.
  var isLossy: Bool { get }

  /// The pixels of a window of a level, which lies inside the level.
  ///
  /// - Returns: width × height pixels of `channels`.
  /// - Throws: `.damaged` where the file's pixels cannot be decoded; `.argument` for a window that reaches outside.
  func read(level: Int, x: Int, y: Int, width: Int, height: Int) throws(SlideError) -> PixelBuffer
}

extension SlideSource {
  public var width: Int { levels[0].width }
  public var height: Int { levels[0].height }

  func checkWindow(_ level: Int, _ x: Int, _ y: Int, _ width: Int, _ height: Int) throws(SlideError) {
    guard levels.indices.contains(level), x >= 0, y >= 0, width > 0, height > 0,
      width <= levels[level].width - x, height <= levels[level].height - y
    else {
      throw SlideError(
        .argument, path: path, reason: "the window \(width) × \(height) at \(x), \(y) of level \(level) is not inside it")
    }
  }
}

/// Opens slides of any kind that is read here.
public enum Slide {
  /// TIFF-based scanner formats whose pyramids OpenSlide understands and a plain TIFF reader does not.
  private static let vendorSuffixes = [".ndpi", ".scn", ".bif", ".mrxs", ".vms", ".vmu", ".svslide", ".czi", ".dcm"]

  /// Opens a slide: TIFF, BigTIFF and Aperio SVS by libtiff, PNG and JPEG as an image in memory, other scanners' formats
  /// by OpenSlide where its library is installed.
  ///
  /// - Throws: `SlideError` that names the file and says what is wrong with it.
  /// - Parameter asMask: what a sparse TIFF leaves out is background, in place of white.
  public static func open(_ path: String, asMask: Bool = false) throws(SlideError) -> any SlideSource {
    let lower = path.lowercased()
    if vendorSuffixes.contains(where: { lower.hasSuffix($0) }) { return try OpenSlideSource(path) }
    switch try FileKind.of(path) {
    case .image: return try ImageSlide(path)
    case .tiff:
      do throws(SlideError) { return try TIFFSlide(path, asMask: asMask) } catch {
        // OpenSlide decodes JPEG 2000 and knows more scanners; where it is missing, the first reason is the useful one.
        guard error.kind == .unsupported, OpenSlideLibrary.shared != nil,
          let slide = try? OpenSlideSource(path)
        else { throw error }
        return slide
      }
    case .other: return try OpenSlideSource(path)
    }
  }
}
