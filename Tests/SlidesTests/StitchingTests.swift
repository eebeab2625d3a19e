import Foundation
import Images
import Randomness
import Testing

@testable import Slides

@Suite struct StitchingTests {
  /// Any size, patch, overlap, edge rule and blend.
  static let cases: [Case] = (0..<120).map { Case(seed: UInt64($0)) }

  struct Case: Sendable, CustomTestStringConvertible {
    let width, height, patch, stride: Int
    let edge: PatchGrid.Edge
    let blend: Stitcher.Blend
    let seed: UInt64

    init(seed: UInt64) {
      var random = RandomSource(state: seed)
      width = 1 + random.below(90)
      height = 1 + random.below(90)
      patch = 1 + random.below(40)
      stride = 1 + random.below(patch)
      edge = [PatchGrid.Edge.shift, .pad, .drop][random.below(3)]
      blend = [Stitcher.Blend.gaussian, .flat][random.below(2)]
      self.seed = seed
    }

    var testDescription: String { "\(width) × \(height), patch \(patch), stride \(stride), \(edge), \(blend)" }
  }

  private func stitch(
    _ grid: PatchGrid, width: Int, height: Int, blend: Stitcher.Blend, startRow: Int = 0, _ value: (Int, Int) -> Float
  ) -> [UInt8] {
    var stitcher = Stitcher(width: width, height: height, side: grid.patch, blend: blend, startRow: startRow)
    var result: [UInt8] = []
    for y in grid.rows {
      stitcher.finish(upTo: y) { result += $1 }
      for x in grid.columns {
        var window = [Float](repeating: 0, count: grid.patch * grid.patch)
        for j in 0..<grid.patch { for i in 0..<grid.patch { window[j * grid.patch + i] = value(x + i, y + j) } }
        window.withUnsafeBufferPointer { stitcher.add($0, x: x, y: y) }
      }
    }
    stitcher.finish(upTo: height) { result += $1 }
    return result
  }

