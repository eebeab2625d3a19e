import Foundation
import Images
import Randomness
import Testing

@testable import Slides

/// Runs against the same operation on plain bit maps.
@Suite struct RunMaskTests {
  static let cases: [(width: Int, height: Int, seed: UInt64)] = (UInt64(0)..<40).map { seed in
    var random = RandomSource(state: seed)
    return (1 + random.below(45), 1 + random.below(45), seed)
  }

  /// Labels of a bit map by flooding: 8 neighbours of foreground, or 4.
  private func flood(_ bits: [UInt8], _ width: Int, _ height: Int, value: UInt8, corners: Bool) -> [[Int]] {
    var isSeen = [Bool](repeating: false, count: bits.count)
    var pieces: [[Int]] = []
    for first in bits.indices where bits[first] == value && !isSeen[first] {
      var piece: [Int] = [], pending = [first]
      isSeen[first] = true
      while let i = pending.popLast() {
        piece.append(i)
        for dy in -1...1 {
          for dx in -1...1 where corners || dx == 0 || dy == 0 {
            let x = i % width + dx, y = i / width + dy
            guard (0..<width).contains(x), (0..<height).contains(y) else { continue }
            let j = y * width + x
            if bits[j] == value, !isSeen[j] {
              isSeen[j] = true
              pending.append(j)
            }
          }
        }
      }
      pieces.append(piece)
    }
    return pieces
  }

  @Test(arguments: cases)
  func bitsAreaAndObjects(_ one: (width: Int, height: Int, seed: UInt64)) {
    let (width, height) = (one.width, one.height)
    let bits = Pictures.shapes(width: width, height: height, seed: one.seed)
    let mask = RunMask(width: width, height: height, bits: bits)
    #expect(mask.isComplete && mask.bits == bits)
    #expect(mask.area == bits.count { $0 > 0 })
    var random = RandomSource(state: one.seed)
    for _ in 0..<10 {
      let x = random.below(width), y = random.below(height), w = 1 + random.below(20), h = 1 + random.below(20)
      var count = 0
      for j in y..<min(height, y + h) { for i in x..<min(width, x + w) where bits[j * width + i] > 0 { count += 1 } }
      #expect(mask.area(x: x, y: y, width: w, height: h) == count)
    }

    let found = MaskObjects(mask).objects
    let pieces = flood(bits, width, height, value: 255, corners: true)
    #expect(found.map(\.area) == pieces.map(\.count))
    for (object, piece) in zip(found, pieces) {
      #expect(object.left == piece.map { $0 % width }.min() && object.bottom == (piece.map { $0 / width }.max() ?? 0) + 1)
      let x = piece.reduce(0.0) { $0 + Double($1 % width) + 0.5 } / Double(piece.count)
      #expect(abs(object.centroidX - x) < 1e-9 && object.meanProbability == 1)
    }
  }

  @Test(arguments: cases)
  func holesAndSmallObjects(_ one: (width: Int, height: Int, seed: UInt64)) {
    let (width, height) = (one.width, one.height)
    let bits = Pictures.shapes(width: width, height: height, seed: one.seed)
    for limit in [nil, 1, 4] as [Int?] {
      var expected = bits
      for piece in flood(bits, width, height, value: 0, corners: false) where piece.count <= limit ?? .max {
        let touches = piece.contains {
          $0 % width == 0 || $0 % width == width - 1 || $0 / width == 0 || $0 / width == height - 1
        }
        if !touches { for i in piece { expected[i] = 255 } }
      }
      var mask = RunMask(width: width, height: height, bits: bits)
      mask.fillHoles(upTo: limit)
      #expect(mask.bits == expected)
    }
    var expected = bits
    for piece in flood(bits, width, height, value: 255, corners: true) where piece.count < 5 {
      for i in piece { expected[i] = 0 }
    }
    var mask = RunMask(width: width, height: height, bits: bits)
    mask.removeObjects(smallerThan: 5)
    #expect(mask.bits == expected)
  }

