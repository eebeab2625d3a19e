extension GoldenCase {
  /// Looks whether the file holds what its operation needs: every input and expected tensor, of the shapes that follow from the
  /// inputs, and attributes that mean something. What runs a case relies on it.
  ///
  /// - Throws: ``GoldenError`` naming the tensor or attribute.
  func validate() throws(GoldenError) {
    switch operation {
    case "conv2d": try validateConvolution()
    case "conv_transpose2d": try validateTransposedConvolution()
    case "batch_norm": try validateBatchNorm()
    case "max_pool2d":
      let x = try map("x")
      try want(["grad_y", "y"], [x[0], x[1], x[2] / 2, x[3] / 2])
      try want(["grad_x"], x)
    case "relu":
      let x = try tensor("x").shape
      try want(["grad_y", "y", "grad_x"], x)
    case "concat":
      let (a, b) = (try map("a"), try map("b"))
      try want(["b"], [a[0], b[1], a[2], a[3]])
      try want(["grad_y", "y"], [a[0], a[1] + b[1], a[2], a[3]])
      try want(["grad_a"], a)
      try want(["grad_b"], b)
    case "bce_dice_loss":
      let logits = try tensor("logits").shape
      try want(["target", "grad_logits"], logits)
      guard try tensor("loss").count == 1 else { throw wrong("loss should be one number") }
    case "adam": try validateAdam()
    case "variable_unet_training": try validateNetwork()
    // Refused where it is run.
    default: return
    }
    for name in inputNames.sorted() {
      let tensor = try tensor(name)
      guard tensor.count > 0 else { throw wrong("\(name) is empty") }
      guard tensor.values.allSatisfy({ Float($0).isFinite }) else {
        throw wrong("\(name) holds values that are not finite in fp32")
      }
    }
  }

  private func wrong(_ reason: String) -> GoldenError { .content(path: path, reason: reason) }

  /// The shape of a feature map or of weights, of 4 dimensions above 0.
  private func map(_ name: String) throws(GoldenError) -> [Int] {
    let shape = try tensor(name).shape
    guard shape.count == 4, shape.allSatisfy({ (1...1 << 24).contains($0) }) else {
      throw wrong("\(name) has the shape \(shape); it should have 4 dimensions, each of 1 or more")
    }
    return shape
  }

  private func want(_ names: [String], _ shape: [Int]) throws(GoldenError) {
    for name in names {
      let found = try tensor(name).shape
      guard found == shape else { throw wrong("\(name) has the shape \(found); it should be \(shape)") }
    }
  }

  private func integer(_ key: String, in range: ClosedRange<Int>) throws(GoldenError) -> Int {
    let value = try integer(key)
    guard range.contains(value) else {
      throw wrong("the attribute \(key) is \(value); it should be \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  private func number(_ key: String, in range: ClosedRange<Double>) throws(GoldenError) {
    let value = try number(key)
    guard range.contains(value) else {
      throw wrong("the attribute \(key) is \(value); it should be \(range.lowerBound) to \(range.upperBound)")
    }
  }

  private func validateConvolution() throws(GoldenError) {
    let (x, weight) = (try map("x"), try map("weight"))
    let limit = 1 << 16
    let (stride, padding, dilation) = (
      try integer("stride", in: 1...limit), try integer("padding", in: 0...limit), try integer("dilation", in: 1...limit)
    )
    func side(_ side: Int, _ kernel: Int) -> Int {
      let over = side + 2 * padding - dilation * (kernel - 1) - 1
      return over < 0 ? 0 : over / stride + 1
    }
    let y = [x[0], weight[0], side(x[2], weight[2]), side(x[3], weight[3])]
    guard y.allSatisfy({ $0 > 0 }) else { throw wrong("the kernel is wider than the padded input") }
    try want(["weight"], [weight[0], x[1], weight[2], weight[3]])
    try want(["grad_y", "y"], y)
    try want(["grad_x"], x)
    try want(["grad_weight"], weight)
    if tensors["bias"] != nil { try want(["bias", "grad_bias"], [weight[0]]) }
  }

  private func validateTransposedConvolution() throws(GoldenError) {
    let (x, weight) = (try map("x"), try map("weight"))
    try want(["weight", "grad_weight"], [x[1], weight[1], 2, 2])
    try want(["bias", "grad_bias"], [weight[1]])
    try want(["grad_y", "y"], [x[0], weight[1], 2 * x[2], 2 * x[3]])
    try want(["grad_x"], x)
  }

  private func validateBatchNorm() throws(GoldenError) {
    let x = try map("x")
    try want(["grad_y", "y", "grad_x", "y_eval"], x)
    try want(
      ["weight", "bias", "running_mean", "running_var", "grad_weight", "grad_bias", "running_mean_out", "running_var_out"], [x[1]]
    )
    try number("momentum", in: 0...1)
    try number("eps", in: 0...1e6)
  }

  private func validateAdam() throws(GoldenError) {
    let parameter = try tensor("param").shape
    for i in 0..<(try integer("steps", in: 1...100_000)) { try want(["grad_\(i)", "param_\(i)"], parameter) }
    for key in ["beta1", "beta2"] { try number(key, in: 0...(1 - 1e-9)) }
    try number("eps", in: 0...1e6)
    try number("lr", in: 0...1e6)
  }

  private func validateNetwork() throws(GoldenError) {
    let base = try integer("base", in: 2...4096)
    guard base % 2 == 0 else { throw wrong("the attribute base is \(base); it should be even") }
    let x = try map("x_0")
    for i in 0..<(try integer("steps", in: 1...100_000)) {
      try want(["x_\(i)"], [x[0], 3, x[2], x[3]])
      try want(["target_\(i)"], [x[0], 1, x[2], x[3]])
      guard try tensor("loss_\(i)").count == 1 else { throw wrong("loss_\(i) should be one number") }
    }
  }
}
