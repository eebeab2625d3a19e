extension Reference {
  /// Cross-correlates `x` with `weight` and adds a bias.
  ///
  /// y[n,o,i,j] = b[o] + Σ w[o,c,p,q] · x[n, c, i·s + p·d − pad, j·s + q·d − pad], x being 0 outside its plane.
  ///
  /// - Shapes: x (N, C, H, W); weight (O, C, Kh, Kw); bias (O); y (N, O, H′, W′) with
  ///   H′ = ⌊(H + 2·pad − d·(Kh − 1) − 1) / s⌋ + 1, W′ alike.
  /// - Source: Dumoulin & Visin 2016, "A guide to convolution arithmetic for deep learning", 5.1 for dilation.
  public static func conv2d(
    _ x: Tensor64, weight: Tensor64, bias: Tensor64?, stride: Int = 1, padding: Int = 0,
    dilation: Int = 1
  ) -> Tensor64 {
    let walk = ConvolutionWalk(
      x: x.shape, weight: weight.shape, stride: stride, padding: padding, dilation: dilation)
    var y = Tensor64(zeros: walk.outputShape)
    if let bias {
      precondition(bias.shape == [walk.o], "bias \(bias.shape) for weights \(weight.shape)")
      let plane = walk.oh * walk.ow
      for index in 0..<walk.n * walk.o {
        for k in 0..<plane { y.values[index * plane + k] = bias.values[index % walk.o] }
      }
    }
    x.values.withUnsafeBufferPointer { x in
      weight.values.withUnsafeBufferPointer { w in
        y.values.withUnsafeMutableBufferPointer { y in
          walk.forEachRow { row in
            let tap = w[row.w]
            var (xi, yi) = (row.x, row.y)
            while yi < row.yEnd {
              y[yi] += tap * x[xi]
              xi += stride
              yi += 1
            }
          }
        }
      }
    }
    return y
  }

  /// dx: every product w·x of the forward sum sends w·dy to its x.
  ///
  /// - Shapes: gradY (N, O, H′, W′); weight (O, C, Kh, Kw); result `inputShape` (N, C, H, W).
  public static func conv2dGradientInput(
    gradY: Tensor64, weight: Tensor64, inputShape: [Int], stride: Int = 1, padding: Int = 0,
    dilation: Int = 1
  ) -> Tensor64 {
    let walk = ConvolutionWalk(
      x: inputShape, weight: weight.shape, stride: stride, padding: padding, dilation: dilation)
    precondition(
      gradY.shape == walk.outputShape, "gradient \(gradY.shape), not \(walk.outputShape)")
    var gradX = Tensor64(zeros: inputShape)
    gradY.values.withUnsafeBufferPointer { gy in
      weight.values.withUnsafeBufferPointer { w in
        gradX.values.withUnsafeMutableBufferPointer { gx in
          walk.forEachRow { row in
            let tap = w[row.w]
            var (xi, yi) = (row.x, row.y)
            while yi < row.yEnd {
              gx[xi] += tap * gy[yi]
              xi += stride
              yi += 1
            }
          }
        }
      }
    }
    return gradX
  }

  /// dw: every product w·x of the forward sum sends x·dy to its w.
  ///
  /// - Shapes: gradY (N, O, H′, W′); x (N, C, H, W); result `weightShape` (O, C, Kh, Kw).
  public static func conv2dGradientWeight(
    gradY: Tensor64, x: Tensor64, weightShape: [Int], stride: Int = 1, padding: Int = 0,
    dilation: Int = 1
  ) -> Tensor64 {
    let walk = ConvolutionWalk(
      x: x.shape, weight: weightShape, stride: stride, padding: padding, dilation: dilation)
    precondition(
      gradY.shape == walk.outputShape, "gradient \(gradY.shape), not \(walk.outputShape)")
    var gradW = Tensor64(zeros: weightShape)
    gradY.values.withUnsafeBufferPointer { gy in
      x.values.withUnsafeBufferPointer { x in
        gradW.values.withUnsafeMutableBufferPointer { gw in
          walk.forEachRow { row in
            var sum = 0.0
            var (xi, yi) = (row.x, row.y)
            while yi < row.yEnd {
              sum += gy[yi] * x[xi]
              xi += stride
              yi += 1
            }
            gw[row.w] += sum
          }
        }
      }
    }
    return gradW
  }

  /// db[o] = Σ dy[n,o,i,j]: the gradient of a per-channel bias, of either kind of convolution.
  ///
  /// - Shapes: gradY (N, O, H′, W′); result (O).
  public static func biasGradient(gradY: Tensor64) -> Tensor64 {
    let (n, o, h, w) = gradY.nchw
    var result = Tensor64(zeros: [o])
    for index in 0..<n * o {
      result.values[index % o] += gradY.values[index * h * w..<(index + 1) * h * w].reduce(0, +)
    }
    return result
  }
}

/// Visits every product w[o,c,p,q] · x[n,c,i·s+p·d−pad, j·s+q·d−pad] of a convolution inside the plane.
///
/// The forward pass and both gradients are the same walk with the three factors' parts exchanged.
private struct ConvolutionWalk {
  let n, c, h, w, o, kh, kw, oh, ow, stride, padding, dilation: Int

  var outputShape: [Int] { [n, o, oh, ow] }

  /// One output row under one weight: y offsets y ..< yEnd, x offsets from x in steps of the stride.
  struct Row {
    let w, x, y, yEnd: Int
  }

  init(x: [Int], weight: [Int], stride: Int, padding: Int, dilation: Int) {
    precondition(
      x.count == 4 && weight.count == 4 && x[1] == weight[1], "convolution of \(x) with \(weight)")
    precondition(
      stride > 0 && padding >= 0 && dilation > 0,
      "convolution with stride \(stride), padding \(padding), dilation \(dilation)")
    (n, c, h, w) = (x[0], x[1], x[2], x[3])
    (o, kh, kw) = (weight[0], weight[2], weight[3])
    let (spanH, spanW) = (
      h + 2 * padding - dilation * (kh - 1), w + 2 * padding - dilation * (kw - 1)
    )
    precondition(spanH > 0 && spanW > 0, "weights \(weight) reach beyond input \(x)")
    (oh, ow) = ((spanH - 1) / stride + 1, (spanW - 1) / stride + 1)
    (self.stride, self.padding, self.dilation) = (stride, padding, dilation)
  }

  func forEachRow(_ body: (Row) -> Void) {
    for image in 0..<n {
      for out in 0..<o {
        for channel in 0..<c {
          for p in 0..<kh {
            for q in 0..<kw {
              let shift = q * dilation - padding
              // 0 ≤ j·s + shift < w
              let first = shift >= 0 ? 0 : (-shift + stride - 1) / stride
              let end = shift >= w ? 0 : min(ow, (w - 1 - shift) / stride + 1)
              guard first < end else { continue }
              for i in 0..<oh {
                let xRow = i * stride + p * dilation - padding
                guard xRow >= 0 && xRow < h else { continue }
                let xStart = ((image * c + channel) * h + xRow) * w
                let yStart = ((image * o + out) * oh + i) * ow
                body(
                  Row(
                    w: ((out * c + channel) * kh + p) * kw + q,
                    x: xStart + first * stride + shift, y: yStart + first, yEnd: yStart + end))
              }
            }
          }
        }
      }
    }
  }
}
