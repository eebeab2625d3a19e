import Foundation
import Images
import Testing

/// A picture with smooth colour, so that JPEG keeps it closely.
func gradient(_ width: Int, _ height: Int, channels: Int) -> PixelBuffer {
  var image = PixelBuffer(width: width, height: height, channels: channels)
  for y in 0..<height {
    for x in 0..<width {
      for c in 0..<channels { image[x, y, c] = UInt8((40 + 2 * x + 3 * y + 20 * c) % 256) }
    }
  }
  return image
}

@Suite struct ImageFileTests {
  @Test(arguments: [1, 3]) func pngKeepsEveryByte(channels: Int) throws {
    let folder = try TemporaryFolder()
    let image = gradient(33, 17, channels: channels)
    let path = folder.path + "/a.png"
    try ImageFile.writePNG(image, to: path)
    #expect(try ImageFile.read(path, channels: channels) == image)
    #expect(try ImageFile.size(path) == (33, 17))
    let header = try ImageFile.header(path)
    #expect(header.channels == channels && header.bitDepth == 8 && header.format == .png)
    #expect(try folder.names == ["a.png"], "no temporary file is left")
  }

  @Test(arguments: [1, 3]) func jpegStaysClose(channels: Int) throws {
    let folder = try TemporaryFolder()
    let image = gradient(40, 24, channels: channels)
    let path = folder.path + "/a.jpg"
    try ImageFile.writeJPEG(image, to: path, quality: 95)
    let back = try ImageFile.read(path, channels: channels)
    let worst = zip(image.bytes, back.bytes).map { abs(Int($0) - Int($1)) }.max()
    #expect((worst ?? 255) <= 8)
    #expect(try ImageFile.header(path).format == .jpeg)
  }

  @Test func largeJpegOutgrowsItsBlock() throws {
    var random = SystemRandomNumberGenerator()
    let noise = (0..<300 * 200 * 3).map { _ in UInt8.random(in: 0...255, using: &random) }
    let image = PixelBuffer(width: 300, height: 200, channels: 3, bytes: noise)
    let bytes = try ImageFile.encodeJPEG(image, quality: 100)
    #expect(bytes.count > 65_536)
    #expect(try ImageFile.read(bytes: bytes, channels: 3).width == 300)
  }

  @Test func channelsAreConverted() throws {
    let colour = PixelBuffer(width: 1, height: 1, channels: 3, bytes: [200, 100, 50])
    let grey = PixelBuffer(width: 2, height: 1, channels: 1, bytes: [7, 250])
    // 0.299 · 200 + 0.587 · 100 + 0.114 · 50 = 124.2
    #expect(try ImageFile.read(bytes: ImageFile.encodePNG(colour), channels: 1).bytes == [124])
    #expect(try ImageFile.read(bytes: ImageFile.encodePNG(grey), channels: 3).bytes == [7, 7, 7, 250, 250, 250])
    #expect(grey.rgb().bytes == [7, 7, 7, 250, 250, 250])
    let flat = PixelBuffer(width: 8, height: 8, channels: 3, filledWith: 90)
    let jpeg = try ImageFile.encodeJPEG(flat, quality: 100)
    #expect(try ImageFile.read(bytes: jpeg, channels: 1).bytes == [UInt8](repeating: 90, count: 64))
  }

  @Test func suffixDoesNotMatter() throws {
    let folder = try TemporaryFolder()
    let image = gradient(9, 9, channels: 1)
    let path = try folder.file("really-a-png.jpg", ImageFile.encodePNG(image))
    #expect(try ImageFile.read(path, channels: 1) == image)
  }

  // The next three were written by Pillow 13.0 (`Image.save(…, "PNG")`).
  @Test func palettePNG() throws {
    let bytes: [UInt8] = [
      137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 2, 0, 0, 0, 2, 2, 3, 0, 0, 0, 15, 216, 229,
      183, 0, 0, 0, 12, 80, 76, 84, 69, 255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30, 34, 136, 41, 4, 0, 0, 0, 12, 73,
      68, 65, 84, 120, 156, 99, 16, 96, 216, 0, 0, 0, 228, 0, 193, 39, 168, 232, 87, 0, 0, 0, 0, 73, 69, 78, 68, 174,
      66, 96, 130,
    ]
    let image = try ImageFile.read(bytes: bytes, channels: 3)
    #expect(image.bytes == [255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30])
    #expect(try ImageFile.read(bytes: bytes, channels: 1).bytes == [76, 150, 29, 18])
  }

