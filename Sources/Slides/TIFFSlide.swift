public import Images
import TIFFBridge

/// A TIFF or BigTIFF file: tiled or in strips, with a pyramid in SubIFDs or in the pages that follow.
///
/// Read are 8-bit RGB, grey and palette pixels, contiguous or planar, uncompressed or compressed by PackBits, LZW, Deflate,
/// ZSTD (where libtiff has it) or JPEG, Aperio's included. Everything else is an error that says what it is.
public final class TIFFSlide: SlideSource {
  public let path: String
  public let levels: [SlideLevel]
  public let channels: Int
  public let micronsPerPixel: Double?
  public let objectivePower: Double?
  public let isLossy: Bool

  private let directories: [tb_directory]
  private let palette: [UInt8]
  /// Of what a sparse file leaves out: not scanned, white in a picture in colour and background in a mask.
  private let missingSample: UInt8
  private let pool: TIFFReaderPool
  private let cache: BlockCache

  /// Decoded blocks that are kept, in bytes, unless the caller says otherwise.
  public static let defaultCacheBytes = 256 << 20
  /// A file with more images than this is damaged or no slide.
  private static let directoryLimit = 512

  /// Opens a slide and reads the list of its images; no pixels yet.
  ///
  /// - Parameter asMask: what a sparse file leaves out is background.
  /// - Throws: `.unreadable`, `.unsupported` or `.damaged`.
  public init(_ path: String, asMask: Bool = false, cacheBytes: Int = TIFFSlide.defaultCacheBytes) throws(SlideError) {
    self.path = path
    let reader = try TIFFReader(path)
    let base = try reader.describe()
    let description = reader.imageDescription
    channels = base.colour == Int32(TB_RGB) || base.colour == Int32(TB_PALETTE) ? 3 : 1
    palette = base.colour == Int32(TB_PALETTE) ? try reader.palette() : []
    missingSample = channels == 3 && !asMask ? 255 : 0
    isLossy = base.lossy
    let resolution = TIFFResolution(base, description: description)
    micronsPerPixel = resolution.micronsPerPixel
    objectivePower = resolution.objectivePower

    var candidates: [tb_directory] = []
    var pageCount = 1
    while try reader.next() {
      pageCount += 1
      guard pageCount <= Self.directoryLimit else {
        throw SlideError(
          .damaged, path: path, reason: "it lists more than \(Self.directoryLimit) images: damaged, or no slide")
      }
      // A label or a macro image of another kind is no reason to refuse the slide.
      if let page = try? reader.describe() { candidates.append(page) }
    }
    for offset in base.offsets {
      try reader.seek(offset)
      if let reduced = try? reader.describe() { candidates.append(reduced) }
    }
    directories = Self.pyramid(base, candidates)
    let full = (width: Int(base.width), height: Int(base.height))
    levels = directories.map { SlideLevel(width: Int($0.width), height: Int($0.height), of: full) }
    pool = TIFFReaderPool(path)
    cache = BlockCache(byteLimit: cacheBytes)
  }

  /// The base and those of the candidates that are smaller versions of it, the largest first.
  ///
  /// Scanners put thumbnails, labels and photographs of the glass beside the pyramid. A level has the base's kind of
  /// pixels, tiles where the base has tiles, and the base's shape to within a pixel's rounding.
  private static func pyramid(_ base: tb_directory, _ candidates: [tb_directory]) -> [tb_directory] {
    var levels = [base]
    for page in candidates.sorted(by: { $0.width > $1.width }) {
      guard let last = levels.last, page.width < last.width, page.height <= last.height, page.tiled == base.tiled,
        page.colour == base.colour, page.samples == base.samples
      else { continue }
      let factor = Double(base.width) / Double(page.width)
      // Repeated halving with rounding loses up to a pixel a level.
      let expected = Double(base.height) / factor
      let slack = 2 + expected / Double(page.width)
      if abs(expected - Double(page.height)) <= slack { levels.append(page) }
    }
    return levels
  }

