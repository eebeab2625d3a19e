/// Where a NaN or an infinity came from.
extension TrainingSession {
  /// The first that is not finite, in the order of a step: a pixel, a parameter, a layer's output (as its statistics show
  /// it), a gradient, from the last layer to the first. nil where only values are bad that are kept no longer.
  func firstNotFinite(_ images: [Float]) throws(EngineError) -> String? {
    if let name = try state.firstNotFinite(images) { return name }
    let gradients: Slab = shape.microBatch < shape.batch ? .accumulated : .gradients
    return try state.notFinite(gradients).last.map { "the gradient of \($0)" }
  }
}

extension StateMemory {
  /// The first that is not finite of what a prediction is made of: a pixel, a parameter, running statistics.
  func firstNotFinite(_ images: [Float]) throws(EngineError) -> String? {
    if images.contains(where: { !$0.isFinite }) { return "a pixel" }
    if let name = try notFinite(.parameters).first { return name }
    return try notFinite(.running).first
  }

  /// Names of a slab's tensors with an element that is not finite, in the order of the layout.
  fileprivate func notFinite(_ slab: Slab) throws(EngineError) -> [String] {
    let values = try read(slab)
    let home = slab == .running ? Slab.running : .parameters
    return layout.entries.filter { entry in
      entry.slab == home && values[entry.offset..<entry.offset + entry.count].contains { !$0.isFinite }
    }.map(\.name)
  }
}
