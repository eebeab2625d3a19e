public import Slides

/// How slides are cut into patches.
public struct PatchingOptions: Sendable, Equatable {
  public enum Format: String, Sendable, CaseIterable { case jpg, png }

  /// How large a slide's pixels are beside a patch's.
  public enum Magnification: Sendable, Equatable {
    /// Level-0 pixels in a patch's pixel, by group (compared without case); the second for all other groups.
    case scales([String: Double], others: Double)
    /// Micrometres a pixel that patches have.
    case micronsPerPixel(Double)
  }

  /// Side in the patch's own pixels.
  public var patchSize = 2048
  /// Pixels that two neighbours have in common.
  public var overlap = 1024
  public var edge = PatchGrid.Edge.shift
  public var magnification = Magnification.scales([:], others: 1)
  /// The least share of mask pixels; patches with fewer are negative. 0 keeps all.
  public var minimumPositive = 0.01
  /// The least share of tissue, as `TissueMap` tells it.
  public var minimumTissue = 0.0
  /// The share of negative patches that is kept all the same, chosen by the seed.
  public var keptNegatives = 0.0
  public var seed: UInt64 = 0
  public var format = Format.jpg
  /// Of JPEG images; masks are checked to survive theirs.
  public var quality = 90
  /// For slides that lie in no folder named as a split.
  public var split = Split.train
  public var threads = 1

  public init() {}

  /// The magnifications of the KPIs challenge: slides are stored at twice the patches', but for those of NEP25.
  public static let challengeMagnification = Magnification.scales(["nep25": 1], others: 2)

  /// What the patches depend on, as text; threads leave no trace in them.
  var description: String {
    let magnification: String =
      switch magnification {
      case .scales(let groups, let others):
        "scale " + (groups.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" } + ["\(others)"]).joined(separator: ",")
      case .micronsPerPixel(let value): "mpp \(value)"
      }
    return "patch \(patchSize), overlap \(overlap), edge \(edge.rawValue), \(magnification), positive \(minimumPositive), "
      + "tissue \(minimumTissue), negatives \(keptNegatives), seed \(seed), format \(format.rawValue) \(quality), "
      + "split \(split.rawValue)"
  }

  /// Level-0 pixels of a slide in a patch's pixel.
  ///
  /// - Throws: `.argument` where a resolution is wanted and the slide does not say its own.
  public func scale(of slide: any SlideSource, group: String) throws(SlideError) -> Double {
    switch magnification {
    case .scales(let groups, let others): return groups[group.lowercased()] ?? others
    case .micronsPerPixel(let wanted):
      guard let own = slide.micronsPerPixel else {
        throw SlideError(
          .argument, path: slide.path, reason: "it does not say its resolution, so --mpp cannot be met: give --scale")
      }
      return wanted / own
    }
  }
}
