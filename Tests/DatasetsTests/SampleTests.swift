import Randomness
import Images
import Testing

#if canImport(Glibc)
  import Glibc
#endif

@testable import Datasets

@Suite struct RandomSourceTests {
  /// The first numbers of Vigna's splitmix64.c from state 1234567.
  @Test func isSplitMix64() {
    var random = RandomSource(state: 1_234_567)
    #expect(
      (0..<5).map { _ in random.next() } == [
        6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423, 4_593_380_528_125_082_431,
        16_408_922_859_458_223_821,
      ])
  }

  @Test func stateTakesUpWhereItWas() {
    var random = RandomSource(seed: 9)
    _ = random.permutation(10)
    var again = RandomSource(state: random.state)
    #expect(random.next() == again.next())
  }

  @Test func drawsAreInRangeAndSpread() {
    var random = RandomSource(seed: 3, 4)
    var counts = [Int](repeating: 0, count: 7)
    for _ in 0..<7000 { counts[random.below(7)] += 1 }
    #expect(counts.allSatisfy { (850...1150).contains($0) })
    let normal = (0..<4000).map { _ in random.roughlyNormal() }
    let mean = normal.reduce(0, +) / 4000, square = normal.reduce(0) { $0 + $1 * $1 } / 4000
    #expect(abs(mean) < 0.08 && abs(square - 1) < 0.1)
    #expect(random.permutation(50).sorted() == Array(0..<50))
    #expect(RandomSource(seed: 1, 2, 3) != RandomSource(seed: 1, 3, 2))
  }
}

@Suite struct AugmentationTests {
  /// 3 × 2: the red byte is the place, green and blue its multiples; the mask marks one pixel.
  private let patch = DecodedPatch(
    width: 3, height: 2, rgb: (0..<6).flatMap { [UInt8($0), UInt8(10 * $0), UInt8(40 * $0)] }, mask: [0, 0, 1, 0, 0, 0])
  private let square = DecodedPatch(
    width: 2, height: 2, rgb: (0..<4).flatMap { [UInt8($0), UInt8($0), UInt8($0)] }, mask: [0, 1, 0, 0])

  private func planes(_ patch: DecodedPatch, _ draw: Augmentation.Draw) -> (image: [Float], mask: [Float]) {
    let count = patch.width * patch.height
    var image = [Float](repeating: .nan, count: 3 * count), mask = [Float](repeating: .nan, count: count)
    image.withUnsafeMutableBufferPointer { image in
      mask.withUnsafeMutableBufferPointer { patch.write(draw, image: image, mask: $0) }
    }
    return (image, mask)
  }

  private func places(_ patch: DecodedPatch, _ draw: Augmentation.Draw) -> [Int] {
    planes(patch, draw).image.prefix(patch.width * patch.height).map { Int(($0 * 255).rounded()) }
  }

  @Test func planesAreRGBOver255() {
    let (image, mask) = planes(patch, .init())
    #expect(image == [0, 1, 2, 3, 4, 5, 0, 10, 20, 30, 40, 50, 0, 40, 80, 120, 160, 200].map { Float($0) / 255 })
    #expect(mask == [0, 0, 1, 0, 0, 0])
  }

  @Test func mirrorsAndTurnsByHand() {
    #expect(places(patch, .init(flipsX: true)) == [2, 1, 0, 5, 4, 3])
    #expect(places(patch, .init(flipsY: true)) == [3, 4, 5, 0, 1, 2])
    #expect(places(patch, .init(quarterTurns: 2)) == [5, 4, 3, 2, 1, 0])
    #expect(places(patch, .init(quarterTurns: 3)) == [5, 4, 3, 2, 1, 0], "not square: a half turn in its place")
    // 0 1      1 3      after a quarter turn counter-clockwise
    // 2 3      0 2
    #expect(places(square, .init(quarterTurns: 1)) == [1, 3, 0, 2])
    #expect(places(square, .init(quarterTurns: 3)) == [2, 0, 3, 1])
    #expect(places(square, .init(flipsX: true, quarterTurns: 1)) == [0, 2, 1, 3])
  }