  /// Patches of a mask taken for predictions give the mask back, wherever a patch lies.
  @Test(arguments: cases)
  func patchesOfTheTruthStitchToTheTruth(_ one: Case) {
    let bits = Pictures.shapes(width: one.width, height: one.height, seed: one.seed)
    let grid = PatchGrid(width: one.width, height: one.height, patch: one.patch, stride: one.stride, edge: one.edge)
    let stitched = stitch(grid, width: one.width, height: one.height, blend: one.blend) { x, y in
      x < one.width && y < one.height && bits[y * one.width + x] > 0 ? 1 : 0
    }
    // Only `drop` leaves pixels out, and those are background.
    var covered = [Bool](repeating: false, count: bits.count)
    for y in grid.rows {
      for x in grid.columns {
        for j in y..<min(one.height, y + one.patch) {
          for i in x..<min(one.width, x + one.patch) { covered[j * one.width + i] = true }
        }
      }
    }
    if one.edge != .drop { #expect(covered.allSatisfy { $0 }) }
    #expect(stitched == zip(bits, covered).map { $1 ? $0 : 0 })
  }

  /// What depends on the place in the image alone has no seams: any stride gives the same bytes.
  @Test(arguments: cases.prefix(40))
  func seamsAreInvisible(_ one: Case) {
    func value(_ x: Int, _ y: Int) -> Float {
      var random = RandomSource(seed: one.seed, UInt64(max(0, x)), UInt64(max(0, y)))
      return Float(random.below(256)) / 255
    }
    let whole = (0..<one.height).flatMap { y in (0..<one.width).map { UInt8((value($0, y) * 255).rounded()) } }
    let edge: PatchGrid.Edge = one.edge == .drop ? .shift : one.edge
    let grid = PatchGrid(width: one.width, height: one.height, patch: one.patch, stride: one.stride, edge: edge)
    #expect(stitch(grid, width: one.width, height: one.height, blend: one.blend, value) == whole)
  }

  /// Going on from any row gives the bytes of going through.
  @Test(arguments: cases.prefix(40))
  func stitchingGoesOnFromAnyRow(_ one: Case) {
    let grid = PatchGrid(width: one.width, height: one.height, patch: one.patch, stride: one.stride, edge: one.edge)
    // Windows disagree here, so that the order of adding matters.
    func window(_ x: Int, _ y: Int) -> [Float] {
      var random = RandomSource(seed: one.seed, UInt64(x), UInt64(y))
      return (0..<one.patch * one.patch).map { _ in Float(random.unit()) }
    }
    func run(from startRow: Int) -> [UInt8] {
      var stitcher = Stitcher(width: one.width, height: one.height, side: one.patch, blend: one.blend, startRow: startRow)
      var result: [UInt8] = []
      for y in grid.rows where y + one.patch > startRow {
        stitcher.finish(upTo: y) { result += $1 }
        for x in grid.columns { window(x, y).withUnsafeBufferPointer { stitcher.add($0, x: x, y: y) } }
      }
      stitcher.finish(upTo: one.height) { result += $1 }
      return result
    }
    let whole = run(from: 0), start = Int(one.seed) * 7 % one.height
    #expect(run(from: start) == Array(whole[(start * one.width)...]))
  }

  @Test func votesCount() {
    let grid = PatchGrid(width: 8, height: 4, patch: 4, stride: 2, edge: .shift)
    #expect(grid.columns == [0, 2, 4])
    let result = stitch(grid, width: 8, height: 4, blend: .vote) { _, _ in 0.7 }
    #expect(Array(result[0..<8]) == [64, 64, 128, 128, 128, 128, 64, 64])
    #expect(stitch(grid, width: 8, height: 4, blend: .vote) { _, _ in 0.3 }.allSatisfy { $0 == 0 })
  }

  @Test func gridsAreTheChallenges() {
    // Its training patches of a slide 1024 wide, 384 px with a quarter overlap, and its evaluation's.
    let patches = PatchGrid(width: 1024, height: 603, patch: 384, stride: 288, edge: .shift)
    #expect(patches.columns == [0, 288, 576, 640] && patches.rows == [0, 219])
    #expect(patches[6] == (576, 219))
    #expect(PatchGrid(width: 5000, height: 2048, patch: 2048, stride: 1024, edge: .moveLast).columns == [0, 1024, 2952])
    #expect(PatchGrid(width: 5000, height: 2048, patch: 2048, stride: 1024, edge: .pad).columns == [0, 1024, 2048, 3072])
    #expect(PatchGrid(width: 5000, height: 2047, patch: 2048, stride: 1024, edge: .drop).count == 0)
    #expect(PatchGrid(width: 9, height: 9, patch: 20, stride: 3, edge: .shift).columns == [0])
  }
}

@Suite struct SlideCanvasTests {
  private let folder = try! TemporaryFolder()

  private func slide(_ image: PixelBuffer, levels: Int) throws -> TIFFSlide {
    var pages: [TestTIFF.Page] = []
    for level in 0..<levels {
      let small = image.resized(width: max(1, image.width >> level), height: max(1, image.height >> level), filter: .bilinear)
      pages.append(try TestTIFF.page(small, block: (32, 32), packing: .deflate))
    }
    let path = folder.path + "/slide.tiff"
    try Data(TestTIFF(pages: pages).bytes()).write(to: URL(fileURLWithPath: path))
    return try TIFFSlide(path)
  }

  /// Overlapping windows agree bit for bit, at whole, broken and enlarging scales.
  @Test(arguments: [0.5, 1, 1.3, 2, 3, 4.7], [1, 3])
  func aPixelDependsOnItsPlaceAlone(_ downsample: Double, _ levels: Int) throws {
    let source = try slide(Pictures.noise(width: 131, height: 97, channels: 3, seed: 8), levels: levels)
    let canvas = SlideCanvas(source, downsample: downsample)
    let whole = try canvas.read(x: 0, y: 0, width: canvas.width, height: canvas.height)
    var random = RandomSource(state: 5)
    for _ in 0..<12 {
      let x = random.below(canvas.width), y = random.below(canvas.height)
      let w = 1 + random.below(30), h = 1 + random.below(30)
      let window = try canvas.read(x: x, y: y, width: w, height: h)
      for j in 0..<h {
        for i in 0..<w {
          let isInside = x + i < canvas.width && y + j < canvas.height
          for c in 0..<3 where window[i, j, c] != (isInside ? whole[x + i, y + j, c] : 0) {
            Issue.record("pixel \(x + i), \(y + j) differs")
            return
          }
        }
      }
    }
  }