  @Test(arguments: cases)
  func intersectionsAndScales(_ one: (width: Int, height: Int, seed: UInt64)) {
    let (width, height) = (one.width, one.height)
    let a = Pictures.shapes(width: width, height: height, seed: one.seed)
    let b = Pictures.shapes(width: width, height: height, seed: one.seed + 1000)
    let (maskA, maskB) = (RunMask(width: width, height: height, bits: a), RunMask(width: width, height: height, bits: b))
    #expect(maskA.intersectionArea(maskB) == zip(a, b).count { $0 > 0 && $1 > 0 })
    for downsample in [0.5, 1, 1.7, 2, 3] {
      let small = maskA.scaled(downsample: downsample)
      var expected: [UInt8] = []
      for y in 0..<small.height {
        for x in 0..<small.width {
          let sx = min(width - 1, Int((Double(x) + 0.5) * downsample)), sy = min(height - 1, Int((Double(y) + 0.5) * downsample))
          expected.append(a[sy * width + sx])
        }
      }
      #expect(small.bits == expected, "\(downsample)")
    }
  }

  /// Written as TIFF and as polygons, and read again, a mask is what it was.
  @Test(arguments: cases)
  func filesGiveTheMaskBack(_ one: (width: Int, height: Int, seed: UInt64)) throws {
    let folder = try TemporaryFolder()
    let bits = Pictures.shapes(width: one.width, height: one.height, seed: one.seed)
    let mask = RunMask(width: one.width, height: one.height, bits: bits)
    let tiff = folder.path + "/mask.tiff"
    try mask.writeTIFF(tiff, micronsPerPixel: 0.5, tile: 16, threads: 2)
    let slide = try TIFFSlide(tiff)
    #expect(try RunMask(slide, threads: 2).bits == bits)
    #expect(slide.micronsPerPixel == 0.5)
    #expect(try folder.names == ["mask.tiff"])
    for (level, size) in slide.levels.enumerated() where level > 0 {
      let pixels = try slide.read(level: level, x: 0, y: 0, width: size.width, height: size.height)
      for y in 0..<size.height {
        for x in 0..<size.width { #expect(pixels[x, y, 0] == bits[(y << level) * one.width + x << level]) }
      }
    }

    let objects = MaskObjects(mask)
    let outlines = objects.outlines(mask)
    let path = folder.path + "/mask.geojson"
    let text = GeoJSON.text(outlines.map { .init(polygons: $0, measurements: [("area", 2.5)]) })
    try text.write(toFile: path, atomically: true, encoding: .utf8)
    #expect(try RunMask.read(path, width: one.width, height: one.height).bits == bits)
  }

  /// What a sparse file leaves out is white in a picture in colour, and background in a mask.
  @Test func whatAMaskLeavesOutIsBackground() throws {
    var image = PixelBuffer(width: 64, height: 32, channels: 3)
    for y in 8..<16 { for x in 4..<12 { for c in 0..<3 { image[x, y, c] = 200 } } }
    var page = try TestTIFF.page(image, block: (32, 32), packing: .deflate)
    page.blocks[1] = []
    let folder = try TemporaryFolder()
    let path = folder.path + "/sparse.tiff"
    try Data(TestTIFF(pages: [page]).bytes()).write(to: URL(fileURLWithPath: path))
    #expect(try TIFFSlide(path).read(level: 0, x: 40, y: 4, width: 1, height: 1).bytes == [255, 255, 255])
    let mask = try RunMask.read(path, width: 64, height: 32)
    #expect(mask.area(x: 0, y: 0, width: 64, height: 32) == 64)
  }

  @Test(arguments: cases)
  func outlinesHaveTheObjectsArea(_ one: (width: Int, height: Int, seed: UInt64)) {
    let bits = Pictures.shapes(width: one.width, height: one.height, seed: one.seed)
    let mask = RunMask(width: one.width, height: one.height, bits: bits)
    let objects = MaskObjects(mask)
    for (object, polygons) in zip(objects.objects, objects.outlines(mask)) {
      #expect(polygons.reduce(0) { $0 + $1.area } == Double(object.area))
      for polygon in polygons {
        #expect(signedArea(polygon.exterior) > 0 && polygon.holes.allSatisfy { signedArea($0) < 0 })
        for ring in [polygon.exterior] + polygon.holes { #expect(Set(ring).count == ring.count, "a ring meets itself") }
      }
    }
  }

  /// Pixels that meet at corners alone are in polygons of their own, whichever of a corner's diagonals they lie on: what a polygon encloses is
  /// in one piece.
  @Test(arguments: ["011/101/110", "110/101/011", "0110/1001/1001/0110", "01110/10101/11011/10101/01110", "noise 1", "noise 2"])
  func polygonsAreInOnePiece(_ picture: String) {
    var random = RandomSource(state: picture.hasSuffix("1") ? 1 : 2)
    let rows =
      picture.hasPrefix("noise")
      ? (0..<14).map { _ in (0..<14).map { _ in random.below(5) < 3 } }
      : picture.split(separator: "/").map { $0.map { $0 == "1" } }
    let (width, height) = (rows[0].count, rows.count)
    let mask = RunMask(width: width, height: height, bits: rows.flatMap { $0.map { $0 ? 255 : 0 } })
    var covered = 0
    for polygon in MaskObjects(mask).outlines(mask).flatMap({ $0 }) {
      var left: Set<[Int]> = []
      for y in 0..<height {
        for x in 0..<width {
          let centre = Point(x: Double(x) + 0.5, y: Double(y) + 0.5)
          guard OutlineTracer.contains(polygon.exterior, centre),
            !polygon.holes.contains(where: { OutlineTracer.contains($0, centre) })
          else { continue }
          #expect(rows[y][x])
          left.insert([x, y])
        }
      }
      #expect(Double(left.count) == polygon.area)
      covered += left.count
      var next = left.first.map { [$0] } ?? []
      while let at = next.popLast() {
        guard left.remove(at) != nil else { continue }
        next += [[at[0] - 1, at[1]], [at[0] + 1, at[1]], [at[0], at[1] - 1], [at[0], at[1] + 1]].filter { left.contains($0) }
      }
      #expect(left.isEmpty, "\(left.count) pixels lie apart")
    }
    #expect(covered == rows.reduce(0) { $0 + $1.filter(\.self).count })
  }

  /// A bay with an island in it is not straightened over the island.
  @Test func simplifiedOutlinesDoNotSwallowEachOther() {
    func ring(_ points: (Double, Double)...) -> Ring { points.map { Point(x: $0.0, y: $0.1) } }
    let bay = Polygon(exterior: ring((0, 0), (100, 0), (100, 100), (60, 100), (60, 70), (40, 70), (40, 100), (0, 100)), holes: [])
    let island = Polygon(exterior: ring((45, 80), (55, 80), (55, 90), (45, 90)), holes: [])
    let alone = [bay].simplified(tolerance: 40)
    #expect(alone[0].exterior.count < bay.exterior.count, "the bay alone is straightened")
    let both = [bay, island].simplified(tolerance: 40)
    #expect(!OutlineTracer.contains(both[0].exterior, both[1].exterior[0]))
    #expect(![Polygon(exterior: ring((0, 0), (100, 0), (100, 100), (0, 100)), holes: []), island].areSimple)
  }

  @Test func simplifiedOutlinesStayValidAndNear() {
    // A disc with a hole, large enough for its steps to vanish.
    let side = 400
    let bits = (0..<side * side).map { i -> UInt8 in
      let dx = Double(i % side) - 200, dy = Double(i / side) - 190
      let distance = (dx * dx + dy * dy).squareRoot()
      return distance < 150 && distance > 40 ? 255 : 0
    }
    let mask = RunMask(width: side, height: side, bits: bits)
    let objects = MaskObjects(mask)
    let exact = objects.outlines(mask)[0][0]
    for tolerance in [1.0, 2, 8] {
      let fewer = [exact].simplified(tolerance: tolerance)[0]
      #expect([fewer].areSimple)
      #expect(fewer.holes.count == 1)
      #expect(fewer.exterior.count < exact.exterior.count / 4)
      #expect(abs(fewer.area / exact.area - 1) < 0.01 * tolerance)
    }
    // The smallest things keep their points.
    let dot = Polygon(exterior: [.init(x: 0, y: 0), .init(x: 1, y: 0), .init(x: 1, y: 1), .init(x: 0, y: 1)], holes: [])
    #expect([dot].simplified(tolerance: 5) == [dot])
  }

  @Test(arguments: cases.prefix(20))
  func simplificationNeverCrosses(_ one: (width: Int, height: Int, seed: UInt64)) {
    let bits = Pictures.shapes(width: one.width, height: one.height, seed: one.seed)
    let mask = RunMask(width: one.width, height: one.height, bits: bits)
    for polygons in MaskObjects(mask).outlines(mask) {
      let fewer = polygons.simplified(tolerance: 2)
      #expect(fewer == polygons || fewer.areSimple)
    }
  }

  /// Parts of one object that touch at a corner may cross each other when each is simplified alone.
  @Test func partsOfAnObjectStayApart() {
    let zigzag = (0..<30).map { Point(x: Double($0 * 2), y: Double($0 % 2)) }
    let upper = Polygon(exterior: [.init(x: 58, y: -20)] + zigzag.reversed() + [.init(x: 0, y: -20)], holes: [])
    let lower = Polygon(
      exterior: zigzag.map { .init(x: $0.x, y: $0.y + 0.5) } + [.init(x: 58, y: 30), .init(x: 0, y: 30)], holes: [])
    let both = [upper, lower].map { polygon in
      signedArea(polygon.exterior) > 0 ? polygon : Polygon(exterior: polygon.exterior.reversed(), holes: [])
    }
    #expect(both.areSimple)
    let fewer = both.simplified(tolerance: 4)
    #expect(fewer.areSimple && fewer.count == 2)
  }

  /// As QuPath exports annotations: a list of features, of several classes.
  @Test func otherClassesArePassedOver() throws {
    let folder = try TemporaryFolder()
    func square(_ x: Int, _ name: String?) -> String {
      let properties = name.map { #"{"classification":{"name":"\#($0)"}}"# } ?? "{}"
      return #"{"type":"Feature","properties":\#(properties),"geometry":{"type":"Polygon","coordinates":"#
        + "[[[\(x),0],[\(x + 2),0],[\(x + 2),2],[\(x),2],[\(x),0]]]}}"
    }
    for (features, area) in [
      ([square(0, "Tissue"), square(3, "Glomeruli"), square(6, nil)], 4), ([square(0, "A"), square(3, nil)], 4),
      ([square(0, "Non-glomerular tissue"), square(3, "Glomerulus")], 4), ([square(0, nil), square(3, nil)], 8),
    ] {
      let path = try folder.file("a.geojson", Array("[\(features.joined(separator: ","))]".utf8))
      #expect(try RunMask.read(path, width: 10, height: 5).area == area)
    }
  }

  /// Tissue is not to be trained on as glomeruli because it is all that was outlined.
  @Test func classesWithoutGlomeruliAreRefused() throws {
    let text =
      #"[{"type":"Feature","properties":{"classification":{"name":"Tissue"}},"geometry":{"type":"Polygon","coordinates":"#
      + "[[[0,0],[2,0],[2,2],[0,0]]]}}]"
    let folder = try TemporaryFolder()
    let path = try folder.file("a.geojson", Array(text.utf8))
    #expect { try RunMask.read(path, width: 5, height: 5) } throws: { "\($0)".contains("Tissue") && "\($0)".contains("glomerul") }
  }

  @Test func brokenGeoJSONIsNamed() throws {
    let folder = try TemporaryFolder()
    for (text, words) in [("{", "no JSON"), (#"{"type":"Polygon","coordinates":[[[0,0],[1,1]]]}"#, "fewer than three")] {
      let path = try folder.file("bad.geojson", Array(text.utf8))
      #expect { try RunMask.read(path, width: 5, height: 5) } throws: {
        "\($0)".contains("bad.geojson") && "\($0)".contains(words)
      }
    }
  }

  @Test func aMaskOfAnotherSizeIsStretchedAndOfAnotherShapeRefused() throws {
    let folder = try TemporaryFolder()
    var image = PixelBuffer(width: 10, height: 5, channels: 1)
    image[3, 2, 0] = 1
    try ImageFile.writePNG(image, to: folder.path + "/mask.png")
    let mask = try RunMask.read(folder.path + "/mask.png", width: 40, height: 20)
    #expect(mask.area == 16 && mask.area(x: 12, y: 8, width: 4, height: 4) == 16)
    #expect { try RunMask.read(folder.path + "/mask.png", width: 40, height: 30) } throws: {
      "\($0)".contains("mask.png") && "\($0)".contains("another shape")
    }
  }
}
