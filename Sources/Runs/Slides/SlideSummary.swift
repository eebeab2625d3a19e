/// What was found on a slide: `<slide>.json`, written last, so that its presence means that all else is there.
public struct SlideSummary: Codable, Sendable, Equatable {
  public let slide: String
  public let width: Int
  public let height: Int
  public let microns_per_pixel: Double?
  public let objective_power: Double?
  public let glomeruli: Int
  /// Level-0 pixels.
  public let glomerular_area_px: Int
  public let tissue_area_px: Double
  /// `nil` where the slide does not say its resolution.
  public let glomerular_area_mm2: Double?
  public let tissue_area_mm2: Double?
  /// Glomeruli on a square millimetre of tissue.
  public let density_per_mm2: Double?
  public let settings: String
  public let seconds: SlideSegmenter.Timing
}
