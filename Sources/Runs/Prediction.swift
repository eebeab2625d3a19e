public import Engine
public import Images

/// Masks of images of any size by a model that works at its patch size.
public struct Predictor {
  private let session: InferenceSession
  /// Side that an image is resized to, pixels.
  public let patch: Int
  public let threshold: Double

  public init(_ session: InferenceSession, patch: Int, threshold: Double) {
    self.session = session
    self.patch = patch
    self.threshold = threshold
  }

  /// The probability map of an RGB image, grey 0…255, at the image's size.
  ///
  /// The image goes to patch x patch (antialiased bilinear), its probabilities back (bilinear).
  public func probabilities(_ image: PixelBuffer) throws -> PixelBuffer {
    let small = image.resized(width: patch, height: patch, filter: .bilinear)
    let plane = patch * patch
    var values = [Float](repeating: 0, count: 3 * plane)
    for channel in 0..<3 {
      for pixel in 0..<plane { values[channel * plane + pixel] = Float(small.bytes[3 * pixel + channel]) / 255 }
    }
    let logits = try session.predict(values, shape: Shape(1, VariableUNet.inputChannels, patch, patch))
    let unit = logits.map { PixelMetrics.probability(logit: $0) }
    return PixelBuffer.grey(width: patch, height: patch, unitValues: unit)
      .resized(width: image.width, height: image.height, filter: .bilinear)
  }

  /// The mask of a probability map: 255 above the threshold, else 0.
  public func mask(_ probabilities: PixelBuffer) -> PixelBuffer {
    var mask = probabilities
    let limit = threshold * 255
    for i in mask.bytes.indices { mask.bytes[i] = Double(mask.bytes[i]) > limit ? 255 : 0 }
    return mask
  }

  /// image | truth (where known) | prediction, the masks as outlines, each no wider than `side`; small ones are enlarged.
  public static func panel(_ image: PixelBuffer, truth: PixelBuffer?, prediction: PixelBuffer, side: Int = 512) -> PixelBuffer {
    let longest = max(image.width, image.height)
    let scale = longest > side ? Double(side) / Double(longest) : Double(max(1, side / 2 / longest))
    let (width, height) = (max(1, Int(Double(image.width) * scale)), max(1, Int(Double(image.height) * scale)))
    func fit(_ buffer: PixelBuffer, _ filter: PixelBuffer.Filter) -> PixelBuffer {
      scale == 1 ? buffer : buffer.resized(width: width, height: height, filter: filter)
    }
    let small = fit(image, .bilinear)
    var parts = [small]
    if let truth { parts.append(small.outlined(fit(truth, .nearest), in: .green, thickness: 2)) }
    parts.append(small.outlined(fit(prediction, .nearest), in: .yellow, thickness: 2))
    return Panel.sideBySide(parts)
  }
}
