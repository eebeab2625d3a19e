public import Datasets
public import Slides

/// A size that is given in pixels, in square micrometres or as a share of a window.
public enum ObjectSize: Sendable, Equatable {
  /// Of level 0.
  case pixels(Double)
  case squareMicrons(Double)
  case windowShare(Double)
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
  public var smallestObject = ObjectSize.windowShare(0.005)
  public var largestHole = ObjectSize.windowShare(0.005)
  /// How far polygons may lie from the mask's outline, in level-0 pixels.
  public var simplification = 1.0
  /// Windows per step of the network.
  public var batch = 4
  /// Threads that decode ahead, and that compress.
  public var threads = 1

  public init() {}

  /// What a slide's probabilities depend on.
  func mapSettings(side: Int, scale: Double) -> String {
    "window \(patchSize) to \(side), overlap \(overlap), edge \(edge.rawValue), scale \(scale), blend \(blend.rawValue)"
      + (blend == .vote ? " above \(threshold)" : "") + ", views \(views), \(skipsEmpty ? "tissue" : "everywhere")"
  }

  /// What the results depend on beside them.
  var resultSettings: String {
    "threshold \(threshold), smallest object \(smallestObject), largest hole \(largestHole), simplification \(simplification)"
  }

  /// A size in pixels of level 0.
  ///
  /// - Throws: `.argument` where it is in micrometres and the slide does not say its resolution.
  func pixels(_ size: ObjectSize, on slide: any SlideSource, scale: Double, option: String) throws(SlideError) -> Int {
    switch size {
    case .pixels(let count): return Int(count.rounded())
    case .windowShare(let share):
      let side = Double(patchSize) * scale
      return Int((share * side * side).rounded())
    case .squareMicrons(let area):
      guard let own = slide.micronsPerPixel else {
        throw SlideError(
          .argument, path: slide.path, reason: "it does not say its resolution: give \(option) in pixels, such as 20000px")
      }
      return Int((area / (own * own)).rounded())
    }
  }
}
