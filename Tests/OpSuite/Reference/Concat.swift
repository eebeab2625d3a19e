extension Reference {
  /// Joins feature maps along the channels, in the order given.
  ///
  /// - Shapes: each (N, Cₖ, H, W); result (N, Σ Cₖ, H, W).
  public static func concatChannels(_ parts: [Tensor64]) -> Tensor64 {
    precondition(!parts.isEmpty, "nothing to concatenate")
    let (n, _, h, w) = parts[0].nchw
    var values: [Double] = []
    for image in 0..<n {
      for part in parts {
        let (partN, c, partH, partW) = part.nchw
        precondition(
          partN == n && partH == h && partW == w, "concat of \(parts[0].shape) with \(part.shape)")
        values += part.values[image * c * h * w..<(image + 1) * c * h * w]
      }
    }
    return Tensor64([n, parts.map { $0.shape[1] }.reduce(0, +), h, w], values)
  }

  /// Cuts a feature map along the channels: the gradient of ``concatChannels(_:)``.
  ///
  /// - Parameter channels: how many channels each part has; together all of `y`'s.
  public static func splitChannels(_ y: Tensor64, into channels: [Int]) -> [Tensor64] {
    let (n, c, h, w) = y.nchw
    precondition(channels.reduce(0, +) == c, "\(channels) are not the \(c) channels of \(y.shape)")
    var first = 0
    return channels.map { count in
      var values: [Double] = []
      for image in 0..<n {
        let start = (image * c + first) * h * w
        values += y.values[start..<start + count * h * w]
      }
      first += count
      return Tensor64([n, count, h, w], values)
    }
  }
}
