extension Reference {
  /// y[n,c,i,j] = max over p,q ∈ {0,1} of x[n,c,2i+p,2j+q].
  ///
  /// - Shapes: x (N, C, H, W); y (N, C, ⌊H/2⌋, ⌊W/2⌋). A last odd row or column is dropped.
  public static func maxPool2x2(_ x: Tensor64) -> Tensor64 {
    let (n, c, _, _) = x.nchw
    let (places, oh, ow) = maxPoolPlaces(x)
    return Tensor64([n, c, oh, ow], places.map { x.values[$0] })
  }

  /// Sends dy to the place of each window's maximum, zero elsewhere.
  ///
  /// Of equal maxima the first in row-major order takes the gradient; dropped odd edges get zero.
  ///
  /// - Shapes: x, result (N, C, H, W); gradY (N, C, ⌊H/2⌋, ⌊W/2⌋).
  public static func maxPool2x2Gradient(x: Tensor64, gradY: Tensor64) -> Tensor64 {
    let (n, c, _, _) = x.nchw
    let (places, oh, ow) = maxPoolPlaces(x)
    precondition(gradY.shape == [n, c, oh, ow], "max pool of \(x.shape) gives not \(gradY.shape)")
    var gradX = Tensor64(zeros: x.shape)
    for (place, gradient) in zip(places, gradY.values) { gradX.values[place] = gradient }
    return gradX
  }

  /// For each output element, the offset in x of its window's first maximum.
  private static func maxPoolPlaces(_ x: Tensor64) -> (places: [Int], height: Int, width: Int) {
    let (n, c, h, w) = x.nchw
    let (oh, ow) = (h / 2, w / 2)
    var places: [Int] = []
    places.reserveCapacity(n * c * oh * ow)
    for plane in 0..<n * c {
      for i in 0..<oh {
        for j in 0..<ow {
          let corner = (plane * h + 2 * i) * w + 2 * j
          var best = corner
          for candidate in [corner + 1, corner + w, corner + w + 1]
          where x.values[candidate] > x.values[best] {
            best = candidate
          }
          places.append(best)
        }
      }
    }
    return (places, oh, ow)
  }
}
