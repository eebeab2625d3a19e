/// Where a NaN or an infinity came from.
extension TrainingSession {
  /// The first that is not finite, in the order of a step: a pixel, a parameter, a layer's output (as its statistics show
  /// it), a gradient, from the last layer to the first. nil where only values are bad that are kept no longer.
  func firstNotFinite(_ images: [Float]) throws(EngineError) -> String? {
    if images.contains(where: { !$0.isFinite }) { return "a pixel" }
    if let name = try badTensors(.parameters).first { return name }
    if let name = try badTensors(.running).first { return name }
    return try badTensors(shape.microBatch < shape.batch ? .accumulated : .gradients).last.map { "the gradient of \($0)" }
  }

  /// Names of a slab's tensors with an element that is not finite, in the order of the layout.
  private func badTensors(_ slab: Slab) throws(EngineError) -> [String] {
    let values = try state.read(slab)
    let home = slab == .running ? Slab.running : .parameters
    return layout.entries.filter { entry in
      entry.slab == home && values[entry.offset..<entry.offset + entry.count].contains { !$0.isFinite }
    }.map(\.name)
  }
}
