extension PixelBuffer {
  public enum Filter: Sendable {
    /// A triangle two pixels wide, widened by the factor of reduction so that every source pixel counts: Pillow's
    /// `BILINEAR`, bit for bit. For images.
    case bilinear
    /// The source pixel under the centre of the result's pixel, ⌊(i + ½) · source / result⌋: Pillow's `NEAREST`.
    /// (OpenCV's `INTER_NEAREST` takes ⌊i · source / result⌋, half a pixel up and left of it.) For masks.
    case nearest
  }

  /// The image at another size; the sides are scaled independently.
  ///
  /// - Parameters: width, height in pixels, 1 or more.
  public func resized(width newWidth: Int, height newHeight: Int, filter: Filter) -> PixelBuffer {
    precondition(newWidth > 0 && newHeight > 0, "an image has at least one pixel")
    if newWidth == width && newHeight == height { return self }
    switch filter {
    case .nearest: return nearest(newWidth, newHeight)
    case .bilinear: return bilinear(newWidth, newHeight)
    }
  }

  private func nearest(_ newWidth: Int, _ newHeight: Int) -> PixelBuffer {
    let columns = (0..<newWidth).map { min((2 * $0 + 1) * width / (2 * newWidth), width - 1) * channels }
    let result = [UInt8](unsafeUninitializedCapacity: newWidth * newHeight * channels) { out, filled in
      bytes.withUnsafeBufferPointer { source in
        columns.withUnsafeBufferPointer { columns in
          var position = 0
          for y in 0..<newHeight {
            let row = min((2 * y + 1) * height / (2 * newHeight), height - 1) * width * channels
            for x in 0..<newWidth {
              for c in 0..<channels { out[position + c] = source[row + columns[x] + c] }
              position += channels
            }
          }
        }
      }
      filled = newWidth * newHeight * channels
    }
    return PixelBuffer(width: newWidth, height: newHeight, channels: channels, bytes: result)
  }

  /// Rows first, then columns, each rounded to 8 bits, with Pillow's 22-bit fixed-point weights
  /// (`src/libImaging/Resample.c`).
  private func bilinear(_ newWidth: Int, _ newHeight: Int) -> PixelBuffer {
    var pixels = bytes
    if newWidth != width {
      pixels = Self.resampleRows(pixels, width: width, height: height, channels: channels, to: newWidth)
    }
    if newHeight != height {
      pixels = Self.resampleColumns(pixels, rowCount: height, rowBytes: newWidth * channels, to: newHeight)
    }
    return PixelBuffer(width: newWidth, height: newHeight, channels: channels, bytes: pixels)
  }

  private static func resampleRows(
    _ bytes: [UInt8], width: Int, height: Int, channels: Int, to newWidth: Int
  ) -> [UInt8] {
    let taps = Taps(from: width, to: newWidth)
    let count = newWidth * height * channels
    return [UInt8](unsafeUninitializedCapacity: count) { out, filled in
      bytes.withUnsafeBufferPointer { source in
        taps.weights.withUnsafeBufferPointer { weights in
          taps.first.withUnsafeBufferPointer { first in
            taps.count.withUnsafeBufferPointer { counts in
              for y in 0..<height {
                for x in 0..<newWidth {
                  let input = (y * width + first[x]) * channels
                  let output = (y * newWidth + x) * channels
                  let w = x * taps.stride
                  if channels == 3 {
                    var r = Taps.half, g = Taps.half, b = Taps.half
                    for k in 0..<counts[x] {
                      let weight = weights[w + k]
                      r &+= weight &* Int32(source[input + 3 * k])
                      g &+= weight &* Int32(source[input + 3 * k + 1])
                      b &+= weight &* Int32(source[input + 3 * k + 2])
                    }
                    out[output] = Taps.byte(r)
                    out[output + 1] = Taps.byte(g)
                    out[output + 2] = Taps.byte(b)
                  } else {
                    var sum = Taps.half
                    for k in 0..<counts[x] { sum &+= weights[w + k] &* Int32(source[input + k]) }
                    out[output] = Taps.byte(sum)
                  }
                }
              }
            }
          }
        }
      }
      filled = count
    }
  }

  private static func resampleColumns(
    _ bytes: [UInt8], rowCount: Int, rowBytes: Int, to newHeight: Int
  ) -> [UInt8] {
    let taps = Taps(from: rowCount, to: newHeight)
    var sums = [Int32](repeating: 0, count: rowBytes)
    return [UInt8](unsafeUninitializedCapacity: rowBytes * newHeight) { out, filled in
      bytes.withUnsafeBufferPointer { source in
        sums.withUnsafeMutableBufferPointer { sums in
          for y in 0..<newHeight {
            // One source row at a time over the whole width: the inner loop vectorises.
            sums.update(repeating: Taps.half)
            for k in 0..<taps.count[y] {
              let weight = taps.weights[y * taps.stride + k]
              let row = (taps.first[y] + k) * rowBytes
              for i in 0..<rowBytes { sums[i] &+= weight &* Int32(source[row + i]) }
            }
            for i in 0..<rowBytes { out[y * rowBytes + i] = Taps.byte(sums[i]) }
          }
        }
      }
      filled = rowBytes * newHeight
    }
  }
}

/// The weights of one axis: result pixel i takes `count[i]` source pixels from `first[i]` on.
private struct Taps {
  /// Weights are integers over 2²²: 8 bits of pixel, 2 of head room.
  static let bits: Int32 = 22
  static let half: Int32 = 1 << 21

  var first: [Int]
  var count: [Int]
  /// `stride` to a result pixel.
  var weights: [Int32]
  let stride: Int

  init(from source: Int, to result: Int) {
    let scale = Double(source) / Double(result)
    let widening = max(scale, 1)
    stride = Int(widening.rounded(.up)) * 2 + 1
    first = []
    count = []
    weights = [Int32](repeating: 0, count: result * stride)
    for i in 0..<result {
      let centre = (Double(i) + 0.5) * scale
      let low = max(Int(centre - widening + 0.5), 0)
      let high = min(Int(centre + widening + 0.5), source)
      let raw = (low..<high).map { max(0, 1 - abs((Double($0) - centre + 0.5) / widening)) }
      let total = raw.reduce(0, +)
      for (k, weight) in raw.enumerated() {
        weights[i * stride + k] = Int32(weight / total * Double(1 << Self.bits) + 0.5)
      }
      first.append(low)
      count.append(high - low)
    }
  }

  @inline(__always)
  static func byte(_ sum: Int32) -> UInt8 { UInt8(truncatingIfNeeded: max(0, min(255, sum >> bits))) }
}
