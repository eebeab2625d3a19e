public import Datasets
public import Slides

/// A size that is given in pixels, in square micrometres or as a share of a window.
public enum ObjectSize: Sendable, Equatable, CustomStringConvertible {
  /// Of level 0.
  case pixels(Double)
  /// Of the patches' magnification.
  case patchPixels(Double)
  case squareMicrons(Double)
  case windowShare(Double)

  public var description: String {
    switch self {
    case .pixels(let count): "\(count) px"
    case .patchPixels(let count): "\(count) px of a patch"
    case .squareMicrons(let area): "\(area) um2"
    case .windowShare(let share): "\(share) of a window"
    }
  }
}

/// How slides are segmented.
public struct SegmentationOptions: Sendable {
  /// Side of a window in the pixels of the patches that the model was trained on, before they were resized.
  public var patchSize = 2048
  /// The part of a window that it shares with the next: 0 to below 1.
  public var overlap = 0.25
  public var edge = PatchGrid.Edge.shift
  public var magnification = PatchingOptions.Magnification.scales([:], others: 1)
  public var blend = Stitcher.Blend.gaussian
  /// Probability above which a pixel is foreground.
  public var threshold = 0.5
  /// 1, 2 (mirrored), 4 (flipped both ways) or 8 (turned too).
  public var views = 1
  /// Looks only where there is tissue.
  public var skipsEmpty = true
  /// Shows the network a mirror image of the tissue where the slide was not scanned (black), and finds nothing there.
  public var mirrorsOutside = true
  public var smallestObject = ObjectSize.windowShare(0.005)
  public var largestHole = ObjectSize.windowShare(0.005)
  /// How far polygons may lie from the mask's outline, in level-0 pixels.
  public var simplification = 1.0
  /// Windows per step of the network.
  public var batch = 4
  /// Threads that decode ahead, and that compress.
  public var threads = 1

  public init() {}

  /// Turns the options into the KPIs challenge's slide evaluation: windows of half overlap whose last is moved back, votes
  /// of which more than one count, no holes filled, and objects under 20,000 pixels at the patches' magnification dropped
  /// unless `smallestObject` was chosen.
  public mutating func takeChallengeProtocol(keepsSmallestObject: Bool) {
    overlap = 0.5
    edge = .moveLast
    blend = .vote
    threshold = 0.5
    skipsEmpty = false
    mirrorsOutside = false
    largestHole = .pixels(0)
    if !keepsSmallestObject { smallestObject = .patchPixels(20_000) }
  }

  /// What a slide's probabilities depend on.
  func mapSettings(side: Int, scale: Double) -> String {
    "window \(patchSize) to \(side), overlap \(overlap), edge \(edge.rawValue), scale \(scale), blend \(blend.rawValue)"
      + (blend == .vote ? " above \(threshold)" : "") + ", views \(views), \(skipsEmpty ? "tissue" : "everywhere")"
      + (mirrorsOutside ? "" : ", black outside")
  }

  /// What the results depend on beside them.
  var resultSettings: String {
    "threshold \(threshold), smallest object \(smallestObject), largest hole \(largestHole), simplification \(simplification)"
  }

  /// A size in pixels of level 0.
  ///
  /// - Throws: `.argument` where it is in micrometres and the slide does not say its resolution.
  func pixels(_ size: ObjectSize, on slide: any SlideSource, scale: Double, option: String) throws(SlideError) -> Int {
    // More than any slide has, and no more than an integer holds.
    func whole(_ count: Double) -> Int { Int(min(count.rounded(), 0x1p52)) }
    switch size {
    case .pixels(let count): return whole(count)
    case .patchPixels(let count): return whole(count * scale * scale)
    case .windowShare(let share):
      let side = Double(patchSize) * scale
      return whole(share * side * side)
    case .squareMicrons(let area):
      guard let own = slide.micronsPerPixel else {
        throw SlideError(
          .argument, path: slide.path, reason: "it does not say its resolution: give \(option) in pixels, such as 20000px")
      }
      return whole(area / (own * own))
    }
  }
}
