import Glibc

/// Puts the probabilities of overlapping windows together, a band of rows at a time.
///
/// ```
/// add(window)       sum += weight · probability,  total += weight     over a ring of `side` rows
/// finish(rows < y)  value = sum / total, as a byte; the rows leave, the ring's place is free
/// ```
///
/// Windows come row by row of the grid, so that nothing above the current one's y changes any more. Memory is two floats
/// a pixel of the band.
public struct Stitcher {
  public enum Blend: String, Sendable, CaseIterable {
    /// exp(−d²/2σ²) along x and y with σ an eighth of the side, as in nnU-Net: the middle of a window knows best.
    case gaussian
    /// Every window counts the same.
    case flat
    /// Every window votes with its mask; foreground is what has more than one vote. The KPIs challenge's rule.
    case vote
  }

  /// In vote mode a byte is 64 a vote, so this is the limit between one and two.
  public static let voteLimit: UInt8 = 64

  public let width: Int
  public let height: Int
  /// Side of a window, in canvas pixels.
  public let side: Int
  public let blend: Blend
  /// Probability above which a window votes.
  public let voteThreshold: Float
  /// Rows that have left.
  public private(set) var finishedRows: Int
  private let weights: [Float]
  private var sum: [Float]
  private var total: [Float]

  /// - Parameter startRow: rows above are not wanted: they were finished before an interruption.
  public init(width: Int, height: Int, side: Int, blend: Blend, voteThreshold: Float = 0.5, startRow: Int = 0) {
    self.width = width
    self.height = height
    self.side = side
    self.blend = blend
    self.voteThreshold = voteThreshold
    finishedRows = startRow
    let middle = Float(side) / 2, sigma = Float(side) / 8
    weights = (0..<side).map { i in
      guard blend == .gaussian else { return 1 }
      let d = (Float(i) + 0.5 - middle) / sigma
      return exp(-d * d / 2)
    }
    sum = [Float](repeating: 0, count: width * side)
    total = sum
  }

  /// Adds a window.
  ///
  /// - Parameters:
  ///   - values: side × side probabilities, row by row; those beyond the image are ignored.
  ///   - x, y: the window's upper left corner; `finish(upTo: y)` has been called.
  public mutating func add(_ values: UnsafeBufferPointer<Float>, x: Int, y: Int) {
    precondition(values.count == side * side, "a window has side × side values")
    precondition(y <= finishedRows, "the rows above a window are finished before it comes: the ring holds its rows alone")
    let left = max(0, x), right = min(width, x + side), top = max(finishedRows, y), bottom = min(height, y + side)
    guard left < right, top < bottom else { return }
    sum.withUnsafeMutableBufferPointer { sum in
      total.withUnsafeMutableBufferPointer { total in
        weights.withUnsafeBufferPointer { weights in
          for row in top..<bottom {
            let target = row % side * width, source = (row - y) * side - x
            if blend == .vote {
              for column in left..<right {
                sum[target + column] += values[source + column] > voteThreshold ? 1 : 0
                total[target + column] = 1
              }
            } else {
              let rowWeight = weights[row - y]
              for column in left..<right {
                let weight = rowWeight * weights[column - x]
                sum[target + column] += weight * values[source + column]
                total[target + column] += weight
              }
            }
          }
        }
      }
    }
  }

  /// Hands out the rows above `limit` in order, as bytes: 255 · probability, or 64 · votes.
  ///
  /// - Parameter body: gets the row's number and its pixels, which no window covered where they are 0.
  public mutating func finish(
    upTo limit: Int, _ body: (Int, UnsafeMutableBufferPointer<UInt8>) throws -> Void
  ) rethrows {
    var line = [UInt8](repeating: 0, count: width)
    while finishedRows < min(limit, height) {
      let start = finishedRows % side * width
      for i in 0..<width {
        let weight = total[start + i]
        let value = weight > 0 ? sum[start + i] / weight : 0
        line[i] =
          blend == .vote
          ? UInt8(min(255, value * 64)) : UInt8(max(0, min(255, (value * 255).rounded())))
        sum[start + i] = 0
        total[start + i] = 0
      }
      try line.withUnsafeMutableBufferPointer { try body(finishedRows, $0) }
      finishedRows += 1
    }
  }
}
