import Randomness

/// Which random changes training patches undergo. Each can be left out.
public struct Augmentation: Sendable, Equatable {
  /// Mirror left–right and top–bottom, each with probability ½.
  public var flips: Bool
  /// Turn by 0, 90, 180 or 270 degrees (0 or 180 when a patch is not square).
  public var quarterTurns: Bool
  /// Multiply by a factor of 1 − brightness … 1 + brightness; 0 leaves it out.
  public var brightness: Float
  /// Scale about the patch's mean by a factor of 1 − contrast … 1 + contrast; 0 leaves it out.
  public var contrast: Float

  public init(flips: Bool = true, quarterTurns: Bool = true, brightness: Float = 0.1, contrast: Float = 0.1) {
    self.flips = flips
    self.quarterTurns = quarterTurns
    self.brightness = brightness
    self.contrast = contrast
  }

  /// Patches as they are.
  public static let none = Augmentation(flips: false, quarterTurns: false, brightness: 0, contrast: 0)

  /// What happens to one patch.
  public struct Draw: Sendable, Equatable {
    /// Mirrors come first.
    public var flipsX = false
    public var flipsY = false
    /// Counter-clockwise, after the mirrors.
    public var quarterTurns = 0
    public var brightness: Float = 1
    public var contrast: Float = 1

    public init(
      flipsX: Bool = false, flipsY: Bool = false, quarterTurns: Int = 0, brightness: Float = 1, contrast: Float = 1
    ) {
      self.flipsX = flipsX
      self.flipsY = flipsY
      self.quarterTurns = quarterTurns
      self.brightness = brightness
      self.contrast = contrast
    }
  }

  /// The draw for a patch in an epoch: the same three numbers give the same draw on any thread, in any order.
  public func draw(seed: UInt64, epoch: Int, sample: Int) -> Draw {
    var random = RandomSource(
      seed: seed, RandomStream.augmentation.rawValue, UInt64(bitPattern: Int64(epoch)),
      UInt64(bitPattern: Int64(sample)))
    // Every number is drawn, used or not, so switching one change off leaves the others alone.
    let bits = random.next()
    let brightnessDraw = Float(random.uniform(-1, 1)), contrastDraw = Float(random.uniform(-1, 1))
    return Draw(
      flipsX: flips && bits & 1 == 1, flipsY: flips && bits & 2 == 2,
      quarterTurns: quarterTurns ? Int(bits >> 2 & 3) : 0,
      brightness: 1 + brightness * brightnessDraw, contrast: 1 + contrast * contrastDraw)
  }
}

/// Keeps the uses of one seed apart.
enum RandomStream: UInt64 {
  case augmentation = 1, order, synthesis
}