  @Test func maskFollowsTheImage() {
    for turns in 0..<4 {
      for (flipsX, flipsY) in [(false, false), (true, false), (false, true), (true, true)] {
        for (patch, marked) in [(patch, 2), (square, 1)] {
          let draw = Augmentation.Draw(flipsX: flipsX, flipsY: flipsY, quarterTurns: turns)
          let place = places(patch, draw).firstIndex(of: marked)
          #expect(planes(patch, draw).mask.firstIndex(of: 1) == place)
        }
      }
    }
  }

  @Test func brightnessAndContrastByHand() {
    let image = planes(square, .init(brightness: 0.5, contrast: 2)).image
    // Mean 1.5 / 255; place 3: ((3 − 1.5) · 2 + 1.5) / 2 = 2.25; place 0 falls below 0.
    #expect(abs(image[3] * 255 - 2.25) < 1e-4)
    #expect(image[0] == 0)
    #expect(planes(patch, .init(brightness: 9)).image.max() == 1)
    #expect(planes(patch, .init(brightness: 9)).mask == patch.mask.map(Float.init))
  }

  @Test func drawsDependOnTheirNumbersAlone() {
    let all = Augmentation()
    #expect(all.draw(seed: 1, epoch: 2, sample: 3) == all.draw(seed: 1, epoch: 2, sample: 3))
    let draws = (0..<64).map { all.draw(seed: 1, epoch: 0, sample: $0) }
    #expect(Set(draws.map(\.quarterTurns)) == [0, 1, 2, 3])
    #expect(draws.contains { $0.flipsX } && draws.contains { !$0.flipsX } && draws.contains { $0.flipsY != $0.flipsX })
    #expect(draws.allSatisfy { (0.9...1.1).contains($0.brightness) && (0.9...1.1).contains($0.contrast) })
    #expect(draws != (0..<64).map { all.draw(seed: 1, epoch: 1, sample: $0) })
    #expect(draws != (0..<64).map { all.draw(seed: 2, epoch: 0, sample: $0) })
    #expect(draws != (0..<64).map { all.draw(seed: 1, epoch: 0, sample: $0, time: 1) }, "shown again, changed in another way")
    // Leaving one change out does not move the others.
    var fewer = all
    fewer.flips = false
    #expect(draws.map(\.brightness) == (0..<64).map { fewer.draw(seed: 1, epoch: 0, sample: $0).brightness })
    #expect(Augmentation.none.draw(seed: 1, epoch: 0, sample: 0) == .init())
  }
}

@Suite struct WarpTests {
  /// 16 × 16: red is the column, green the row (times 10), and the mask marks one pixel.
  private let patch: DecodedPatch = {
    var rgb: [UInt8] = []
    var mask = [UInt8](repeating: 0, count: 256)
    for place in 0..<256 {
      rgb.append(UInt8(10 * (place % 16)))
      rgb.append(UInt8(10 * (place / 16)))
      rgb.append(7)
    }
    mask[3 * 16 + 10] = 1
    return DecodedPatch(width: 16, height: 16, rgb: rgb, mask: mask)
  }()

  private func planes(_ draw: Augmentation.Draw) -> (image: [Float], mask: [Float]) {
    var image = [Float](repeating: .nan, count: 768), mask = [Float](repeating: .nan, count: 256)
    image.withUnsafeMutableBufferPointer { image in
      mask.withUnsafeMutableBufferPointer { patch.write(draw, image: image, mask: $0) }
    }
    return (image, mask)
  }

  @Test func aWarpThatDoesNothingIsThePatch() {
    var draw = Augmentation.Draw(flipsX: true, quarterTurns: 1)
    let plain = planes(draw)
    draw.warp = Warp(degrees: 0, scale: 1)
    let warped = planes(draw)
    #expect(zip(plain.image, warped.image).allSatisfy { abs($0 - $1) < 1e-6 })
    #expect(plain.mask == warped.mask)
  }

  /// A warp by 90° is the quarter turn, which is made of copies.
  @Test func aWarpByNinetyDegreesIsAQuarterTurn() {
    var warped = Augmentation.Draw()
    warped.warp = Warp(degrees: 90, scale: 1)
    let (image, mask) = planes(warped)
    let turned = planes(.init(quarterTurns: 1))
    #expect(zip(image, turned.image).allSatisfy { abs($0 - $1) < 1e-5 })
    #expect(mask == turned.mask)
  }

