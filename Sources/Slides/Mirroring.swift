public import Images

extension PixelBuffer {
  /// Replaces the pixels of a hole by mirror images of what lies beside it: along rows first, then, in rows that are all
  /// hole, along columns.
  ///
  /// Networks see tissue go on to the border of a patch in training, hardly ever a straight edge to black, and take that
  /// edge for all kinds of things.
  ///
  /// - Parameter hole: true for pixels to replace, row by row. An image that is all hole stays as it is.
  public mutating func mirror(over hole: [Bool]) {
    precondition(hole.count == width * height, "there is a flag for each pixel")
    let width = width, height = height, channels = channels
    var isEmptyRow = [Bool](repeating: false, count: height)
    bytes.withUnsafeMutableBufferPointer { bytes in
      for y in 0..<height {
        let places = Self.mirrored(count: width) { hole[y * width + $0] }
        guard let places else {
          isEmptyRow[y] = true
          continue
        }
        for x in 0..<width where hole[y * width + x] {
          for c in 0..<channels { bytes[(y * width + x) * channels + c] = bytes[(y * width + places[x]) * channels + c] }
        }
      }
      guard let rows = Self.mirrored(count: height, isHole: { isEmptyRow[$0] }) else { return }
      let rowBytes = width * channels
      for y in 0..<height where isEmptyRow[y] {
        for i in 0..<rowBytes { bytes[y * rowBytes + i] = bytes[rows[y] * rowBytes + i] }
      }
    }
  }

  /// For each place of a line, where its content comes from: itself, or for a hole its mirror image in the nearest stretch
  /// that is none, to and fro where that is shorter. `nil` where all is hole.
  private static func mirrored(count: Int, isHole: (Int) -> Bool) -> [Int]? {
    var stretches: [Range<Int>] = []
    for i in 0..<count where !isHole(i) {
      if let last = stretches.last, last.upperBound == i {
        stretches[stretches.count - 1] = last.lowerBound..<i + 1
      } else {
        stretches.append(i..<i + 1)
      }
    }
    guard !stretches.isEmpty else { return nil }
    var places = Array(0..<count)
    var next = 0
    for i in 0..<count where isHole(i) {
      while next < stretches.count, stretches[next].upperBound <= i { next += 1 }
      let before = next > 0 ? stretches[next - 1] : nil, after = next < stretches.count ? stretches[next] : nil
      let left = before.map { i - $0.upperBound } ?? .max, right = after.map { $0.lowerBound - 1 - i } ?? .max
      if let stretch = left <= right ? before : after {
        // A triangle wave over the stretch, from the end that is nearer.
        let distance = min(left, right) % (2 * stretch.count)
        let depth = distance < stretch.count ? distance : 2 * stretch.count - 1 - distance
        places[i] = left <= right ? stretch.upperBound - 1 - depth : stretch.lowerBound + depth
      }
    }
    return places
  }
}
