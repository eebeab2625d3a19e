extension Reference {
  /// The gradient of a scalar function by central differences: (f(x + h·eₖ) − f(x − h·eₖ)) / 2h for each k.
  ///
  /// In Double with h near 1e-5 the error is about 1e-10 of f's scale, where f has no kink within h of x.
  ///
  /// - Parameters:
  ///   - step: h, scaled by max(1, |xₖ|).
  ///   - function: usually ``dot(_:_:)`` of an operation's output with a fixed random tensor.
  public static func centralDifference(
    at x: Tensor64, step: Double = 1e-5, of function: (Tensor64) -> Double
  ) -> Tensor64 {
    var probe = x
    var gradient = Tensor64(zeros: x.shape)
    for k in 0..<x.count {
      let h = step * max(1, abs(x.values[k]))
      probe.values[k] = x.values[k] + h
      let above = function(probe)
      probe.values[k] = x.values[k] - h
      let below = function(probe)
      probe.values[k] = x.values[k]
      gradient.values[k] = (above - below) / (2 * h)
    }
    return gradient
  }
}
