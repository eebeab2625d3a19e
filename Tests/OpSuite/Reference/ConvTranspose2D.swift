extension Reference {
  /// The transposed convolution of kernel 2, stride 2: each input pixel paints its own 2×2 square.
  ///
  /// y[n,o,2i+p,2j+q] = b[o] + Σ over c of w[c,o,p,q] · x[n,c,i,j]
  ///
  /// - Shapes: x (N, C, H, W); weight (C, O, 2, 2); bias (O); y (N, O, 2H, 2W).
  public static func convTranspose2x2(_ x: Tensor64, weight: Tensor64, bias: Tensor64?) -> Tensor64 {
    let (n, c, h, w) = x.nchw
    let o = upsamplingChannels(input: x.shape, weight: weight.shape)
    var y = Tensor64(zeros: [n, o, 2 * h, 2 * w])
    if let bias {
      precondition(bias.shape == [o], "bias \(bias.shape) for weights \(weight.shape)")
      let plane = 4 * h * w
      for index in 0..<n * o {
        for k in 0..<plane { y.values[index * plane + k] = bias.values[index % o] }
      }
    }
    x.values.withUnsafeBufferPointer { x in
      weight.values.withUnsafeBufferPointer { weight in
        y.values.withUnsafeMutableBufferPointer { y in
          forEachSquareCorner(n: n, c: c, o: o, h: h, w: w) { wi, xStart, yStart in
            for j in 0..<w { y[yStart + 2 * j] += weight[wi] * x[xStart + j] }
          }
        }
      }
    }
    return y
  }

  /// dx[n,c,i,j] = Σ over o,p,q of w[c,o,p,q] · dy[n,o,2i+p,2j+q].
  ///
  /// - Shapes: gradY (N, O, 2H, 2W); weight (C, O, 2, 2); result (N, C, H, W).
  public static func convTranspose2x2GradientInput(gradY: Tensor64, weight: Tensor64) -> Tensor64 {
    let (n, o, yh, yw) = gradY.nchw
    let (c, h, w) = (weight.shape[0], yh / 2, yw / 2)
    var gradX = Tensor64(zeros: [n, c, h, w])
    precondition(
      upsamplingChannels(input: gradX.shape, weight: weight.shape) == o && yh == 2 * h
        && yw == 2 * w,
      "gradient \(gradY.shape) for weights \(weight.shape)")
    gradY.values.withUnsafeBufferPointer { gy in
      weight.values.withUnsafeBufferPointer { weight in
        gradX.values.withUnsafeMutableBufferPointer { gx in
          forEachSquareCorner(n: n, c: c, o: o, h: h, w: w) { wi, xStart, yStart in
            for j in 0..<w { gx[xStart + j] += weight[wi] * gy[yStart + 2 * j] }
          }
        }
      }
    }
    return gradX
  }

  /// dw[c,o,p,q] = Σ over n,i,j of x[n,c,i,j] · dy[n,o,2i+p,2j+q]; db is ``biasGradient(gradY:)``.
  ///
  /// - Shapes: gradY (N, O, 2H, 2W); x (N, C, H, W); result (C, O, 2, 2).
  public static func convTranspose2x2GradientWeight(gradY: Tensor64, x: Tensor64) -> Tensor64 {
    let (n, c, h, w) = x.nchw
    let o = gradY.nchw.c
    precondition(gradY.shape == [n, o, 2 * h, 2 * w], "gradient \(gradY.shape) for \(x.shape)")
    var gradW = Tensor64(zeros: [c, o, 2, 2])
    gradY.values.withUnsafeBufferPointer { gy in
      x.values.withUnsafeBufferPointer { x in
        gradW.values.withUnsafeMutableBufferPointer { gw in
          forEachSquareCorner(n: n, c: c, o: o, h: h, w: w) { wi, xStart, yStart in
            var sum = 0.0
            for j in 0..<w { sum += gy[yStart + 2 * j] * x[xStart + j] }
            gw[wi] += sum
          }
        }
      }
    }
    return gradW
  }

  private static func upsamplingChannels(input: [Int], weight: [Int]) -> Int {
    precondition(
      weight.count == 4 && weight[0] == input[1] && weight[2...] == [2, 2],
      "2×2 upsampling of \(input) with weights \(weight)")
    return weight[1]
  }

  /// For each (n, c, o, p, q, i): the offsets of w[c,o,p,q], of x[n,c,i,0] and of y[n,o,2i+p,q].
  private static func forEachSquareCorner(
    n: Int, c: Int, o: Int, h: Int, w: Int, _ body: (_ w: Int, _ x: Int, _ y: Int) -> Void
  ) {
    for image in 0..<n {
      for channel in 0..<c {
        for out in 0..<o {
          for p in 0..<2 {
            for q in 0..<2 {
              for i in 0..<h {
                body(
                  ((channel * o + out) * 2 + p) * 2 + q, ((image * c + channel) * h + i) * w,
                  ((image * o + out) * 2 * h + 2 * i + p) * 2 * w + q)
              }
            }
          }
        }
      }
    }
  }
}