  @Test func alphaIsDropped() throws {
    let bytes: [UInt8] = [
      137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 2, 0, 0, 0, 1, 8, 6, 0, 0, 0, 244, 34, 127,
      138, 0, 0, 0, 17, 73, 68, 65, 84, 120, 156, 99, 100, 100, 98, 102, 56, 158, 164, 223, 0, 0, 5, 90, 1, 224, 127,
      131, 39, 199, 0, 0, 0, 0, 73, 69, 78, 68, 174, 66, 96, 130,
    ]
    #expect(try ImageFile.read(bytes: bytes, channels: 3).bytes == [1, 2, 3, 200, 100, 50])
  }

  @Test func sixteenBitsAreScaled() throws {
    let bytes: [UInt8] = [
      137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 4, 0, 0, 0, 1, 16, 0, 0, 0, 0, 140, 199,
      140, 82, 0, 0, 0, 17, 73, 68, 65, 84, 120, 156, 99, 96, 96, 96, 100, 108, 96, 248, 255, 31, 0, 5, 17, 2, 129, 174,
      233, 212, 89, 0, 0, 0, 0, 73, 69, 78, 68, 174, 66, 96, 130,
    ]
    #expect(try ImageFile.read(bytes: bytes, channels: 1).bytes == [0, 1, 128, 255])
  }

  /// Only 0 becomes 0: labels 1 and 2 of a mask are foreground. 0, 1, 2, 128, 129, 300, 65535.
  @Test func theFirstOf16BitLabelsAreForeground() throws {
    let bytes: [UInt8] = [
      137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 7, 0, 0, 0, 1, 16, 0, 0, 0, 0, 103, 240, 55, 81, 0,
      0,
      0, 23, 73, 68, 65, 84, 120, 156, 99, 96, 96, 96, 96, 100, 96, 98, 104, 96, 104, 100, 212, 249, 255, 31, 0, 9, 182, 3, 48,
      237,
      17, 150, 15, 0, 0, 0, 0, 73, 69, 78, 68, 174, 66, 96, 130,
    ]
    #expect(try ImageFile.read(bytes: bytes, channels: 1).bytes == [0, 1, 1, 1, 1, 1, 255])
    #expect(try ImageFile.read(bytes: bytes, channels: 3).bytes == [0, 1, 1, 1, 1, 1, 255].flatMap { [$0, $0, $0] })
  }
}

@Suite struct BadImageTests {
  private func kind(_ body: () throws -> Void) -> ImageError.Kind? {
    do {
      try body()
      return nil
    } catch {
      return (error as? ImageError)?.kind
    }
  }

  @Test func truncatedFilesAreErrors() throws {
    let folder = try TemporaryFolder()
    let image = gradient(64, 64, channels: 3)
    for (name, bytes) in [
      ("cut.jpg", try ImageFile.encodeJPEG(image)), ("cut.png", try ImageFile.encodePNG(image)),
    ] {
      for kept in [bytes.count - 1, bytes.count * 3 / 4, bytes.count / 2, 30, 9, 4] {
        let path = try folder.file(name, Array(bytes.prefix(kept)))
        let found = kind { _ = try ImageFile.read(path, channels: 3) }
        // Four bytes of a PNG are not yet its signature.
        #expect(found == (name == "cut.png" && kept < 8 ? .notAnImage : .truncated), "\(name) cut to \(kept) bytes")
        let inMemory = kind { _ = try ImageFile.read(bytes: Array(bytes.prefix(kept)), channels: 3) }
        #expect(inMemory == found)
      }
    }
  }

  @Test func damagedDataIsAnError() throws {
    let png = try ImageFile.encodePNG(gradient(64, 64, channels: 3))
    var bytes = png
    bytes[bytes.count / 2] ^= 0xff
    #expect(kind { _ = try ImageFile.read(bytes: bytes, channels: 3) } == .corrupt)
    #expect(kind { _ = try ImageFile.read(bytes: bytes, channels: 1) } == .corrupt)
  }

