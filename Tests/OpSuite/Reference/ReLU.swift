extension Reference {
  /// y = max(0, x), any shape.
  public static func relu(_ x: Tensor64) -> Tensor64 {
    Tensor64(x.shape, x.values.map { $0 > 0 ? $0 : 0 })
  }

  /// dx = dy where x > 0, else 0; at x = 0 the gradient is 0.
  public static func reluGradient(x: Tensor64, gradY: Tensor64) -> Tensor64 {
    precondition(x.shape == gradY.shape, "relu of \(x.shape) with a gradient of \(gradY.shape)")
    return Tensor64(x.shape, zip(x.values, gradY.values).map { $0 > 0 ? $1 : 0 })
  }
}
