import Glibc
import Randomness

/// A change of the amounts of stain in a picture: its optical densities are split into haematoxylin, eosin and DAB, each
/// amount is multiplied and shifted, and the picture is put together again.
///
/// - Source: Ruifrok & Johnston 2001, "Quantification of histochemical staining by color deconvolution", for the split;
///   Tellez et al. 2018, "Whole-Slide Mitosis Detection in H&E Breast Histology …", for the change.
public struct StainChange: Sendable, Equatable {
  /// Rows are the stains' optical densities in red, green and blue.
  private static let stains: [[Double]] = [[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]]

  /// By stain: an amount a becomes a · (1 + factor) + shift.
  public let factors: [Double]
  public let shifts: [Double]
  /// The same in terms of optical densities: d′ = d · matrix + offset.
  private let matrix: [Float]
  private let offset: [Float]

  public init(factors: [Double], shifts: [Double]) {
    precondition(factors.count == 3 && shifts.count == 3, "there are three stains")
    self.factors = factors
    self.shifts = shifts
    let unmixing = Self.inverse(Self.stains)
    var matrix = [Float](repeating: 0, count: 9)
    for i in 0..<3 {
      for j in 0..<3 {
        matrix[3 * i + j] = Float((0..<3).reduce(0.0) { $0 + unmixing[i][$1] * (1 + factors[$1]) * Self.stains[$1][j] })
      }
    }
    self.matrix = matrix
    offset = (0..<3).map { j in Float((0..<3).reduce(0.0) { $0 + shifts[$1] * Self.stains[$1][j] }) }
  }

  /// Factors and shifts up to `most` either way.
  init(most: Double, random: inout RandomSource) {
    let draws = (0..<6).map { _ in random.uniform(-1, 1) * most }
    self.init(factors: Array(draws[..<3]), shifts: Array(draws[3...]))
  }

  /// Changes 3 · `count` values, 0 … 1, in place.
  func apply(_ image: UnsafeMutableBufferPointer<Float>, count: Int) {
    let toDensity = -1 / logf(10)
    for i in 0..<count {
      let r = logf(max(image[i], 1e-3)) * toDensity
      let g = logf(max(image[i + count], 1e-3)) * toDensity
      let b = logf(max(image[i + 2 * count], 1e-3)) * toDensity
      for c in 0..<3 {
        let density = r * matrix[c] + g * matrix[3 + c] + b * matrix[6 + c] + offset[c]
        image[i + c * count] = min(1, expf(density / toDensity))
      }
    }
  }

  private static func inverse(_ m: [[Double]]) -> [[Double]] {
    func minor(_ i: Int, _ j: Int) -> Double {
      let (a, b) = ((i + 1) % 3, (i + 2) % 3), (c, d) = ((j + 1) % 3, (j + 2) % 3)
      return m[a][c] * m[b][d] - m[a][d] * m[b][c]
    }
    let determinant = (0..<3).reduce(0.0) { $0 + m[0][$1] * minor(0, $1) }
    return (0..<3).map { i in (0..<3).map { j in minor(j, i) / determinant } }
  }
}
