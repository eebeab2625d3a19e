import Foundation
import Images
import Randomness
import Testing

@testable import Slides

@Suite struct TIFFSlideTests {
  private let folder = try! TemporaryFolder()

  private func open(_ tiff: TestTIFF, _ name: String = "slide.tiff") throws -> TIFFSlide {
    let path = folder.path + "/" + name
    try Data(tiff.bytes()).write(to: URL(fileURLWithPath: path))
    return try TIFFSlide(path)
  }

  private func whole(_ slide: any SlideSource, level: Int = 0) throws -> PixelBuffer {
    try slide.read(level: level, x: 0, y: 0, width: slide.levels[level].width, height: slide.levels[level].height)
  }

  struct Layout: Sendable, CustomTestStringConvertible {
    let packing: TestTIFF.Packing
    let isTiled: Bool
    let isPlanar: Bool
    let channels: Int
    let isBig: Bool
    var testDescription: String {
      "\(packing) \(isTiled ? "tiles" : "strips") \(isPlanar ? "planar" : "contiguous") \(channels) \(isBig ? "BigTIFF" : "")"
    }
  }

  static let layouts: [Layout] = TestTIFF.Packing.allCases.flatMap { packing in
    [true, false].flatMap { isTiled in
      [(1, false), (3, false), (3, true)].map { channels, isPlanar in
        Layout(packing: packing, isTiled: isTiled, isPlanar: isPlanar, channels: channels, isBig: isTiled != isPlanar)
      }
    }
  }

  /// Odd sizes, so that the last tiles and the last strip are cut.
  @Test(arguments: layouts)
  func everyLayoutGivesThePixels(_ layout: Layout) throws {
    let image = Pictures.gradient(width: 75, height: 53, channels: layout.channels)
    let page = try TestTIFF.page(
      image, block: layout.isTiled ? (32, 16) : nil, rowsPerStrip: 17, packing: layout.packing, planar: layout.isPlanar)
    let slide = try open(TestTIFF(isBig: layout.isBig, pages: [page]))
    #expect(slide.width == 75 && slide.height == 53 && slide.channels == layout.channels)
    let tolerance = layout.packing == .jpeg ? 12 : 0
    #expect(worstDifference(try whole(slide), image) <= tolerance)
    // A window across tiles, off their borders.
    let window = try slide.read(level: 0, x: 20, y: 11, width: 41, height: 37)
    var expected = PixelBuffer(width: 41, height: 37, channels: layout.channels)
    for y in 0..<37 { for x in 0..<41 { for c in 0..<layout.channels { expected[x, y, c] = image[x + 20, y + 11, c] } } }
    #expect(worstDifference(window, expected) <= tolerance)
    #expect(slide.isLossy == (layout.packing == .jpeg))
  }

  @Test func palettesExtraSamplesAndInvertedGrey() throws {
    let grey = Pictures.noise(width: 40, height: 20, channels: 1, seed: 1)
    var page = try TestTIFF.page(grey, block: (16, 16))
    page.photometric = 0
    #expect(try whole(open(TestTIFF(pages: [page]))).bytes == grey.bytes.map { 255 - $0 })

    page.photometric = 3
    page.palette = (0..<768).map { UInt16(($0 * 7 % 256) * 257) }
    let coloured = try whole(open(TestTIFF(pages: [page]), "palette.tiff"))
    #expect(coloured.channels == 3)
    let expected = grey.bytes.flatMap { index in
      [0, 256, 512].map { plane in UInt8((plane + Int(index)) * 7 % 256) }
    }
    #expect(coloured.bytes == expected)

    let colour = Pictures.noise(width: 40, height: 20, channels: 3, seed: 2)
    let alpha = try TestTIFF.page(colour, block: (16, 16), packing: .deflate, extraSample: true)
    #expect(try whole(open(TestTIFF(pages: [alpha]), "alpha.tiff")) == colour)
  }

  /// Aperio: photometric RGB, JPEG streams of YCbCr without a word about it.
  @Test func anAperioTileIsYCbCrUnderTheNameOfRGB() throws {
    let image = Pictures.gradient(width: 64, height: 48, channels: 3)
    var page = try TestTIFF.page(image, block: (32, 16), packing: .jpeg, jpegRGB: true)
    page.description = "Aperio Image Library v11.2.1 \r\n64x48 |AppMag = 20|MPP = 0.4990|Left = 25"
    // The JFIF marker would give it away: Aperio's streams have none, and share their tables.
    let split = try page.blocks.map { try Self.abbreviated($0) }
    page.blocks = split.map(\.stream)
    page.jpegTables = split[0].tables
    let slide = try open(TestTIFF(pages: [page]))
    #expect(worstDifference(try whole(slide), image) <= 12)
    #expect(slide.micronsPerPixel == 0.499 && slide.objectivePower == 20)
  }

