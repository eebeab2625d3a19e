extension GoldenCase {
  /// What the Double reference computes for this case: every tensor of ``expectedNames``.
  ///
  /// Agreement with the file to rounding shows that ``Reference`` and the file mean the same mathematics.
  ///
  /// - Throws: ``GoldenError`` for an unknown operation or a missing tensor or attribute.
  public func referenceResults() throws(GoldenError) -> [String: Tensor64] {
    switch operation {
    case "conv2d": try conv2d()
    case "conv_transpose2d": try convTranspose2d()
    case "batch_norm": try batchNorm()
    case "max_pool2d": try maxPool()
    case "relu":
      [
        "y": Reference.relu(try tensor("x")),
        "grad_x": Reference.reluGradient(x: try tensor("x"), gradY: try tensor("grad_y")),
      ]
    case "concat": try concat()
    case "bce_dice_loss": try bceDice()
    case "adam": try adam()
    case "variable_unet_training": try variableUNet()
    default: throw .content(path: path, reason: "no reference for the operation \(operation)")
    }
  }

  /// The loss's constants, of a loss or a training case.
  public func lossAttributes() throws(GoldenError) -> Reference.BCEDiceAttributes {
    Reference.BCEDiceAttributes(
      bceWeight: try number("bce_weight"), posWeight: try number("pos_weight"),
      diceSmooth: try number("dice_smooth"))
  }

  private func conv2d() throws(GoldenError) -> [String: Tensor64] {
    let (x, weight, gradY) = (try tensor("x"), try tensor("weight"), try tensor("grad_y"))
    let (stride, padding, dilation) = (
      try integer("stride"), try integer("padding"), try integer("dilation")
    )
    var results = [
      "y": Reference.conv2d(
        x, weight: weight, bias: tensors["bias"], stride: stride, padding: padding,
        dilation: dilation),
      "grad_x": Reference.conv2dGradientInput(
        gradY: gradY, weight: weight, inputShape: x.shape, stride: stride, padding: padding,
        dilation: dilation),
      "grad_weight": Reference.conv2dGradientWeight(
        gradY: gradY, x: x, weightShape: weight.shape, stride: stride, padding: padding,
        dilation: dilation),
    ]
    if tensors["bias"] != nil { results["grad_bias"] = Reference.biasGradient(gradY: gradY) }
    return results
  }

  private func convTranspose2d() throws(GoldenError) -> [String: Tensor64] {
    guard try integer("stride") == 2, try integer("kernel") == 2 else {
      throw .content(path: path, reason: "only kernel 2 with stride 2 has a reference")
    }
    let (x, weight, gradY) = (try tensor("x"), try tensor("weight"), try tensor("grad_y"))
    return [
      "y": Reference.convTranspose2x2(x, weight: weight, bias: try tensor("bias")),
      "grad_x": Reference.convTranspose2x2GradientInput(gradY: gradY, weight: weight),
      "grad_weight": Reference.convTranspose2x2GradientWeight(gradY: gradY, x: x),
      "grad_bias": Reference.biasGradient(gradY: gradY),
    ]
  }

  private func batchNorm() throws(GoldenError) -> [String: Tensor64] {
    let (x, weight, bias) = (try tensor("x"), try tensor("weight"), try tensor("bias"))
    let (mean, variance) = (try tensor("running_mean"), try tensor("running_var"))
    let eps = try number("eps")
    let (y, statistics) = Reference.batchNormTraining(x, weight: weight, bias: bias, eps: eps)
    let running = Reference.batchNormRunning(
      mean: mean, variance: variance, statistics: statistics, momentum: try number("momentum"))
    let (gradX, gradWeight, gradBias) = Reference.batchNormGradients(
      x: x, weight: weight, gradY: try tensor("grad_y"), eps: eps)
    return [
      "y": y, "grad_x": gradX, "grad_weight": gradWeight, "grad_bias": gradBias,
      "running_mean_out": running.mean, "running_var_out": running.variance,
      "y_eval": Reference.batchNormInference(
        x, weight: weight, bias: bias, runningMean: mean, runningVariance: variance, eps: eps),
    ]
  }

  private func maxPool() throws(GoldenError) -> [String: Tensor64] {
    guard try integer("stride") == 2, try integer("kernel") == 2 else {
      throw .content(path: path, reason: "only kernel 2 with stride 2 has a reference")
    }
    let x = try tensor("x")
    return [
      "y": Reference.maxPool2x2(x),
      "grad_x": Reference.maxPool2x2Gradient(x: x, gradY: try tensor("grad_y")),
    ]
  }

  private func concat() throws(GoldenError) -> [String: Tensor64] {
    guard try integer("axis") == 1 else {
      throw .content(path: path, reason: "only channels, axis 1, have a reference")
    }
    let (a, b) = (try tensor("a"), try tensor("b"))
    let parts = Reference.splitChannels(try tensor("grad_y"), into: [a.nchw.c, b.nchw.c])
    return ["y": Reference.concatChannels([a, b]), "grad_a": parts[0], "grad_b": parts[1]]
  }

  private func bceDice() throws(GoldenError) -> [String: Tensor64] {
    let (logits, target, attributes) = (
      try tensor("logits"), try tensor("target"), try lossAttributes()
    )
    let loss = Reference.bceDice(logits: logits, target: target, attributes)
    return [
      "loss": Tensor64([1], [loss]),
      "grad_logits": Reference.bceDiceGradient(logits: logits, target: target, attributes),
    ]
  }

  private func adam() throws(GoldenError) -> [String: Tensor64] {
    let attributes = Reference.AdamAttributes(
      learningRate: try number("lr"), beta1: try number("beta1"), beta2: try number("beta2"),
      eps: try number("eps"))
    var parameter = try tensor("param")
    var state = Reference.AdamState(shape: parameter.shape)
    var results: [String: Tensor64] = [:]
    for step in 0..<(try integer("steps")) {
      Reference.adamStep(
        parameter: &parameter, gradient: try tensor("grad_\(step)"), state: &state, attributes)
      results["param_\(step)"] = parameter
    }
    return results
  }

  private func variableUNet() throws(GoldenError) -> [String: Tensor64] {
    let loss = try lossAttributes()
    let adam = Reference.AdamAttributes(learningRate: try number("lr"))
    var network = VariableUNetReference(parameters: tensors(under: "init."))
    var results: [String: Tensor64] = [:]
    for step in 0..<(try integer("steps")) {
      let pass = network.train(
        x: try tensor("x_\(step)"), target: try tensor("target_\(step)"), loss, adam)
      results["loss_\(step)"] = Tensor64([1], [pass.loss])
      guard step == 0 else { continue }
      results["logits_0"] = pass.logits
      for (name, gradient) in pass.gradients { results["grad.\(name)"] = gradient }
    }
    for (name, value) in network.parameters { results["final.\(name)"] = value }
    results["eval_logits"] = network.evaluate(try tensor("x_0"))
    return results
  }
}
