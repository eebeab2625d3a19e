import Randomness

/// What the patches of one case have in common: its stain, its scanner, its disease.
struct TissueStyle {
  /// Factors on the two stains' optical densities.
  let pas: Float
  let haematoxylin: Float
  /// Absorbance of red, green, blue by each stain at density 1.
  let pasAbsorbance: (Float, Float, Float)
  let haematoxylinAbsorbance: (Float, Float, Float)
  /// Colour of the empty glass.
  let glass: (Float, Float, Float)
  /// Deviation of the pixel noise, in levels.
  let noise: Float
  /// Blur passes of ¼ ½ ¼.
  let blurPasses: Int
  let glomerulusScale: Float
  /// Extra PAS in the tuft: mesangial matrix grows in diabetes.
  let mesangium: Float

  init(seed: UInt64, group: Int, caseNumber: Int) {
    var random = RandomSource(seed: seed, RandomStream.synthesis.rawValue, UInt64(caseNumber), 0)
    func draw(_ low: Double, _ high: Double) -> Float { Float(random.uniform(low, high)) }
    pas = draw(0.75, 1.25)
    haematoxylin = draw(0.75, 1.2)
    pasAbsorbance = (0.25 + draw(-0.05, 0.05), 1.0, 0.46 + draw(-0.08, 0.08))
    haematoxylinAbsorbance = (0.95, 0.92 + draw(-0.06, 0.06), 0.42 + draw(-0.06, 0.06))
    glass = (240 + draw(-5, 6), 236 + draw(-6, 5), 241 + draw(-5, 6))
    noise = draw(2, 4)
    blurPasses = random.below(2) + 1
    // DN, NEP25, normal, 56Nx: larger glomeruli in the remnant kidney, more matrix in the first two.
    glomerulusScale = [1.0, 0.95, 0.95, 1.12][group % 4] * draw(0.95, 1.05)
    mesangium = [0.12, 0.06, 0, 0.03][group % 4]
  }
}
