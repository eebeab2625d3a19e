/// The extent of a tensor in NCHW order: images, channels, rows, columns.
public struct Shape: Hashable, Sendable, CustomStringConvertible {
  public var n: Int
  public var c: Int
  public var h: Int
  public var w: Int

  public init(_ n: Int, _ c: Int, _ h: Int, _ w: Int) {
    precondition(n > 0 && c > 0 && h > 0 && w > 0, "a shape's sides are at least 1, got \(n)x\(c)x\(h)x\(w)")
    self.n = n
    self.c = c
    self.h = h
    self.w = w
  }

  /// A vector of `count` elements, such as a bias.
  public static func vector(_ count: Int) -> Shape { Shape(1, count, 1, 1) }

  /// Elements.
  public var count: Int { n * c * h * w }
  /// Elements of one channel of one image.
  public var plane: Int { h * w }

  public var description: String { "\(n)x\(c)x\(h)x\(w)" }
}
