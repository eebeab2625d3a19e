import Glibc
import Images
import Randomness
import Slides
import Threads

/// A made-up slide of any size with its mask, for trying and measuring the way from slide to slide.
///
/// Cores of a needle biopsy lie on glass, black outside the scan. The tissue is laid of a few drawn squares, mirrored and
/// turned, so that a slide of billions of pixels takes seconds; where two squares meet, glomeruli are cut, in the picture
/// and in the mask alike.
public enum SlideSynthesis {
  public struct Options: Sendable, Equatable {
    public var width: Int
    public var height: Int
    public var seed: UInt64
    /// Written into the file; a glomerulus is about 180 µm across at 0.5.
    public var micronsPerPixel = 0.5
    public var threads = 1

    public init(width: Int, height: Int, seed: UInt64 = 1) {
      self.width = width
      self.height = height
      self.seed = seed
    }
  }

  /// Side of a square of tissue, which is a tile of the file.
  static let side = 512
  private static let squareCount = 12

  /// Writes `<folder>/<name>_wsi.tiff` (JPEG, with a pyramid) and `<name>_mask.tiff`.
  ///
  /// - Parameter progress: tile rows done and in all.
  /// - Throws: `.option` for a size out of range, `.slide` for a file that cannot be written.
  public static func write(
    to folder: String, name: String, options: Options, progress: (Int, Int) -> Void = { _, _ in }
  ) throws(DatasetError) {
    guard (64...200_000).contains(options.width), (64...200_000).contains(options.height) else {
      throw .option("a synthetic slide has 64 to 200,000 pixels a side, not \(options.width) × \(options.height)")
    }
    do throws(ImageError) { try FileBytes.makeFolder(folder) } catch { throw .image(error) }
    let scene = Scene(options)
    do throws(SlideError) {
      try writePicture(scene, to: "\(folder)/\(name)_wsi.tiff", options, progress)
      try scene.mask().writeTIFF(
        "\(folder)/\(name)_mask.tiff", micronsPerPixel: options.micronsPerPixel, threads: options.threads)
    } catch {
      throw .slide(error)
    }
  }

  private static func writePicture(
    _ scene: Scene, to path: String, _ options: Options, _ progress: (Int, Int) -> Void
  ) throws(SlideError) {
    let writer = try TIFFWriter(
      path, isBig: TIFFWriter.needsBig(width: options.width, height: options.height, channels: 3))
    let compression = TIFFWriter.Compression.jpeg(quality: 85)
    var width = options.width, height = options.height, level = 0
    // Of level 0 most tiles are one of a few squares: they are compressed once.
    let known = Monitor([Scene.Square: [UInt8]]())
    let allRows = (height + side - 1) / side
    while true {
      try writer.begin(
        width: width, height: height, tile: side, channels: 3, compression: compression,
        micronsPerPixel: options.micronsPerPixel * Double(1 << level),
        description: level == 0 ? "glomseg synthetic slide, seed \(options.seed)" : nil)
      let source = level == 0 ? nil : try TIFFSlide(writer.temporaryPath)
      let sourceLevel = level - 1
      for row in 0..<(height + side - 1) / side {
        try writer.write(row: row, threads: options.threads) { column throws(SlideError) in
          guard let source else {
            let square = scene.square(column, row)
            if let square, let bytes = known.change({ $0[square] }) { return bytes }
            let bytes = try TIFFWriter.compress(scene.picture(column, row), compression)
            if let square { known.change { $0[square] = bytes } }
            return bytes
          }
          // Half the level before, which is in the file already.
          let size = source.levels[sourceLevel]
          let x = column * 2 * side, y = row * 2 * side
          let w = min(2 * side, size.width - x) & ~1, h = min(2 * side, size.height - y) & ~1
          var tile = PixelBuffer(width: side, height: side, channels: 3, filledWith: 0)
          if w > 0 && h > 0 {
            let part = try source.read(level: sourceLevel, x: x, y: y, width: w, height: h)
              .resized(width: w / 2, height: h / 2, filter: .bilinear)
            for line in 0..<part.height {
              tile.bytes.replaceSubrange(
                3 * line * side..<3 * (line * side + part.width),
                with: part.bytes[3 * line * part.width..<3 * (line + 1) * part.width])
            }
          }
          return try TIFFWriter.compress(tile, compression)
        }
        if level == 0 { progress(row + 1, allRows) }
      }
      try writer.end()
      if width <= side && height <= side { break }
      width = max(1, width / 2)
      height = max(1, height / 2)
      level += 1
    }
    try writer.finish()
  }

  /// What lies where. Places are counted in squares.
  private struct Scene: Sendable {
    /// A tile that is one of a few.
    enum Square: Hashable, Sendable {
      case black
      case glass
      /// The number of a drawn square, and how it is mirrored.
      case tissue(Int, Int)
    }

