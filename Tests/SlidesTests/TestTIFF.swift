import Images

@testable import Slides

/// Builds TIFF files byte by byte, so that the reader meets layouts that libtiff's writer would not make.
struct TestTIFF {
  enum Packing: Int, CaseIterable {
    case none = 1, lzw = 5, jpeg = 7, deflate = 8, packBits = 32773, zstd = 50000
  }

  /// One image. Blocks are stored row by row, of planar images plane by plane.
  struct Page {
    var width = 0
    var height = 0
    var blockWidth = 0
    var blockHeight = 0
    var samples = 1
    var isTiled = true
    var isPlanar = false
    var compression = 1
    var photometric = 1
    var blocks: [[UInt8]] = []
    var palette: [UInt16] = []
    var jpegTables: [UInt8] = []
    var description = ""
    /// Pixels per centimetre.
    var resolution: UInt32 = 0
    var bits = 8
    var isReduced = false
    var subPages: [Page] = []
    /// Tags that replace what the page says.
    var lies: [Int: UInt32] = [:]
  }

  var isBig = false
  /// The offset in the last page's link: 0 ends the list.
  var lastLink: UInt64 = 0
  var pages: [Page] = []

  // MARK: - Pages of pixels

  /// Cuts an image into blocks and packs them.
  static func page(
    _ image: PixelBuffer, block: (width: Int, height: Int)?, rowsPerStrip: Int = 0, packing: Packing = .none,
    planar: Bool = false, extraSample: Bool = false, jpegRGB: Bool = false
  ) throws -> Page {
    var page = Page()
    page.width = image.width
    page.height = image.height
    page.isTiled = block != nil
    page.blockWidth = block?.width ?? image.width
    page.blockHeight = block?.height ?? rowsPerStrip
    page.samples = image.channels + (extraSample ? 1 : 0)
    page.isPlanar = planar
    page.compression = packing.rawValue
    page.photometric = image.channels == 3 ? (packing == .jpeg && !jpegRGB && !planar ? 6 : 2) : 1
    let planes = planar ? page.samples : 1
    for plane in 0..<planes {
      for top in stride(from: 0, to: image.height, by: page.blockHeight) {
        for left in stride(from: 0, to: image.width, by: page.blockWidth) {
          let rows = block == nil ? min(page.blockHeight, image.height - top) : page.blockHeight
          var bytes: [UInt8] = []
          for y in top..<top + rows {
            for x in left..<left + page.blockWidth {
              for c in planar ? plane..<plane + 1 : 0..<page.samples {
                // Beyond the border the last pixel goes on, so that JPEG has no edge there.
                bytes.append(c < image.channels ? image[min(x, image.width - 1), min(y, image.height - 1), c] : 77)
              }
            }
          }
          let channels = planar ? 1 : page.samples
          page.blocks.append(try pack(bytes, packing, width: page.blockWidth, height: rows, channels: channels))
        }
      }
    }
    return page
  }

