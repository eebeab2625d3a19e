/// A small random generator whose whole state is one number, so a run can be saved and taken up again.
///
/// SplitMix64: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014, Figure 14 and
/// section 5; the constants are those of Vigna's public-domain `splitmix64.c`. Period 2⁶⁴. Not for cryptography.
///
/// Everything drawn here (shuffles, numbers of a range, normal numbers) is computed in this file and not by the
/// standard library, whose algorithms may change between releases.
public struct RandomSource: RandomNumberGenerator, Sendable, Equatable, Codable {
  /// All there is to save.
  public var state: UInt64

  public init(state: UInt64) {
    self.state = state
  }

  /// A generator of its own for each list of numbers: (seed, epoch, sample), say. Lists that differ in one number
  /// give unrelated sequences, so that a draw depends on what it is for and not on which thread came first.
  public init(seed: UInt64, _ path: UInt64...) {
    state = Self.mixed(seed &+ Self.increment)
    for number in path { state = Self.mixed(state ^ Self.mixed(number &+ Self.increment)) &+ Self.increment }
  }

  public mutating func next() -> UInt64 {
    state &+= Self.increment
    return Self.mixed(state)
  }

  /// Uniform in 0 ..< 1, in steps of 2⁻⁵³.
  public mutating func unit() -> Double {
    Double(next() >> 11) * 0x1p-53
  }

  /// Uniform in low ..< high.
  public mutating func uniform(_ low: Double, _ high: Double) -> Double {
    low + (high - low) * unit()
  }

  /// Uniform in 0 ..< count, without bias (Lemire, "Fast Random Integer Generation in an Interval", 2019).
  public mutating func below(_ count: Int) -> Int {
    precondition(count > 0, "a number is drawn below a positive count")
    let range = UInt64(count)
    var product = next().multipliedFullWidth(by: range)
    if product.low < range {
      let threshold = (0 &- range) % range
      while product.low < threshold { product = next().multipliedFullWidth(by: range) }
    }
    return Int(product.high)
  }

  /// A number near 0 with deviation 1, never beyond ±6: the sum of twelve uniform numbers less 6.
  public mutating func roughlyNormal() -> Double {
    var sum: UInt64 = 0
    for _ in 0..<3 {
      let bits = next()
      sum += (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + bits >> 48
    }
    return (Double(sum) + 6) / 65536 - 6
  }

  /// A permutation of 0 ..< count (Fisher–Yates, from the end).
  public mutating func permutation(_ count: Int) -> [Int] {
    var order = Array(0..<count)
    var last = count - 1
    while last > 0 {
      order.swapAt(last, below(last + 1))
      last -= 1
    }
    return order
  }

  private static let increment: UInt64 = 0x9e37_79b9_7f4a_7c15

  private static func mixed(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
