import Images
import Randomness
import Slides

/// Images and masks for tests.
enum Pictures {
  /// Smooth enough for JPEG, different everywhere.
  static func gradient(width: Int, height: Int, channels: Int) -> PixelBuffer {
    var image = PixelBuffer(width: width, height: height, channels: channels)
    for y in 0..<height {
      for x in 0..<width {
        for c in 0..<channels {
          image[x, y, c] = UInt8(x * (c + 1) * 40 / width + y * (3 - c) * 30 / height + 20 * c)
        }
      }
    }
    return image
  }

  static func noise(width: Int, height: Int, channels: Int, seed: UInt64) -> PixelBuffer {
    var random = RandomSource(state: seed)
    let bytes = (0..<width * height * channels).map { _ in UInt8(truncatingIfNeeded: random.next() >> 20) }
    return PixelBuffer(width: width, height: height, channels: channels, bytes: bytes)
  }

  /// A bit map of discs, rings and specks: outlines that touch at corners, holes in holes, pieces at the border.
  static func shapes(width: Int, height: Int, seed: UInt64) -> [UInt8] {
    var random = RandomSource(state: seed)
    var bits = [UInt8](repeating: 0, count: width * height)
    for _ in 0..<6 {
      let x = random.below(width), y = random.below(height), radius = 1 + random.below(max(2, min(width, height) / 3))
      let hole = random.below(radius + 1), value = UInt8(random.below(4) == 0 ? 0 : 255)
      for j in 0..<height {
        for i in 0..<width {
          let distance = (i - x) * (i - x) + (j - y) * (j - y)
          if distance <= radius * radius, distance >= hole * hole { bits[j * width + i] = value }
        }
      }
    }
    for _ in 0..<width * height / 12 { bits[random.below(width * height)] ^= 255 }
    return bits
  }
}

extension RunMask {
  init(width: Int, height: Int, bits: [UInt8]) {
    self.init(width: width, height: height)
    bits.withUnsafeBufferPointer { bytes in
      for row in 0..<height {
        appendRow(UnsafeBufferPointer(rebasing: bytes[row * width..<(row + 1) * width]), above: 127)
      }
    }
  }

  var bits: [UInt8] {
    var bits = [UInt8](repeating: 0, count: width * height)
    bits.withUnsafeMutableBufferPointer { bytes in
      for row in 0..<height {
        draw(row: row, from: 0, into: UnsafeMutableBufferPointer(rebasing: bytes[row * width..<(row + 1) * width]))
      }
    }
    return bits
  }
}

func worstDifference(_ a: PixelBuffer, _ b: PixelBuffer) -> Int {
  guard a.width == b.width, a.height == b.height, a.channels == b.channels else { return 999 }
  return zip(a.bytes, b.bytes).reduce(0) { max($0, abs(Int($1.0) - Int($1.1))) }
}
