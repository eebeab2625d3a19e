import Images

/// The weights of one axis: result pixel i takes `counts[i]` source pixels from `firsts[i]` on.
///
/// A triangle two result pixels wide (two source pixels where the image is enlarged), as `PixelBuffer.resized`, but at
/// places counted from the start of the whole image. Weights are integers over 2²².
struct AxisTaps {
  static let bits: Int32 = 22
  /// Source pixels that are touched.
  let source: Range<Int>
  /// Relative to `source`.
  let firsts: [Int]
  let counts: [Int]
  /// `stride` to a result pixel.
  let weights: [Int32]
  let stride: Int

  /// - Parameters:
  ///   - range: result pixels.
  ///   - ratio: source pixels in a result pixel.
  init(_ range: Range<Int>, ratio: Double, sourceCount: Int) {
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
}

extension PixelBuffer {
  /// Rows first, then columns, each rounded to 8 bits.
  func resampled(columns: AxisTaps, rows: AxisTaps) -> PixelBuffer {
    let newWidth = columns.firsts.count, newHeight = rows.firsts.count, channels = channels
    let half: Int32 = 1 << (AxisTaps.bits - 1)
    func byte(_ sum: Int32) -> UInt8 { UInt8(truncatingIfNeeded: max(0, min(255, sum >> AxisTaps.bits))) }
    let rowBytes = newWidth * channels
    let narrow = [UInt8](unsafeUninitializedCapacity: rowBytes * height) { out, filled in
      bytes.withUnsafeBufferPointer { source in
        columns.weights.withUnsafeBufferPointer { weights in
          columns.firsts.withUnsafeBufferPointer { firsts in
            columns.counts.withUnsafeBufferPointer { counts in
              for y in 0..<height {
                for x in 0..<newWidth {
                  let from = (y * width + firsts[x]) * channels, to = y * rowBytes + x * channels
                  let w = x * columns.stride
                  if channels == 3 {
                    var r = half, g = half, b = half
                    for k in 0..<counts[x] {
                      let weight = weights[w + k]
                      r &+= weight &* Int32(source[from + 3 * k])
                      g &+= weight &* Int32(source[from + 3 * k + 1])
                      b &+= weight &* Int32(source[from + 3 * k + 2])
                    }
                    out[to] = byte(r)
                    out[to + 1] = byte(g)
                    out[to + 2] = byte(b)
                  } else {
                    var sum = half
                    for k in 0..<counts[x] { sum &+= weights[w + k] &* Int32(source[from + k]) }
                    out[to] = byte(sum)
                  }
                }
              }
            }
          }
        }
      }
      filled = rowBytes * height
    }
    var sums = [Int32](repeating: 0, count: rowBytes)
    let result = [UInt8](unsafeUninitializedCapacity: rowBytes * newHeight) { out, filled in
      narrow.withUnsafeBufferPointer { source in
        sums.withUnsafeMutableBufferPointer { sums in
          for y in 0..<newHeight {
            // One source row at a time over the whole width: the inner loop vectorises.
            sums.update(repeating: half)
            for k in 0..<rows.counts[y] {
              let weight = rows.weights[y * rows.stride + k], row = (rows.firsts[y] + k) * rowBytes
              for i in 0..<rowBytes { sums[i] &+= weight &* Int32(source[row + i]) }
            }
            for i in 0..<rowBytes { out[y * rowBytes + i] = byte(sums[i]) }
          }
        }
      }
      filled = rowBytes * newHeight
    }
    return PixelBuffer(width: newWidth, height: newHeight, channels: channels, bytes: result)
  }
}
