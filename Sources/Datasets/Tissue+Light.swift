import Randomness

import Glibc
import Images

extension Tissue {
  mutating func light() -> PixelBuffer {
    for _ in 0..<style.blurPasses {
      blur(&pas)
      blur(&haematoxylin)
    }
    let vignette = NoiseField(size: size, cell: 120 * unit, random: &random)
    let (p0, p1, p2) = style.pasAbsorbance, (h0, h1, h2) = style.haematoxylinAbsorbance
    var bytes = [UInt8](repeating: 0, count: 3 * size * size)
    for i in 0..<size * size {
      let p = style.pas * pas[i], h = style.haematoxylin * haematoxylin[i]
      let shade = 1 + 0.02 * vignette.values[i]
      let common = Float(random.roughlyNormal()) * style.noise * 0.7
      let own = random.next()
      bytes[3 * i] = level(style.glass.0 * shade * exp(-p * p0 - h * h0), common, own)
      bytes[3 * i + 1] = level(style.glass.1 * shade * exp(-p * p1 - h * h1), common, own >> 16)
      bytes[3 * i + 2] = level(style.glass.2 * shade * exp(-p * p2 - h * h2), common, own >> 32)
    }
    return PixelBuffer(width: size, height: size, channels: 3, bytes: bytes)
  }

  /// A byte with noise: `common` to the channels, and two bytes of `bits` for its own.
  @inline(__always)
  private func level(_ value: Float, _ common: Float, _ bits: UInt64) -> UInt8 {
    let own = (Float(bits & 0xff) + Float(bits >> 8 & 0xff) - 255) / 104 * style.noise * 0.7
    return UInt8(max(0, min(255, (value + common + own).rounded())))
  }

  /// ¼ ½ ¼ along rows and columns; the border is held.
  private func blur(_ plane: inout [Float]) {
    var rows = plane
    for y in 0..<size {
      for x in 0..<size {
        let i = y * size + x
        let left = plane[x > 0 ? i - 1 : i], right = plane[x + 1 < size ? i + 1 : i]
        rows[i] = 0.5 * plane[i] + 0.25 * (left + right)
      }
    }
    for y in 0..<size {
      for x in 0..<size {
        let i = y * size + x
        let above = rows[y > 0 ? i - size : i], below = rows[y + 1 < size ? i + size : i]
        plane[i] = 0.5 * rows[i] + 0.25 * (above + below)
      }
    }
  }
}