  static func pack(_ bytes: [UInt8], _ packing: Packing, width: Int, height: Int, channels: Int) throws -> [UInt8] {
    switch packing {
    case .none: return bytes
    case .deflate: return try TIFFWriter.deflate(bytes)
    case .jpeg:
      return try ImageFile.encodeJPEG(
        PixelBuffer(width: width, height: height, channels: channels, bytes: bytes), quality: 95)
    case .packBits:
      // Runs for equal neighbours, else literals; no run crosses a row.
      var out: [UInt8] = []
      for row in 0..<height {
        let line = Array(bytes[row * width * channels..<(row + 1) * width * channels])
        var i = 0
        while i < line.count {
          var run = 1
          while i + run < line.count, run < 128, line[i + run] == line[i] { run += 1 }
          if run > 1 {
            out += [UInt8(257 - run), line[i]]
          } else {
            out += [0, line[i]]
          }
          i += run
        }
      }
      return out
    case .lzw:
      // Nine-bit codes alone: the table is cleared before a tenth bit is needed.
      var out: [UInt8] = [], bitCount = 0
      var buffer: UInt32 = 0
      func put(_ code: UInt32) {
        buffer = buffer << 9 | code
        bitCount += 9
        while bitCount >= 8 {
          bitCount -= 8
          out.append(UInt8(truncatingIfNeeded: buffer >> UInt32(bitCount)))
        }
      }
      for (i, byte) in bytes.enumerated() {
        if i % 200 == 0 { put(256) }
        put(UInt32(byte))
      }
      put(257)
      if bitCount > 0 { out.append(UInt8(truncatingIfNeeded: buffer << UInt32(8 - bitCount))) }
      return out
    case .zstd:
      // A frame of raw blocks (RFC 8878): single segment, 4-byte content size.
      var out: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd, 0xa0]
      for shift in [0, 8, 16, 24] { out.append(UInt8(bytes.count >> shift & 255)) }
      for start in stride(from: 0, to: bytes.count, by: 100_000) {
        let part = bytes[start..<min(start + 100_000, bytes.count)]
        let header = part.count << 3 | (part.endIndex == bytes.count ? 1 : 0)
        out += [UInt8(header & 255), UInt8(header >> 8 & 255), UInt8(header >> 16)]
        out += part
      }
      return out
    }
  }

  // MARK: - Bytes

  func bytes() -> [UInt8] {
    var file = Bytes(isBig: isBig)
    file.header()
    var link = file.firstLink
    for page in pages {
      let offset = file.append(page)
      file.patch(link, UInt64(offset.start))
      link = offset.link
    }
    file.patch(link, lastLink)
    return file.bytes
  }

  private struct Bytes {
    let isBig: Bool
    var bytes: [UInt8] = []
    var firstLink: Int { isBig ? 8 : 4 }

    mutating func number(_ value: UInt64, _ count: Int) {
      for i in 0..<count { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * i))) }
    }

    mutating func patch(_ place: Int, _ value: UInt64) {
      for i in 0..<(isBig ? 8 : 4) { bytes[place + i] = UInt8(truncatingIfNeeded: value >> UInt64(8 * i)) }
    }

    mutating func header() {
      bytes = [0x49, 0x49]
      if isBig {
        number(43, 2)
        number(8, 2)
        number(0, 2)
        number(0, 8)
      } else {
        number(42, 2)
        number(0, 4)
      }
    }

    mutating func append(_ page: Page) -> (start: Int, link: Int) {
      var offsets: [UInt64] = [], counts: [UInt64] = []
      for block in page.blocks {
        offsets.append(UInt64(bytes.count))
        counts.append(UInt64(block.count))
        bytes += block
      }
      let subOffsets = page.subPages.map { UInt64(append($0).start) }
      typealias Entry = (tag: Int, type: Int, values: [UInt64])
      let wide = isBig ? 16 : 4
      var entries: [Entry] = [
        (254, 4, [page.isReduced ? 1 : 0]), (256, 4, [UInt64(page.width)]), (257, 4, [UInt64(page.height)]),
        (258, 3, [UInt64](repeating: UInt64(page.bits), count: page.samples)),
        (259, 3, [UInt64(page.compression)]), (262, 3, [UInt64(page.photometric)]), (277, 3, [UInt64(page.samples)]),
        (284, 3, [page.isPlanar ? 2 : 1]),
      ]
      if page.isTiled {
        entries += [
          (322, 4, [UInt64(page.blockWidth)]), (323, 4, [UInt64(page.blockHeight)]), (324, wide, offsets),
          (325, wide, counts),
        ]
      } else {
        entries += [(273, wide, offsets), (278, 4, [UInt64(page.blockHeight)]), (279, wide, counts)]
      }
      if !page.palette.isEmpty { entries.append((320, 3, page.palette.map { UInt64($0) })) }
      if !page.jpegTables.isEmpty { entries.append((347, 7, page.jpegTables.map { UInt64($0) })) }
      if !page.description.isEmpty { entries.append((270, 2, Array(page.description.utf8).map { UInt64($0) } + [0])) }
      if page.resolution > 0 {
        let ratio = UInt64(page.resolution) | 1 << 32
        entries += [(282, 5, [ratio]), (283, 5, [ratio]), (296, 3, [3])]
      }
      if page.samples == 4 { entries.append((338, 3, [2])) }
      if page.photometric == 6 { entries.append((530, 3, [2, 2])) }
      if !subOffsets.isEmpty { entries.append((330, wide, subOffsets)) }
      for (tag, value) in page.lies {
        if let i = entries.firstIndex(where: { $0.tag == tag }) {
          entries[i].values = [UInt64](repeating: UInt64(value), count: entries[i].values.count)
        } else {
          entries.append((tag, 4, [UInt64(value)]))
        }
      }
      entries.sort { $0.tag < $1.tag }

      let room = isBig ? 8 : 4
      let sizes = [2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 16: 8]
      var outside: [Int: UInt64] = [:]
      for (i, entry) in entries.enumerated() {
        let size = sizes[entry.type] ?? 1
        if size * entry.values.count > room {
          outside[i] = UInt64(bytes.count)
          for value in entry.values { number(value, size) }
        }
      }
      if bytes.count % 2 == 1 { bytes.append(0) }
      let start = bytes.count
      number(UInt64(entries.count), isBig ? 8 : 2)
      for (i, entry) in entries.enumerated() {
        number(UInt64(entry.tag), 2)
        number(UInt64(entry.type), 2)
        number(UInt64(entry.values.count), isBig ? 8 : 4)
        if let offset = outside[i] {
          number(offset, room)
        } else {
          let size = sizes[entry.type] ?? 1
          for value in entry.values { number(value, size) }
          number(0, room - size * entry.values.count)
        }
      }
      let link = bytes.count
      number(0, room)
      return (start, link)
    }
  }
}
