import Images
import Testing

@Suite struct ResizeTests {
  /// (37 x + 91 y + 53 c + x y c) mod 256, 11 × 7.
  private static let pattern: PixelBuffer = {
    var image = PixelBuffer(width: 11, height: 7, channels: 3)
    for y in 0..<7 {
      for x in 0..<11 {
        for c in 0..<3 { image[x, y, c] = UInt8((37 * x + 91 * y + 53 * c + x * y * c) % 256) }
      }
    }
    return image
  }()

  private static let red: PixelBuffer = {
    var image = PixelBuffer(width: 11, height: 7, channels: 1)
    for y in 0..<7 {
      for x in 0..<11 { image[x, y, 0] = pattern[x, y, 0] }
    }
    return image
  }()

  @Test func halvingByHand() {
    // Support 2: result 0 has its centre at 1; weights of pixels 0, 1, 2 are ¾, ¾, ¼ over their sum 7/4;
    // result 1 at 3 mirrors it. (0 · 3 + 40 · 3 + 80) / 7 = 28.6; (40 + 80 · 3 + 120 · 3) / 7 = 91.4.
    let row = PixelBuffer(width: 4, height: 1, channels: 1, bytes: [0, 40, 80, 120])
    #expect(row.resized(width: 2, height: 1, filter: .bilinear).bytes == [29, 91])
    let column = PixelBuffer(width: 1, height: 4, channels: 1, bytes: [0, 40, 80, 120])
    #expect(column.resized(width: 1, height: 2, filter: .bilinear).bytes == [29, 91])
  }

  @Test func doublingByHand() {
    // Centres at ¼, ¾, 1¼, 1¾ of the source, ends held.
    let row = PixelBuffer(width: 2, height: 1, channels: 1, bytes: [0, 100])
    #expect(row.resized(width: 4, height: 1, filter: .bilinear).bytes == [0, 25, 75, 100])
    #expect(row.resized(width: 4, height: 1, filter: .nearest).bytes == [0, 0, 100, 100])
  }

  @Test func constantStaysConstant() {
    let flat = PixelBuffer(width: 37, height: 23, channels: 3, filledWith: 255)
    for side in [1, 7, 64] {
      let small = flat.resized(width: side, height: side, filter: .bilinear)
      #expect(small.bytes.allSatisfy { $0 == 255 })
    }
  }

  // Pillow 13.0: Image.fromarray(a).resize((w, h), Image.BILINEAR).tobytes()
  @Test func equalsPillow() {
    #expect(
      Self.pattern.resized(width: 4, height: 3, filter: .bilinear).bytes == [
        102, 125, 137, 133, 118, 139, 112, 128, 134, 113, 130, 143, 109, 130, 124, 116, 128, 140, 129, 131, 128, 114,
        129, 144, 126, 137, 123, 113, 121, 133, 119, 135, 127, 119, 119, 111,
      ])
    #expect(
      Self.pattern.resized(width: 5, height: 9, filter: .bilinear).bytes == [
        30, 83, 136, 102, 155, 208, 175, 166, 107, 66, 65, 118, 84, 137, 190, 91, 144, 165, 163, 111, 116, 120, 107,
        126, 91, 131, 174, 145, 139, 125, 140, 145, 129, 129, 88, 103, 100, 121, 149, 134, 165, 145, 123, 114, 119, 137,
        107, 86, 65, 107, 155, 129, 154, 149, 153, 152, 97, 68, 103, 156, 47, 102, 158, 119, 180, 188, 192, 86, 92, 83,
        104, 179, 101, 182, 165, 118, 174, 107, 148, 129, 106, 79, 105, 155, 112, 164, 104, 172, 99, 127, 161, 157, 89,
        106, 113, 135, 92, 158, 132, 159, 135, 111, 128, 103, 122, 141, 126, 118, 89, 125, 157, 134, 149, 110, 142, 113,
        137, 90, 127, 111, 64, 122, 180, 136, 152, 115, 147, 56, 129, 46, 143, 143, 118, 129, 78,
      ])
    #expect(
      Self.red.resized(width: 4, height: 3, filter: .bilinear).bytes == [
        102, 133, 112, 113, 109, 116, 129, 114, 126, 113, 119, 119,
      ])
    #expect(
      Self.red.resized(width: 4, height: 3, filter: .nearest).bytes == [
        128, 239, 57, 168, 54, 165, 239, 94, 236, 91, 165, 20,
      ])
    #expect(
      Self.red.resized(width: 17, height: 2, filter: .nearest).bytes == [
        91, 91, 128, 165, 165, 202, 239, 239, 20, 57, 57, 94, 131, 131, 168, 205, 205, 199, 199, 236, 17, 17, 54, 91,
        91, 128, 165, 165, 202, 239, 239, 20, 57, 57,
      ])
  }
}

@Suite struct PanelTests {
  @Test func imagesStandBesideEachOther() {
    let left = PixelBuffer(width: 2, height: 2, channels: 1, filledWith: 10)
    let right = PixelBuffer(width: 1, height: 2, channels: 3, filledWith: 20)
    let panel = Panel.sideBySide([left, right], gap: 1)
    #expect((panel.width, panel.height, panel.channels) == (4, 2, 3))
    #expect((0..<4).map { panel[$0, 1, 0] } == [10, 10, 255, 20])
  }

  @Test func outlineIsTheRimOfTheMask() {
    let image = PixelBuffer(width: 5, height: 5, channels: 1, filledWith: 9)
    var mask = PixelBuffer(width: 5, height: 5, channels: 1)
    for y in 1..<4 {
      for x in 1..<4 { mask[x, y, 0] = 255 }
    }
    let thin = image.outlined(mask, in: .green)
    #expect(thin[1, 1, 1] == 200 && thin[2, 1, 1] == 200)
    #expect(thin[2, 2, 1] == 9 && thin[0, 0, 1] == 9)
    #expect(image.outlined(mask, in: .green, thickness: 2)[2, 2, 1] == 200)
    let full = PixelBuffer(width: 5, height: 5, channels: 1, filledWith: 255)
    #expect(image.outlined(full, in: .green) == image.rgb(), "the image's border is no outline")
  }

  @Test func mapsBecomeGrey() {
    #expect(PixelBuffer.grey(width: 4, height: 1, unitValues: [0, 0.5, 2, .nan]).bytes == [0, 128, 255, 0])
  }
}