  @Test(arguments: [1.0, 2.5, 8], [100, 1000, 20_000])
  func readingPartAfterPartGivesTheSamePixels(_ downsample: Double, _ limit: Int) throws {
    let source = try slide(Pictures.noise(width: 131, height: 97, channels: 3, seed: 8), levels: 1)
    let whole = SlideCanvas(source, downsample: downsample)
    let parts = SlideCanvas(source, downsample: downsample, readLimit: limit)
    #expect(
      try parts.read(x: 0, y: 0, width: whole.width, height: whole.height)
        == whole.read(x: 0, y: 0, width: whole.width, height: whole.height))
  }

  /// The same filter as the one that patches are scaled with for training.
  @Test func aWholeFactorIsResizing() throws {
    let image = Pictures.noise(width: 120, height: 80, channels: 3, seed: 2)
    let canvas = SlideCanvas(try slide(image, levels: 1), downsample: 4)
    #expect(try canvas.read(x: 0, y: 0, width: 30, height: 20) == image.resized(width: 30, height: 20, filter: .bilinear))
  }

  /// Image and mask stay together to the far corner, also where the scale is almost that of a level: one of 1.008 is not 1.
  @Test(arguments: [(1.008, 1), (0.992, 1), (2.015, 2), (1.985, 2), (4.03, 3), (3.97, 3), (2, 2), (4, 3)])
  func aPixelShowsItsPlaceAtAlmostWholeScales(_ downsample: Double, _ levels: Int) throws {
    // Brightness tells the column: 0 to 250 over 2001 pixels.
    var image = PixelBuffer(width: 2001, height: 16, channels: 3)
    for y in 0..<16 { for x in 0..<2001 { for c in 0..<3 { image[x, y, c] = UInt8(x / 8) } } }
    let canvas = SlideCanvas(try slide(image, levels: levels), downsample: downsample)
    #expect(canvas.level == levels - 1)
    let row = try canvas.read(x: 0, y: 1, width: canvas.width, height: 1)
    for x in 8..<canvas.width - 8 {
      let expected = ((Double(x) + 0.5) * downsample - 4) / 8
      #expect(abs(Double(row[x, 0, 0]) - expected) < 1.5, "column \(x) shows \(row[x, 0, 0]) in place of \(expected)")
    }
  }

  /// Sizes that were rounded are still those of whole factors; others are what they are.
  @Test func factorsOfLevelsAreWholeWhereSizesWereRounded() {
    let full = (width: 2967, height: 2001)
    for (width, height, x, y) in [
      (1483, 1001, 2.0, 2.0), (741, 500, 4, 4), (370, 250, 8, 8), (1187, 800, 2967.0 / 1187, 2001.0 / 800),
    ] {
      let level = SlideLevel(width: width, height: height, of: full)
      #expect(level.downsampleX == x && level.downsampleY == y)
    }
  }

  @Test func theNearestLevelIsRead() throws {
    let source = try slide(Pictures.noise(width: 301, height: 207, channels: 3, seed: 2), levels: 4)
    #expect([1.0, 1.9, 2, 3.5, 4, 100].map { SlideCanvas(source, downsample: $0).level } == [0, 0, 1, 1, 2, 3])
    #expect(SlideCanvas(source, downsample: 2).width == 151)
  }

  @Test func tissueIsNeitherGlassNorBlack() throws {
    var image = PixelBuffer(width: 300, height: 300, channels: 3, filledWith: 240)
    for y in 0..<300 {
      for x in 0..<300 where x < 60 { for c in 0..<3 { image[x, y, c] = 4 } }
      for x in 120..<180 where (100..<160).contains(y) {
        (image[x, y, 0], image[x, y, 1], image[x, y, 2]) = (230, 190, 225)
      }
    }
    let map = try TissueMap(try slide(image, levels: 1))
    #expect(abs(map.area - 3600) < 400)
    #expect(map.touches(x: 110, y: 90, width: 20, height: 20) && !map.touches(x: 0, y: 0, width: 110, height: 90))
    let grown = map.grown(by: 10)
    #expect(grown.area > map.area && grown.touches(x: 112, y: 120, width: 1, height: 1))
    #expect(!grown.touches(x: 80, y: 0, width: 10, height: 10))
    #expect(TissueMap.fraction(image) == 0.04)
  }
}
