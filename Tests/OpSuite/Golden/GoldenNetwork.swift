public import Engine

/// Replays a golden training run of the whole network on a backend.
public enum GoldenNetwork {
  /// - Returns: a comparison for each expected tensor: logits and gradients of the first step, losses, final parameters and
  ///   running statistics, logits in inference mode.
  public static func run(_ golden: GoldenCase, on backend: any Backend) throws -> [TensorComparison] {
    let steps = try golden.integer("steps")
    let attributes = try golden.lossAttributes()
    let model = VariableUNet(base: try golden.integer("base"))
    let first = try golden.tensor("x_0")
    let (batch, height, width) = (first.shape[0], first.shape[2], first.shape[3])
    let session = try TrainingSession(
      model, batch: batch, height: height, width: width, on: backend,
      loss: BCEDiceLoss(
        bceWeight: Float(attributes.bceWeight), positiveWeight: Float(attributes.posWeight),
        smooth: Float(attributes.diceSmooth)))
    for entry in session.layout.entries {
      let initial = try golden.tensor("init." + entry.name)
      guard initial.shape == entry.dimensions else {
        throw GoldenError.content(
          path: golden.path, reason: "init.\(entry.name) has the shape \(initial.shape); it should be \(entry.dimensions)")
      }
      try session.state.write(initial.floats, to: entry.slab, offset: entry.offset)
    }
    var comparisons: [TensorComparison] = []
    let rate = try golden.number("lr")
    for step in 0..<steps {
      let x = try golden.tensor("x_\(step)")
      let target = try golden.tensor("target_\(step)")
      let report = try session.step(images: x.floats, target: target.floats, count: batch, learningRate: rate)
      comparisons.append(try golden.compare("loss_\(step)", Tensor64([1], [report.loss])))
      guard step == 0 else { continue }
      let (graph, executable) = session.mainStep
      comparisons.append(
        try golden.compare("logits_0", Tensor64(first.shape.enumerated().map { $0 == 1 ? 1 : $1 }, executable.read(graph.logits)))
      )
      let gradients = try session.state.read(.gradients)
      for entry in session.layout.entries where entry.slab == .parameters {
        let values = Array(gradients[entry.offset..<entry.offset + entry.count])
        comparisons.append(try golden.compare("grad." + entry.name, Tensor64(entry.dimensions, values)))
      }
    }
    for entry in session.layout.entries {
      let values = try session.state.read(entry.slab, offset: entry.offset, count: entry.count)
      comparisons.append(try golden.compare("final." + entry.name, Tensor64(entry.dimensions, values)))
    }
    let logits = try session.predict(
      first.floats, shape: Shape(batch, VariableUNet.inputChannels, height, width))
    comparisons.append(try golden.compare("eval_logits", Tensor64([batch, 1, height, width], logits)))
    return comparisons
  }
}