    let width: Int
    let height: Int
    private let seed: UInt64
    private let pictures: [PixelBuffer]
    private let masks: [PixelBuffer]
    /// Of each core: the middle and half the width at the top, its slant, and where its border waves.
    private let cores: [(x: Double, half: Double, slant: Double, phase: Double, top: Double, bottom: Double)]

    init(_ options: Options) {
      width = options.width
      height = options.height
      seed = options.seed
      let drawn = Monitor([(image: PixelBuffer, mask: PixelBuffer)?](repeating: nil, count: squareCount))
      let seed = options.seed
      Parallel.forEach(squareCount, threads: options.threads) { i in
        // Two cases' stains would not lie on one slide.
        let patch = Synthesis.patch(size: side, seed: seed, group: 2, caseNumber: 1, index: i)
        drawn.change { $0[i] = patch }
      }
      let patches = drawn.change { $0.compactMap { $0 } }
      pictures = patches.map(\.image)
      masks = patches.map(\.mask)
      var random = RandomSource(seed: options.seed, 77)
      let count = max(1, min(5, options.width / 4000))
      cores = (0..<count).map { i in
        let step = Double(options.width) / Double(count)
        return (
          (Double(i) + random.uniform(0.45, 0.55)) * step, step * random.uniform(0.2, 0.32), random.uniform(-0.04, 0.04),
          random.uniform(0, 6), Double(options.height) * random.uniform(0.06, 0.12),
          Double(options.height) * random.uniform(0.86, 0.94)
        )
      }
    }

    private func isTissue(_ x: Int, _ y: Int) -> Bool {
      let (px, py) = (Double(x), Double(y))
      return cores.contains { core in
        guard py > core.top, py < core.bottom else { return false }
        let wave = 0.1 * sin(py / 900 + core.phase) + 0.04 * sin(py / 170)
        return abs(px - core.x - core.slant * py) < core.half * (1 + wave)
      }
    }

    /// The scan ends a hundredth of the width before the picture does.
    private func isBlack(_ x: Int, _ y: Int) -> Bool {
      let margin = width / 100
      return x < margin || y < margin || x >= width - margin || y >= height - margin
    }

    private func tissue(_ column: Int, _ row: Int) -> (number: Int, view: Int) {
      var random = RandomSource(seed: seed, UInt64(column), UInt64(row))
      return (random.below(squareCount), random.below(4))
    }

    /// What a whole tile is; `nil` where it is mixed.
    func square(_ column: Int, _ row: Int) -> Square? {
      var kinds: Set<Int> = []
      for j in 0...16 {
        for i in 0...16 {
          let x = column * side + min(i * side / 16, side - 1), y = row * side + min(j * side / 16, side - 1)
          kinds.insert(isBlack(x, y) ? 0 : isTissue(x, y) ? 2 : 1)
        }
      }
      guard kinds.count == 1, let kind = kinds.first else { return nil }
      if kind == 0 { return .black }
      if kind == 1 { return .glass }
      let (number, view) = tissue(column, row)
      return .tissue(number, view)
    }

    /// A pixel's place in its drawn square.
    private func place(_ i: Int, _ j: Int, _ view: Int) -> Int {
      (view & 2 == 0 ? j : side - 1 - j) * side + (view & 1 == 0 ? i : side - 1 - i)
    }

    func picture(_ column: Int, _ row: Int) -> PixelBuffer {
      let kind = square(column, row), (number, view) = tissue(column, row)
      var tile = PixelBuffer(width: side, height: side, channels: 3, filledWith: 0)
      for j in 0..<side {
        for i in 0..<side {
          let x = column * side + i, y = row * side + j, at = 3 * (j * side + i)
          if kind == .black || (kind == nil && isBlack(x, y)) { continue }
          if kind == .glass || (kind == nil && !isTissue(x, y)) {
            for c in 0..<3 { tile.bytes[at + c] = 240 }
          } else {
            let from = 3 * place(i, j, view)
            for c in 0..<3 { tile.bytes[at + c] = pictures[number].bytes[from + c] }
          }
        }
      }
      return tile
    }

    func mask() -> RunMask {
      var mask = RunMask(width: width, height: height)
      let columns = (width + side - 1) / side
      var kinds: [Square?] = []
      for y in 0..<height {
        let row = y / side, j = y % side
        if j == 0 { kinds = (0..<columns).map { square($0, row) } }
        var runs: [RunMask.Run] = []
        for column in 0..<columns {
          if kinds[column] == .black || kinds[column] == .glass { continue }
          let (number, view) = tissue(column, row)
          var start = -1
          let end = min(side, width - column * side)
          for i in 0...end {
            let x = column * side + i
            let isInside =
              i < end && masks[number].bytes[place(i, j, view)] > 0
              && (kinds[column] != nil || (isTissue(x, y) && !isBlack(x, y)))
            if isInside && start < 0 { start = x }
            if !isInside && start >= 0 {
              runs.append(.init(start: start, end: x))
              start = -1
            }
          }
        }
        mask.appendRow(runs)
      }
      return mask
    }
  }
}