  /// A PNG that is a signature and a header alone.
  private func header(width: UInt32, height: UInt32) -> [UInt8] {
    func bigEndian(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) } }
    var crc: UInt32 = 0xffff_ffff
    let body = Array("IHDR".utf8) + bigEndian(width) + bigEndian(height) + [8, 2, 0, 0, 0]
    for byte in body {
      crc ^= UInt32(byte)
      for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xedb8_8320 : crc >> 1 }
    }
    return [137, 80, 78, 71, 13, 10, 26, 10] + bigEndian(13) + body + bigEndian(~crc)
  }

  @Test(arguments: [(1 << 31, 1), (1 << 31, 1 << 31), (65_536, 1), (1, 65_536), (65_535, 65_535), (0, 5), (5, 0)])
  func hostilePNGSizesAreRefused(width: Int, height: Int) {
    let bytes = header(width: UInt32(width), height: UInt32(height))
    #expect(kind { _ = try ImageFile.read(bytes: bytes, channels: 3) } == .tooLarge)
  }

  @Test func hostileJPEGSizeIsRefused() throws {
    var bytes = try ImageFile.encodeJPEG(gradient(8, 8, channels: 1))
    let start = try #require((0..<bytes.count - 1).first { bytes[$0] == 0xff && bytes[$0 + 1] == 0xc0 })
    bytes.replaceSubrange(start + 5..<start + 9, with: [0xff, 0xdc, 0xff, 0xdc])
    #expect(kind { _ = try ImageFile.read(bytes: bytes, channels: 3) } == .tooLarge)
  }

  @Test func allowedSizeWithoutDataIsTruncated() {
    let bytes = header(width: 16_384, height: 16_384)
    #expect(kind { _ = try ImageFile.read(bytes: bytes, channels: 3) } == .truncated)
  }

  @Test func otherFilesAreNamed() throws {
    let folder = try TemporaryFolder()
    #expect(kind { _ = try ImageFile.read(folder.path + "/none.png", channels: 1) } == .missing)
    #expect(kind { _ = try ImageFile.read(folder.path, channels: 1) } == .unreadable)
    #expect(kind { _ = try ImageFile.read(try folder.file("empty.png", []), channels: 1) } == .truncated)
    #expect(
      kind { _ = try ImageFile.read(try folder.file("text.png", Array("hello, world".utf8)), channels: 1) }
        == .notAnImage)
    #expect(kind { _ = try ImageFile.read(bytes: [], channels: 1) } == .truncated)
    #expect(kind { _ = try ImageFile.read(bytes: [1], channels: 2) } == .argument)
    do {
      _ = try ImageFile.size(folder.path + "/none.png")
    } catch {
      #expect("\(error)" == "\(folder.path)/none.png: there is no such file")
    }
  }

  /// An 8 × 8 CMYK JPEG by Pillow 13.0.
  @Test func cmykIsNamed() throws {
    let text = """
      /9j/7gAOQWRvYmUAZAAAAAAA/9sAQwAIBgYHBgUIBwcHCQkICgwUDQwLCwwZEhMPFB0aHx4dGhwcICQuJyAiLCMcHCg3KSwwMTQ0NB8nOT04Mjwu\
      MzQy/8AAFAgACAAIBEMRAE0RAFkRAEsRAP/EAB8AAAEFAQEBAQEBAAAAAAAAAAABAgMEBQYHCAkKC//EALUQAAIBAwMCBAMFBQQEAAABfQECAwAE\
      EQUSITFBBhNRYQcicRQygZGhCCNCscEVUtHwJDNicoIJChYXGBkaJSYnKCkqNDU2Nzg5OkNERUZHSElKU1RVVldYWVpjZGVmZ2hpanN0dXZ3eHl6\
      g4SFhoeIiYqSk5SVlpeYmZqio6Slpqeoqaqys7S1tre4ubrCw8TFxsfIycrS09TV1tfY2drh4uPk5ebn6Onq8fLz9PX29/j5+v/aAA4EQwBNAFkA\
      SwAAPwD3Wva69hr1ev/Z
      """
    let bytes = [UInt8](try #require(Data(base64Encoded: text)))
    #expect(kind { _ = try ImageFile.read(bytes: bytes, channels: 3) } == .unsupported)
  }

  @Test func writingErrorsNameTheFile() throws {
    let folder = try TemporaryFolder()
    let image = gradient(4, 4, channels: 1)
    #expect(kind { try ImageFile.writePNG(image, to: folder.path + "/no/such/folder.png") } == .unwritable)
    #expect(kind { try ImageFile.writeJPEG(image, to: folder.path + "/a.jpg", quality: 0) } == .argument)
    // A folder cannot be replaced by a file; the temporary one goes.
    try FileBytes.makeFolder(folder.path + "/a/b/c.png")
    #expect(kind { try ImageFile.writePNG(image, to: folder.path + "/a/b/c.png") } == .unwritable)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path + "/a/b") == ["c.png"])
  }
}