  @Test func aScaleOfTwoShowsTheMiddleHalf() {
    var draw = Augmentation.Draw()
    draw.warp = Warp(degrees: 0, scale: 2)
    let image = planes(draw).image
    // Column x comes from (x + ½ − 8) / 2 + 7.5: 3.75 for the first.
    #expect(abs(image[0] * 255 - 37.5) < 1e-3 && abs(image[15] * 255 - 112.5) < 1e-3)
    #expect(image.allSatisfy { $0.isFinite })
  }

  @Test func edgesAreMirrored() {
    #expect((-3...6).map { Warp.mirrored($0, 4) } == [3, 2, 1, 0, 1, 2, 3, 2, 1, 0])
    #expect(Warp.mirrored(-5, 1) == 0)
  }

  @Test func elasticDisplacementIsBoundedAndSmooth() {
    var random = RandomSource(seed: 4)
    let warp = Warp(degrees: 0, scaleChange: 0, elastic: 0.1, random: &random)
    var largest = 0.0
    for y in 0..<64 {
      for x in 0..<63 {
        let (a, b) = (warp.source(x, y, width: 64, height: 64), warp.source(x + 1, y, width: 64, height: 64))
        largest = max(largest, abs(a.x - Double(x)), abs(a.y - Double(y)))
        // Neighbours stay neighbours.
        #expect(abs(b.x - a.x - 1) < 1.3 && abs(b.y - a.y) < 1.3)
      }
    }
    #expect(largest > 1 && largest <= 6.4)
  }
}

@Suite struct ColourChangeTests {
  private func change(_ values: [Float], _ body: (UnsafeMutableBufferPointer<Float>) -> Void) -> [Float] {
    var values = values
    values.withUnsafeMutableBufferPointer { body($0) }
    return values
  }

  @Test func noStainChangeIsTheIdentity() {
    let values: [Float] = [0.9, 0.2, 0.5, 0.3, 0.7, 1]
    let same = change(values) { StainChange(factors: [0, 0, 0], shifts: [0, 0, 0]).apply($0, count: 2) }
    #expect(zip(values, same).allSatisfy { abs($0 - $1) < 1e-5 })
  }

  /// A pixel of one stain alone, amount 0.4: with twice the amount its optical densities double.
  @Test func aFactorScalesOneStain() {
    let haematoxylin: [Float] = [0.65, 0.70, 0.29]
    func pixel(_ amount: Float) -> [Float] { haematoxylin.map { powf(10, -amount * $0) } }
    let twice = change(pixel(0.4)) { StainChange(factors: [1, 0.5, -0.5], shifts: [0, 0, 0]).apply($0, count: 1) }
    #expect(zip(twice, pixel(0.8)).allSatisfy { abs($0 - $1) < 1e-5 })
    let shifted = change(pixel(0.4)) { StainChange(factors: [0, 0, 0], shifts: [0.1, 0, 0]).apply($0, count: 1) }
    #expect(zip(shifted, pixel(0.5)).allSatisfy { abs($0 - $1) < 1e-5 })
  }

  @Test func blurKeepsAConstantAndSpreadsAPoint() {
    let flat = change([Float](repeating: 0.25, count: 35)) { PlaneFilters.blur($0, width: 7, height: 5, sigma: 1.5) }
    #expect(flat.allSatisfy { abs($0 - 0.25) < 1e-6 })
    var point = [Float](repeating: 0, count: 21 * 21)
    point[10 * 21 + 10] = 1
    let spread = change(point) { PlaneFilters.blur($0, width: 21, height: 21, sigma: 2) }
    #expect(abs(spread.reduce(0, +) - 1) < 1e-4)
    // exp(−2² / (2 · 2²)) two pixels off the centre, across and down.
    #expect(abs(spread[10 * 21 + 12] / spread[10 * 21 + 10] - 0.60653) < 1e-4)
    #expect(abs(spread[12 * 21 + 10] - spread[10 * 21 + 12]) < 1e-7)
  }

