public import Images

/// Where a slide shows tissue, on a coarse canvas.
///
/// A pixel of the coarse canvas (32 level-0 pixels a side, fewer on small slides) is tissue unless it is
/// - black, max(R, G, B) < 30: outside the scan;
/// - glass, min(R, G, B) > 205 and max − min < 25: bright and nearly without colour; or
/// - grey, max − min < 8: dust, and the line where the scan's black meets glass. Stains have a colour.
///
/// The bounds are fixed, so a place's answer depends on nothing around it. PAS and H&E stain even pale cytoplasm beyond the
/// second; lumens and Bowman's space are white and are reached by `grown`.
public struct TissueMap: Sendable {
  public let width: Int
  public let height: Int
  /// Level-0 pixels in a cell.
  public let downsample: Double
  /// 1 for tissue, row by row.
  public private(set) var cells: [UInt8]
  /// 1 for cells outside the scan, and those beside them.
  private var outside: [UInt8]
  private var blackCells: [UInt8]
  public var hasOutside: Bool { blackCells.contains(1) }

  @inline(__always)
  static func isBlack(_ r: UInt8, _ g: UInt8, _ b: UInt8) -> Bool { max(r, max(g, b)) < 30 }

  @inline(__always)
  static func isTissue(_ r: UInt8, _ g: UInt8, _ b: UInt8) -> Bool {
    let high = max(r, max(g, b)), low = min(r, min(g, b))
    return high >= 30 && high - low >= (low > 205 ? 25 : 8)
  }

  /// The share of an RGB image's pixels that are tissue.
  public static func fraction(_ image: PixelBuffer) -> Double {
    precondition(image.channels == 3, "tissue is told by colour")
    var count = 0
    image.bytes.withUnsafeBufferPointer { bytes in
      for i in 0..<bytes.count / 3 where isTissue(bytes[3 * i], bytes[3 * i + 1], bytes[3 * i + 2]) { count += 1 }
    }
    return Double(count) / Double(image.width * image.height)
  }

  /// Looks at the whole slide, a band of rows at a time.
  public init(_ source: any SlideSource) throws(SlideError) {
    let longest = max(source.width, source.height)
    let downsample = max(1, min(32, Double(longest) / 256))
    let canvas = SlideCanvas(source, downsample: downsample)
    width = canvas.width
    height = canvas.height
    self.downsample = downsample
    var tissue: [UInt8] = [], black: [UInt8] = []
    tissue.reserveCapacity(width * height)
    black.reserveCapacity(width * height)
    let band = 64
    for top in stride(from: 0, to: height, by: band) {
      let image = try canvas.read(x: 0, y: top, width: width, height: min(band, height - top))
      image.bytes.withUnsafeBufferPointer { bytes in
        for i in 0..<bytes.count / 3 {
          tissue.append(Self.isTissue(bytes[3 * i], bytes[3 * i + 1], bytes[3 * i + 2]) ? 1 : 0)
          black.append(Self.isBlack(bytes[3 * i], bytes[3 * i + 1], bytes[3 * i + 2]) ? 1 : 0)
        }
      }
    }
    cells = tissue
    blackCells = black
    outside = Self.spread(
      Self.spread(black, 1, lines: height, length: width, step: 1, lineStep: width),
      1, lines: width, length: height, step: width, lineStep: 1)
  }

  /// Tissue cells, in level-0 pixels.
  public var area: Double { Double(cells.reduce(into: 0) { $0 += Int($1) }) * downsample * downsample }

  /// The map with every cell that lies within `reach` cells of tissue, along rows and columns, but for those outside the scan.
  public func grown(by reach: Int) -> TissueMap {
    var grown = self
    grown.cells = Self.spread(
      Self.spread(cells, reach, lines: height, length: width, step: 1, lineStep: width),
      reach, lines: width, length: height, step: width, lineStep: 1)
    for i in grown.cells.indices where blackCells[i] == 1 { grown.cells[i] = 0 }
    return grown
  }

  /// Which pixels of a canvas' window lie outside the scan: black ones in black cells, or in cells beside those, with the
  /// pixels that touch them, in which the border is blurred. Empty where there are none.
  ///
  /// The answer for a pixel depends on its place in the slide alone, but for one at the window's border.
  public func outside(_ window: PixelBuffer, of canvas: SlideCanvas, x: Int, y: Int) -> [Bool] {
    precondition(window.channels == 3, "the outside is told by colour")
    let ratio = canvas.downsample / downsample
    let windowWidth = window.width, windowHeight = window.height
    let columns = (x..<x + windowWidth).map { max(0, min(width - 1, Int((Double($0) + 0.5) * ratio))) }
    var flags = [Bool](repeating: false, count: windowWidth * windowHeight)
    var isAny = false
    window.bytes.withUnsafeBufferPointer { bytes in
      for row in 0..<windowHeight {
        let isBeyond = y + row < 0 || y + row >= canvas.height
        let cell = max(0, min(height - 1, Int((Double(y + row) + 0.5) * ratio))) * width
        for column in 0..<windowWidth {
          let i = row * windowWidth + column
          guard Self.isBlack(bytes[3 * i], bytes[3 * i + 1], bytes[3 * i + 2]) else { continue }
          if isBeyond || x + column < 0 || x + column >= canvas.width || outside[cell + columns[column]] == 1 {
            flags[i] = true
            isAny = true
          }
        }
      }
    }
    guard isAny else { return [] }
    var grown = flags
    for row in 0..<windowHeight {
      for column in 0..<windowWidth where flags[row * windowWidth + column] {
        for r in max(0, row - 1)...min(windowHeight - 1, row + 1) {
          for c in max(0, column - 1)...min(windowWidth - 1, column + 1) { grown[r * windowWidth + c] = true }
        }
      }
    }
    return grown
  }

  private static func spread(
    _ cells: [UInt8], _ reach: Int, lines: Int, length: Int, step: Int, lineStep: Int
  ) -> [UInt8] {
    var result = [UInt8](repeating: 0, count: cells.count)
    for line in 0..<lines {
      let base = line * lineStep
      // The last place that may still be filled by a cell before.
      var until = -1
      for i in 0..<min(reach, length) where cells[base + i * step] == 1 { until = i + reach }
      for i in 0..<length {
        if i + reach < length, cells[base + (i + reach) * step] == 1 { until = i + 2 * reach }
        if i <= until { result[base + i * step] = 1 }
      }
    }
    return result
  }

  /// Whether any cell that a rectangle in level-0 pixels touches is tissue.
  public func touches(x: Double, y: Double, width w: Double, height h: Double) -> Bool {
    let left = max(0, Int(x / downsample)), right = min(width - 1, Int((x + w) / downsample))
    let top = max(0, Int(y / downsample)), bottom = min(height - 1, Int((y + h) / downsample))
    guard left <= right, top <= bottom else { return false }
    for row in top...bottom {
      for column in left...right where cells[row * width + column] == 1 { return true }
    }
    return false
  }

  /// The cell of each pixel of a canvas row or column.
  public func columns(of canvas: SlideCanvas) -> [Int32] {
    (0..<canvas.width).map { Int32(min(width - 1, Int((Double($0) + 0.5) * canvas.downsample / downsample))) }
  }

  public func row(of y: Int, in canvas: SlideCanvas) -> Int {
    min(height - 1, Int((Double(y) + 0.5) * canvas.downsample / downsample))
  }
}
