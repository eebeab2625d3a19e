import Glibc
import Randomness

/// A smooth change of geometry: turn and scale about the patch's centre, and an elastic displacement.
///
/// The displacement is given on a grid of ``grid`` × ``grid`` points over the patch and interpolated smoothly between them.
public struct Warp: Sendable, Equatable {
  static let grid = 5

  /// Counter-clockwise, degrees.
  public let degrees: Double
  /// Above 1 enlarges.
  public let scale: Double
  /// Displacements (x, y) of the grid's points in row order, in pixels per pixel of the patch's shorter side.
  let displacements: [(x: Double, y: Double)]

  public static func == (a: Warp, b: Warp) -> Bool {
    a.degrees == b.degrees && a.scale == b.scale && a.displacements.elementsEqual(b.displacements, by: ==)
  }

  /// - Parameters:
  ///   - degrees, scaleChange: the most that the patch is turned, and the most that its scale departs from 1.
  ///   - elastic: the largest displacement, as a share of the shorter side.
  init(degrees: Double, scaleChange: Double, elastic: Double, random: inout RandomSource) {
    self.degrees = random.uniform(-1, 1) * degrees
    // Symmetric in the logarithm: as often half as large as twice.
    scale = exp2(random.uniform(-1, 1) * log2(1 + scaleChange))
    displacements = (0..<Self.grid * Self.grid).map { _ in
      (x: random.uniform(-1, 1) * elastic, y: random.uniform(-1, 1) * elastic)
    }
  }

  /// A warp without displacement.
  public init(degrees: Double, scale: Double) {
    self.degrees = degrees
    self.scale = scale
    displacements = [(x: Double, y: Double)](repeating: (0, 0), count: Self.grid * Self.grid)
  }

  /// Where the pixel at column x, row y of a width × height patch comes from, in pixels.
  func source(_ x: Int, _ y: Int, width: Int, height: Int) -> (x: Double, y: Double) {
    let (cosine, sine) = (cos(degrees * .pi / 180), sin(degrees * .pi / 180))
    return source(x, y, width: width, height: height, cosine: cosine, sine: sine)
  }

  private func source(
    _ x: Int, _ y: Int, width: Int, height: Int, cosine: Double, sine: Double
  ) -> (x: Double, y: Double) {
    let (px, py) = (Double(x) + 0.5 - Double(width) / 2, Double(y) + 0.5 - Double(height) / 2)
    let (dx, dy) = displacement((Double(x) + 0.5) / Double(width), (Double(y) + 0.5) / Double(height))
    let side = Double(min(width, height))
    // Rows go down, so a counter-clockwise turn of the picture reads from the clockwise place.
    return (
      (cosine * px - sine * py) / scale + dx * side + Double(width) / 2 - 0.5,
      (sine * px + cosine * py) / scale + dy * side + Double(height) / 2 - 0.5
    )
  }

  /// At (u, v), 0 … 1 across and down the patch.
  private func displacement(_ u: Double, _ v: Double) -> (x: Double, y: Double) {
    func place(_ t: Double) -> (index: Int, weight: Double) {
      let at = t * Double(Self.grid - 1)
      let index = min(Self.grid - 2, Int(at))
      let part = at - Double(index)
      return (index, part * part * (3 - 2 * part))
    }
    let (i, a) = place(u), (j, b) = place(v)
    func mix(_ key: KeyPath<(x: Double, y: Double), Double>) -> Double {
      func at(_ i: Int, _ j: Int) -> Double { displacements[j * Self.grid + i][keyPath: key] }
      return (at(i, j) * (1 - a) + at(i + 1, j) * a) * (1 - b) + (at(i, j + 1) * (1 - a) + at(i + 1, j + 1) * a) * b
    }
    return (mix(\.x), mix(\.y))
  }

  /// Samples a picture: values linearly, labels by the nearest pixel; beyond its edges it is mirrored.
  ///
  /// - Parameters:
  ///   - index: the place of column x, row y in the buffers.
  ///   - image: 3 · H · W planes to write, 0 … 1.
  func apply(
    width: Int, height: Int, rgb: UnsafeBufferPointer<UInt8>, mask: UnsafeBufferPointer<UInt8>,
    index: (_ x: Int, _ y: Int) -> Int, image: UnsafeMutableBufferPointer<Float>,
    target: UnsafeMutableBufferPointer<Float>
  ) {
    let (cosine, sine) = (cos(degrees * .pi / 180), sin(degrees * .pi / 180))
    let count = width * height
    for y in 0..<height {
      for x in 0..<width {
        let (u, v) = source(x, y, width: width, height: height, cosine: cosine, sine: sine)
        let (left, top) = (u.rounded(.down), v.rounded(.down))
        let (a, b) = (Float(u - left), Float(v - top))
        let (x0, x1) = (Self.mirrored(Int(left), width), Self.mirrored(Int(left) + 1, width))
        let (y0, y1) = (Self.mirrored(Int(top), height), Self.mirrored(Int(top) + 1, height))
        let places = (index(x0, y0), index(x1, y0), index(x0, y1), index(x1, y1))
        let out = y * width + x
        for c in 0..<3 {
          let upper = Float(rgb[3 * places.0 + c]) * (1 - a) + Float(rgb[3 * places.1 + c]) * a
          let lower = Float(rgb[3 * places.2 + c]) * (1 - a) + Float(rgb[3 * places.3 + c]) * a
          image[out + c * count] = (upper * (1 - b) + lower * b) / 255
        }
        target[out] = Float(mask[index(a < 0.5 ? x0 : x1, b < 0.5 ? y0 : y1)])
      }
    }
  }

  /// 0 ..< count, mirrored at both edges without repeating them.
  static func mirrored(_ i: Int, _ count: Int) -> Int {
    guard count > 1 else { return 0 }
    let period = 2 * (count - 1)
    let at = ((i % period) + period) % period
    return at < count ? at : period - at
  }
}