  @Test func noiseHasItsDeviationAndItsSeed() {
    let values = [Float](repeating: 0.5, count: 20_000)
    let noisy = change(values) { PlaneFilters.addNoise($0, sigma: 0.05, seed: 3) }
    let variance = noisy.reduce(0) { $0 + ($1 - 0.5) * ($1 - 0.5) } / 20_000
    #expect(abs(variance.squareRoot() - 0.05) < 0.002)
    #expect(noisy == change(values) { PlaneFilters.addNoise($0, sigma: 0.05, seed: 3) })
    #expect(noisy != change(values) { PlaneFilters.addNoise($0, sigma: 0.05, seed: 4) })
  }

  /// Each change comes to its share of the patches, and switching one off moves no other.
  @Test func changesComeAsOftenAsAsked() {
    var all = Augmentation()
    (all.warpProbability, all.rotation, all.scaling, all.elastic) = (0.5, 15, 0.2, 0.05)
    (all.stainProbability, all.stain, all.blurProbability, all.blur) = (0.25, 0.1, 0.75, 2)
    (all.noiseProbability, all.noise) = (1, 0.05)
    let draws = (0..<400).map { all.draw(seed: 8, epoch: 1, sample: $0) }
    func share(_ holds: (Augmentation.Draw) -> Bool) -> Double { Double(draws.count(where: holds)) / 400 }
    #expect(abs(share { $0.warp != nil } - 0.5) < 0.08)
    #expect(abs(share { $0.stain != nil } - 0.25) < 0.08)
    #expect(abs(share { $0.blur > 0 } - 0.75) < 0.08)
    #expect(share { $0.noise > 0 } == 1)
    #expect(draws.compactMap(\.warp).allSatisfy { abs($0.degrees) <= 15 && (1 / 1.2 - 1e-9...1.2 + 1e-9).contains($0.scale) })
    var fewer = all
    fewer.warpProbability = 0
    let others = (0..<400).map { fewer.draw(seed: 8, epoch: 1, sample: $0) }
    #expect(others.allSatisfy { $0.warp == nil })
    #expect(others.map(\.stain) == draws.map(\.stain) && others.map(\.noiseSeed) == draws.map(\.noiseSeed))

    // Of a share of patches, a half is mirrored from left to right and three quarters are turned.
    (all.flipProbability, all.turnProbability, all.lightProbability) = (0.5, 0.25, 0.75)
    let rarer = (0..<400).map { all.draw(seed: 8, epoch: 1, sample: $0) }
    func often(_ holds: (Augmentation.Draw) -> Bool) -> Double { Double(rarer.count(where: holds)) / 400 }
    #expect(abs(often { $0.flipsX } - 0.25) < 0.08 && abs(often { $0.flipsX || $0.flipsY } - 0.375) < 0.08)
    #expect(abs(often { $0.quarterTurns != 0 } - 0.1875) < 0.08)
    #expect(abs(often { $0.brightness != 1 && $0.contrast != 1 } - 0.75) < 0.08)
    #expect(rarer.map(\.warp?.degrees) == draws.map(\.warp?.degrees))
  }
}

@Suite struct PatchSampleTests {
  @Test func scalesImageAndMask() throws {
    let folder = try TemporaryFolder()
    var image = PixelBuffer(width: 4, height: 4, channels: 3, filledWith: 60)
    image[0, 0, 0] = 255
    var mask = PixelBuffer(width: 4, height: 4, channels: 1, filledWith: 127)
    for y in 0..<4 {
      for x in 2..<4 { mask[x, y, 0] = 128 }
    }
    try folder.file("train/g/c/img/c_0_0_0_img.png", ImageFile.encodePNG(image))
    try folder.file("train/g/c/mask/c_0_0_0_mask.png", ImageFile.encodePNG(mask))
    let pair = try PatchDataset.scan(root: folder.path).pairs[0]

    let native = try PatchSample.load(pair, patchSize: nil)
    #expect((native.width, native.height) == (4, 4))
    #expect(native.image[0] == 1 && native.image[16] == 60.0 / 255)
    #expect(native.mask == [Float](repeatElement([0, 0, 1, 1], count: 4).joined()))
    let small = try PatchSample.load(pair, patchSize: 2)
    #expect(small.mask == [0, 1, 0, 1])
    #expect(
      small.image.map { UInt8(($0 * 255).rounded()) }.prefix(4)
        == image.resized(width: 2, height: 2, filter: .bilinear).bytes.enumerated().filter { $0.offset % 3 == 0 }
        .map(\.element)[...])
  }
}
