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
  /// Shares of patches that the changes above may be made to: mirrors, quarter turns, brightness and contrast.
  public var flipProbability = 1.0
  public var turnProbability = 1.0
  public var lightProbability = 1.0
  /// Share of patches that are turned, scaled and stretched; 0 leaves it out.
  public var warpProbability = 0.0
  /// The most that a warp turns, degrees; changes the scale, 0.2 from 1/1.2 to 1.2; and displaces, as a share of the
  /// shorter side.
  public var rotation = 0.0
  public var scaling = 0.0
  public var elastic = 0.0
  /// Share of patches whose amounts of stain change, and by how much at most.
  public var stainProbability = 0.0
  public var stain = 0.0
  /// Share of patches that are blurred, and the largest deviation in pixels.
  public var blurProbability = 0.0
  public var blur: Float = 0
  /// Share of patches that get noise, and its largest deviation.
  public var noiseProbability = 0.0
  public var noise: Float = 0

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
    /// After mirrors and turns.
    public var warp: Warp?
    /// In this order after the geometry: brightness and contrast, stain, blur, noise.
    public var stain: StainChange?
    /// Deviation, pixels.
    public var blur: Float = 0
    public var noise: Float = 0
    public var noiseSeed: UInt64 = 0

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

  /// The draw for a patch in an epoch: the same four numbers give the same draw on any thread, in any order.
  ///
  /// - Parameter time: how often the epoch had the patch before.
  public func draw(seed: UInt64, epoch: Int, sample: Int, time: Int = 0) -> Draw {
    let sample = UInt64(bitPattern: Int64(sample)) | UInt64(time) << 40
    var random = RandomSource(
      seed: seed, RandomStream.augmentation.rawValue, UInt64(bitPattern: Int64(epoch)), sample)
    // Every number is drawn, used or not, so switching one change off leaves the others alone.
    let bits = random.next()
    let brightnessDraw = Float(random.uniform(-1, 1)), contrastDraw = Float(random.uniform(-1, 1))
    var draw = Draw(
      flipsX: flips && bits & 1 == 1, flipsY: flips && bits & 2 == 2,
      quarterTurns: quarterTurns ? Int(bits >> 2 & 3) : 0,
      brightness: 1 + brightness * brightnessDraw, contrast: 1 + contrast * contrastDraw)
    /// Numbers of their own for each change that is made to a share of the patches.
    func chance(_ probability: Double, _ change: UInt64) -> RandomSource? {
      var own = RandomSource(
        seed: seed, RandomStream.augmentation.rawValue, UInt64(bitPattern: Int64(epoch)), sample, change)
      return own.unit() < probability ? own : nil
    }
    if chance(flipProbability, 5) == nil { (draw.flipsX, draw.flipsY) = (false, false) }
    if chance(turnProbability, 6) == nil { draw.quarterTurns = 0 }
    if chance(lightProbability, 7) == nil { (draw.brightness, draw.contrast) = (1, 1) }
    if var own = chance(warpProbability, 1) {
      draw.warp = Warp(degrees: rotation, scaleChange: scaling, elastic: elastic, random: &own)
    }
    if var own = chance(stainProbability, 2) { draw.stain = StainChange(most: stain, random: &own) }
    if var own = chance(blurProbability, 3) { draw.blur = Float(own.unit()) * blur }
    if var own = chance(noiseProbability, 4) {
      draw.noise = Float(own.unit()) * noise
      draw.noiseSeed = own.next()
    }
    return draw
  }
}

/// Keeps the uses of one seed apart.
enum RandomStream: UInt64 {
  case augmentation = 1, order, synthesis
}