  public func read(level: Int, x: Int, y: Int, width: Int, height: Int) throws(SlideError) -> PixelBuffer {
    try checkWindow(level, x, y, width, height)
    let directory = directories[level]
    let blockWidth = Int(directory.block_width), blockHeight = Int(directory.block_height)
    var pixels = [UInt8](repeating: 0, count: width * height * channels)
    for row in y / blockHeight...(y + height - 1) / blockHeight {
      for column in x / blockWidth...(x + width - 1) / blockWidth {
        let block = try block(level, column: column, row: row)
        let left = max(x, column * blockWidth), right = min(x + width, (column + 1) * blockWidth)
        let top = max(y, row * blockHeight), bottom = min(y + height, (row + 1) * blockHeight)
        let count = (right - left) * channels
        block.withUnsafeBufferPointer { source in
          pixels.withUnsafeMutableBufferPointer { target in
            guard let from = source.baseAddress, let to = target.baseAddress else { return }
            for line in top..<bottom {
              let start = ((line - row * blockHeight) * blockWidth + left - column * blockWidth) * channels
              let place = ((line - y) * width + left - x) * channels
              (to + place).update(from: from + start, count: count)
            }
          }
        }
      }
    }
    return PixelBuffer(width: width, height: height, channels: channels, bytes: pixels)
  }

  /// Bytes of decoded blocks in memory now.
  var cachedByteCount: Int { cache.byteCount }

  /// A block in `channels` channels.
  private func block(_ level: Int, column: Int, row: Int) throws(SlideError) -> [UInt8] {
    let directory = directories[level]
    let columns = (Int(directory.width) + Int(directory.block_width) - 1) / Int(directory.block_width)
    let key = BlockCache.Key(level: level, block: row * columns + column)
    if let known = cache.block(key) { return known }
    let decoded = try pool.with { reader throws(SlideError) in try decode(reader, directory, column, row) }
    cache.insert(decoded, for: key)
    return decoded
  }

  private func decode(
    _ reader: TIFFReader, _ directory: tb_directory, _ column: Int, _ row: Int
  ) throws(SlideError) -> [UInt8] {
    let count = Int(directory.block_width) * Int(directory.block_height)
    let missing = [UInt8](repeating: missingSample, count: count * channels)
    if directory.planar {
      var pixels = missing
      for plane in 0..<channels {
        guard let samples = try reader.block(directory, column: column, row: row, plane: plane) else { return missing }
        for i in 0..<count { pixels[i * channels + plane] = samples[i] }
      }
      return finished(pixels, directory, stored: channels)
    }
    guard let stored = try reader.block(directory, column: column, row: row, plane: 0) else { return missing }
    return finished(stored, directory, stored: Int(directory.samples))
  }

  /// Drops extra samples, looks palettes up, turns white-is-zero round.
  private func finished(_ bytes: [UInt8], _ directory: tb_directory, stored: Int) -> [UInt8] {
    let wanted = directory.colour == Int32(TB_RGB) ? 3 : 1
    var pixels = bytes
    if stored != wanted {
      let count = bytes.count / stored
      pixels = [UInt8](unsafeUninitializedCapacity: count * wanted) { out, filled in
        bytes.withUnsafeBufferPointer { source in
          for i in 0..<count { for c in 0..<wanted { out[i * wanted + c] = source[i * stored + c] } }
        }
        filled = count * wanted
      }
    }
    switch directory.colour {
    case Int32(TB_GREY_INVERTED): return pixels.map { 255 - $0 }
    case Int32(TB_PALETTE):
      return [UInt8](unsafeUninitializedCapacity: pixels.count * 3) { out, filled in
        palette.withUnsafeBufferPointer { palette in
          for (i, index) in pixels.enumerated() {
            for c in 0..<3 { out[3 * i + c] = palette[3 * Int(index) + c] }
          }
        }
        filled = pixels.count * 3
      }
    default: return pixels
    }
  }
}

extension tb_directory {
  /// Where the SubIFDs lie.
  fileprivate var offsets: [UInt64] {
    withUnsafeBytes(of: sub_offsets) { raw in Array(raw.bindMemory(to: UInt64.self).prefix(Int(sub_count))) }
  }
}
