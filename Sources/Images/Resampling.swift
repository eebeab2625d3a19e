/// The weights of one axis: result pixel i takes `counts[i]` source pixels from `firsts[i]` on.
///
/// A triangle two result pixels wide (two source pixels where the image is enlarged), at places counted from the start of the whole
/// image, of which a part may be wanted. Weights are integers over 2²²: 8 bits of pixel, 2 of head room.
package struct AxisTaps {
  static let bits: Int32 = 22
  static let half: Int32 = 1 << (bits - 1)

  /// Source pixels that are touched.
  package let source: Range<Int>
  /// Relative to `source`.
  let firsts: [Int]
  let counts: [Int]
  /// `stride` to a result pixel.
  let weights: [Int32]
  let stride: Int

  /// - Parameters:
  ///   - range: result pixels.
  ///   - ratio: source pixels in a result pixel.
  package init(_ range: Range<Int>, ratio: Double, sourceCount: Int) {
    let widening = max(ratio, 1)
    let stride = Int(widening.rounded(.up)) * 2 + 1
    var firsts: [Int] = [], counts: [Int] = []
    var weights = [Int32](repeating: 0, count: range.count * stride)
    for (place, i) in range.enumerated() {
      let centre = (Double(i) + 0.5) * ratio
      // The last pixel may lie wholly beyond the source where sizes were rounded up.
      let low = min(max(Int(centre - widening + 0.5), 0), sourceCount - 1)
      let high = max(min(Int(centre + widening + 0.5), sourceCount), low + 1)
      let raw = (low..<high).map { max(0, 1 - abs((Double($0) - centre + 0.5) / widening)) }
      let total = raw.reduce(0, +)
      for (k, weight) in raw.enumerated() {
        let share = total > 0 ? weight / total : 1 / Double(raw.count)
        weights[place * stride + k] = Int32(share * Double(1 << Self.bits) + 0.5)
      }
      firsts.append(low)
      counts.append(high - low)
    }
    let start = firsts.first ?? 0
    source = start..<zip(firsts, counts).reduce(start + 1) { max($0, $1.0 + $1.1) }
    self.firsts = firsts.map { $0 - start }
    self.counts = counts
    self.weights = weights
    self.stride = stride
  }

  /// All of an axis, `from` source pixels to `to`.
  init(from source: Int, to result: Int) {
    self.init(0..<result, ratio: Double(source) / Double(result), sourceCount: source)
  }

  @inline(__always)
  static func byte(_ sum: Int32) -> UInt8 { UInt8(truncatingIfNeeded: max(0, min(255, sum >> bits))) }
}

extension PixelBuffer {
  /// Rows first, then columns, each rounded to 8 bits.
  package func resampled(columns: AxisTaps, rows: AxisTaps) -> PixelBuffer {
    resampled(columns: columns).resampled(rows: rows)
  }

  func resampled(columns: AxisTaps) -> PixelBuffer {
    let newWidth = columns.firsts.count, rowBytes = newWidth * channels
    let result = [UInt8](unsafeUninitializedCapacity: rowBytes * height) { out, filled in
      bytes.withUnsafeBufferPointer { source in
        columns.weights.withUnsafeBufferPointer { weights in
          columns.firsts.withUnsafeBufferPointer { firsts in
            columns.counts.withUnsafeBufferPointer { counts in
              for y in 0..<height {
                for x in 0..<newWidth {
                  let from = (y * width + firsts[x]) * channels, to = y * rowBytes + x * channels
                  let w = x * columns.stride
                  if channels == 3 {
                    var r = AxisTaps.half, g = AxisTaps.half, b = AxisTaps.half
                    for k in 0..<counts[x] {
                      let weight = weights[w + k]
                      r &+= weight &* Int32(source[from + 3 * k])
                      g &+= weight &* Int32(source[from + 3 * k + 1])
                      b &+= weight &* Int32(source[from + 3 * k + 2])
                    }
                    out[to] = AxisTaps.byte(r)
                    out[to + 1] = AxisTaps.byte(g)
                    out[to + 2] = AxisTaps.byte(b)
                  } else {
                    var sum = AxisTaps.half
                    for k in 0..<counts[x] { sum &+= weights[w + k] &* Int32(source[from + k]) }
                    out[to] = AxisTaps.byte(sum)
                  }
                }
              }
            }
          }
        }
      }
      filled = rowBytes * height
    }
    return PixelBuffer(width: newWidth, height: height, channels: channels, bytes: result)
  }

  func resampled(rows: AxisTaps) -> PixelBuffer {
    let newHeight = rows.firsts.count, rowBytes = width * channels
    var sums = [Int32](repeating: 0, count: rowBytes)
    let result = [UInt8](unsafeUninitializedCapacity: rowBytes * newHeight) { out, filled in
      bytes.withUnsafeBufferPointer { source in
        sums.withUnsafeMutableBufferPointer { sums in
          for y in 0..<newHeight {
            // One source row at a time over the whole width: the inner loop vectorises.
            sums.update(repeating: AxisTaps.half)
            for k in 0..<rows.counts[y] {
              let weight = rows.weights[y * rows.stride + k], row = (rows.firsts[y] + k) * rowBytes
              for i in 0..<rowBytes { sums[i] &+= weight &* Int32(source[row + i]) }
            }
            for i in 0..<rowBytes { out[y * rowBytes + i] = AxisTaps.byte(sums[i]) }
          }
        }
      }
      filled = rowBytes * newHeight
    }
    return PixelBuffer(width: width, height: newHeight, channels: channels, bytes: result)
  }
}
