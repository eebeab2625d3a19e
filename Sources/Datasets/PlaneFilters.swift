import Glibc
import Randomness

/// Changes of planes of values 0 … 1, in place.
enum PlaneFilters {
  /// Gaussian blur with deviation `sigma` pixels; beyond the edges the plane is mirrored.
  static func blur(_ plane: UnsafeMutableBufferPointer<Float>, width: Int, height: Int, sigma: Float) {
    let radius = Int((3 * sigma).rounded(.up))
    guard radius > 0 else { return }
    var weights = (-radius...radius).map { expf(-Float($0 * $0) / (2 * sigma * sigma)) }
    let sum = weights.reduce(0, +)
    for i in weights.indices { weights[i] /= sum }
    /// One direction: `lines` lines of `length` values, `step` apart, line starts `next` apart.
    func pass(lines: Int, length: Int, next: Int, step: Int) {
      var line = [Float](repeating: 0, count: length + 2 * radius)
      for index in 0..<lines {
        let start = index * next
        for i in 0..<line.count { line[i] = plane[start + Warp.mirrored(i - radius, length) * step] }
        for i in 0..<length {
          var value: Float = 0
          for k in weights.indices { value += weights[k] * line[i + k] }
          plane[start + i * step] = value
        }
      }
    }
    pass(lines: height, length: width, next: width, step: 1)
    pass(lines: width, length: height, next: 1, step: width)
  }

  /// Adds noise of deviation `sigma`, kept in 0 … 1; the same for the same seed.
  static func addNoise(_ values: UnsafeMutableBufferPointer<Float>, sigma: Float, seed: UInt64) {
    var random = RandomSource(seed: seed)
    for i in values.indices { values[i] = max(0, min(1, values[i] + sigma * Float(random.roughlyNormal()))) }
  }
}