  /// Moves the tables (DQT, DHT) of a JPEG stream out of it, and drops the JFIF marker.
  private static func abbreviated(_ jpeg: [UInt8]) throws -> (stream: [UInt8], tables: [UInt8]) {
    var stream: [UInt8] = [0xff, 0xd8], tables: [UInt8] = [0xff, 0xd8]
    var i = 2
    while i < jpeg.count {
      let marker = jpeg[i + 1], length = Int(jpeg[i + 2]) << 8 | Int(jpeg[i + 3])
      let segment = jpeg[i..<i + 2 + length]
      if marker == 0xda {
        stream += jpeg[i...]
        break
      }
      if marker == 0xdb || marker == 0xc4 { tables += segment } else if marker != 0xe0 { stream += segment }
      i += 2 + length
    }
    return (stream, tables + [0xff, 0xd9])
  }

  @Test(arguments: [false, true]) func pyramidsInPagesAndInSubIFDs(_ inSubIFDs: Bool) throws {
    let sizes = [(100, 61), (50, 30), (25, 15)]
    let images = sizes.map { Pictures.gradient(width: $0.0, height: $0.1, channels: 3) }
    var pages = try images.map { try TestTIFF.page($0, block: (16, 16), packing: .deflate) }
    // A label of another shape, and a thumbnail in strips, are no levels.
    let label = try TestTIFF.page(Pictures.gradient(width: 40, height: 45, channels: 3), block: (16, 16))
    let thumbnail = try TestTIFF.page(images[1], block: nil, rowsPerStrip: 8)
    if inSubIFDs {
      pages[0].subPages = Array(pages[1...])
      pages = [pages[0], label, thumbnail]
    } else {
      pages += [label, thumbnail]
    }
    let slide = try open(TestTIFF(isBig: inSubIFDs, pages: pages))
    #expect(slide.levels.map(\.width) == [100, 50, 25])
    for level in 0..<3 { #expect(try whole(slide, level: level) == images[level]) }
  }

  @Test func resolutionComesFromTagsOrOME() throws {
    var page = try TestTIFF.page(Pictures.gradient(width: 20, height: 20, channels: 3), block: (16, 16))
    page.resolution = 40_000
    #expect(try open(TestTIFF(pages: [page])).micronsPerPixel == 0.25)
    page.resolution = 28
    #expect(try open(TestTIFF(pages: [page]), "dpi.tiff").micronsPerPixel == nil)
    page.description =
      #"<?xml version="1.0"?><OME><Image><Objective NominalMagnification="40.0"/><Pixels PhysicalSizeXUnit="nm" PhysicalSizeX="250" PhysicalSizeY="254"/></Image></OME>"#
    let slide = try open(TestTIFF(pages: [page]), "ome.tiff")
    #expect(slide.micronsPerPixel.map { abs($0 - 0.252) < 1e-9 } == true)
    #expect(slide.objectivePower == 40)
  }

  @Test func aSparseTileIsGlassOrBackground() throws {
    var page = try TestTIFF.page(Pictures.noise(width: 32, height: 16, channels: 3, seed: 4), block: (16, 16))
    page.blocks[1] = []
    let slide = try open(TestTIFF(pages: [page]))
    #expect(try slide.read(level: 0, x: 16, y: 0, width: 16, height: 16).bytes.allSatisfy { $0 == 255 })
  }

  // MARK: - What is wrong with a file is said

  private func expectError(_ tiff: TestTIFF, _ words: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
    #expect(sourceLocation: sourceLocation) {
      let slide = try open(tiff, "bad.tiff")
      _ = try whole(slide)
    } throws: { error in
      let text = "\(error)"
      return error is SlideError && text.contains("bad.tiff") && text.contains(words)
    }
  }

  @Test func whatIsNotReadIsNamed() throws {
    let plain = try TestTIFF.page(Pictures.gradient(width: 40, height: 40, channels: 3), block: (16, 16))
    func with(_ change: (inout TestTIFF.Page) -> Void) -> TestTIFF {
      var page = plain
      change(&page)
      return TestTIFF(pages: [page])
    }
    try expectError(with { $0.compression = 33003 }, "JPEG 2000")
    try expectError(with { $0.compression = 6 }, "old-style JPEG")
    try expectError(with { $0.compression = 4242 }, "4242")
    try expectError(with { $0.bits = 16 }, "16-bit")
    try expectError(with { $0.photometric = 5 }, "photometric 5")
    // A tile as large as memory, a tile of nothing, an image of nothing, an image beyond all bounds.
    try expectError(with { $0.lies = [322: 1 << 20, 323: 1 << 20] }, "too large to hold")
    try expectError(with { $0.lies = [322: 0] }, "zero number of tiles")
    try expectError(with { $0.lies = [256: 0] }, "zero number of tiles")
    try expectError(with { $0.lies = [256: 4_000_000_000] }, "4000000000")
    // Tiles that begin or end behind the end of the file.
    try expectError(with { $0.lies = [324: 100_000_000] }, "tile 0, 0: the file ends before its pixels do")
    try expectError(with { $0.lies = [325: 100_000_000] }, "ends before")
    // Fewer bytes than the tile needs.
    var packed = try TestTIFF.page(
      Pictures.noise(width: 40, height: 40, channels: 3, seed: 3), block: (16, 16), packing: .deflate)
    packed.lies = [325: 100]
    try expectError(TestTIFF(pages: [packed]), "damaged")
  }

