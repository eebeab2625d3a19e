import Engine

/// The network on batches of square windows, with test-time augmentation.
struct WindowInference {
  let session: InferenceSession
  let side: Int
  let batch: Int
  /// 1, 2, 4 or 8 views.
  let views: Int

  init(session: InferenceSession, side: Int, batch: Int, views: Int) {
    self.session = session
    self.side = side
    self.batch = batch
    self.views = views
  }

  /// Probabilities (N, H, W) of images (N, 3, H, W) in 0…1: the mean over the views.
  mutating func probabilities(_ images: [Float]) throws -> [Float] {
    let plane = side * side
    var sum = [Float](repeating: 0, count: batch * plane)
    for view in 0..<views {
      let seen = view == 0 ? images : Self.viewed(images, side: side, view: view, back: false)
      let logits = try session.predict(seen, shape: Shape(batch, VariableUNet.inputChannels, side, side))
      let straight = view == 0 ? logits : Self.viewed(logits, side: side, view: view, back: true)
      straight.withUnsafeBufferPointer { logits in
        sum.withUnsafeMutableBufferPointer { sum in
          for i in 0..<sum.count { sum[i] += PixelMetrics.probability(logit: logits[i]) }
        }
      }
    }
    if views > 1 { for i in sum.indices { sum[i] /= Float(views) } }
    return sum
  }

  /// Planes mirrored (bit 0: left–right, bit 1: top–bottom) and transposed after that (bit 2), or the way back.
  static func viewed(_ planes: [Float], side: Int, view: Int, back: Bool) -> [Float] {
    var result = [Float](repeating: 0, count: planes.count)
    let plane = side * side
    planes.withUnsafeBufferPointer { from in
      result.withUnsafeMutableBufferPointer { to in
        for start in stride(from: 0, to: from.count, by: plane) {
          for y in 0..<side {
            for x in 0..<side {
              let u = view & 1 == 0 ? x : side - 1 - x, v = view & 2 == 0 ? y : side - 1 - y
              let straight = start + v * side + u
              let seen = view & 4 == 0 ? start + y * side + x : start + x * side + y
              if back { to[straight] = from[seen] } else { to[seen] = from[straight] }
            }
          }
        }
      }
    }
    return result
  }
}