  @Test func aJPEGOfAnotherSizeIsRefused() throws {
    let image = Pictures.gradient(width: 32, height: 32, channels: 3)
    var page = try TestTIFF.page(image, block: (16, 16), packing: .jpeg)
    page.blocks[3] = try ImageFile.encodeJPEG(PixelBuffer(width: 8, height: 8, channels: 3))
    try expectError(TestTIFF(pages: [page]), "8 x 8")
    page.blocks[3] = try ImageFile.encodeJPEG(PixelBuffer(width: 3000, height: 3000, channels: 3))
    try expectError(TestTIFF(pages: [page]), "3000 x 3000")
    page.blocks[3] = try ImageFile.encodeJPEG(PixelBuffer(width: 16, height: 16, channels: 1))
    try expectError(TestTIFF(pages: [page]), "1 components")
  }

  @Test func aLoopOfDirectoriesEnds() throws {
    let page = try TestTIFF.page(Pictures.gradient(width: 20, height: 20, channels: 1), block: (16, 16))
    var tiff = TestTIFF(pages: [page, page])
    let first = tiff.bytes()[4..<8].enumerated().reduce(UInt64(0)) { $0 | UInt64($1.element) << UInt64(8 * $1.offset) }
    tiff.lastLink = first
    try expectError(tiff, "list of its images is damaged")
  }

  @Test func otherFilesAreNoSlides() throws {
    let path = folder.path + "/notes.txt"
    try Data("just some text".utf8).write(to: URL(fileURLWithPath: path))
    #expect { try Slide.open(path) } throws: { "\($0)".contains("notes.txt") }
    #expect { try Slide.open(folder.path + "/none.tiff") } throws: { "\($0)".contains("there is no such file") }
    #expect { try Slide.open(folder.path) } throws: { "\($0)".contains("not a regular file") }
    try Data([0x49, 0x49, 42, 0]).write(to: URL(fileURLWithPath: path))
    #expect { try Slide.open(path) } throws: { $0 is SlideError }
  }

  /// Cut anywhere or damaged anywhere, a file gives an error or pixels, never a crash or a hang.
  @Test(arguments: [TestTIFF.Packing.none, .lzw, .jpeg, .deflate, .packBits])
  func damageIsSurvived(_ packing: TestTIFF.Packing) throws {
    let image = Pictures.gradient(width: 50, height: 40, channels: 3)
    var page = try TestTIFF.page(image, block: (16, 16), packing: packing)
    page.subPages = [try TestTIFF.page(Pictures.gradient(width: 25, height: 20, channels: 3), block: (16, 16), packing: packing)]
    let bytes = TestTIFF(pages: [page]).bytes()
    var random = RandomSource(state: UInt64(packing.rawValue))
    var errors = 0
    func attempt(_ damaged: [UInt8]) throws {
      let path = folder.path + "/damaged.tiff"
      try Data(damaged).write(to: URL(fileURLWithPath: path))
      do {
        let slide = try TIFFSlide(path)
        for level in slide.levels.indices where slide.levels[level].width * slide.levels[level].height < 1 << 20 {
          _ = try whole(slide, level: level)
        }
      } catch {
        #expect(error is SlideError)
        errors += 1
      }
    }
    for cut in stride(from: 0, to: bytes.count, by: max(1, bytes.count / 60)) { try attempt(Array(bytes[..<cut])) }
    #expect(errors > 40, "a file that is cut is not read as if it were whole")
    for _ in 0..<150 {
      var damaged = bytes
      for _ in 0..<1 + random.below(4) { damaged[random.below(bytes.count)] = UInt8(random.below(256)) }
      try attempt(damaged)
    }
  }

  @Test func theCacheIsBounded() throws {
    let image = Pictures.noise(width: 256, height: 256, channels: 3, seed: 9)
    let path = folder.path + "/cache.tiff"
    try Data(TestTIFF(pages: [try TestTIFF.page(image, block: (16, 16))]).bytes()).write(to: URL(fileURLWithPath: path))
    let slide = try TIFFSlide(path, cacheBytes: 20 * 768)
    #expect(try whole(slide) == image)
    #expect(try whole(slide) == image)
    #expect(slide.cachedByteCount <= 20 * 768 && slide.cachedByteCount > 0)
  }

  @Test func manyThreadsReadOneSlide() throws {
    let image = Pictures.noise(width: 200, height: 200, channels: 3, seed: 5)
    let slide = try open(TestTIFF(pages: [try TestTIFF.page(image, block: (32, 32), packing: .deflate)]))
    DispatchQueue.concurrentPerform(iterations: 64) { i in
      let x = i * 3 % 150, y = i * 7 % 150
      let window = try? slide.read(level: 0, x: x, y: y, width: 50, height: 50)
      #expect(window?[13, 17, 1] == image[x + 13, y + 17, 1])
    }
  }
}
