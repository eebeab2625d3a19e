/// A forward pass in training mode that leaves each batch norm's own statistics in the running ones.
struct StatisticsGraph: Sendable {
  let graph: Graph
  let layout: StateLayout
  let image: ValueID

  init(_ model: VariableUNet, batch: Int, height: Int, width: Int) throws(EngineError) {
    var b = ModelBuilder(training: true, momentum: 1)
    image = b.graph.source("image", Shape(batch, VariableUNet.inputChannels, height, width), .input)
    b.graph.keep(try model(image, &b))
    graph = b.graph
    layout = b.layout
  }
}

extension TrainingSession {
  /// Re-estimates the running statistics: the mean over `batches` of each batch's means and unbiased variances, weighted by
  /// images, with the parameters as they are now. What training leaves there follows the last ten batches only, and
  /// parameters that have moved since; at a batch of 1 a model can look far worse in inference than it is.
  ///
  /// A model without statistics of its batches is left as it is.
  ///
  /// - Parameter next: gives batches (N × 3 × H × W images of the session's size, and N), then nil.
  /// - Throws: what `next` throws, and engine errors; the running statistics are then as before.
  /// - Source: Wu & Johnson 2021, "Rethinking 'Batch' in BatchNorm", arXiv:2105.07576, §3 ("PreciseBN").
  public func recalibrate(_ next: () throws -> (images: [Float], count: Int)?) throws {
    guard model.norm == .batch else { return }
    let before = try state.read(.running)
    do {
      var plans: [Int: (graph: StatisticsGraph, executable: any Executable)] = [:]
      var sums = [Double](repeating: 0, count: before.count)
      var total = 0
      let imageCount = VariableUNet.inputChannels * shape.height * shape.width
      while let (images, count) = try next() {
        // In parts of a micro-batch, as training sees them.
        for first in stride(from: 0, to: count, by: shape.microBatch) {
          let part = min(shape.microBatch, count - first)
          if plans[part] == nil {
            let graph = try StatisticsGraph(model, batch: part, height: shape.height, width: shape.width)
            let plan = try Plan(graph.graph, layout: layout, for: backend.traits)
            plans[part] = (graph, try backend.load(plan, state: state, reusing: mainStep.executable))
          }
          guard let (graph, executable) = plans[part] else { continue }
          try executable.write(images, first * imageCount..<(first + part) * imageCount, to: graph.image)
          try executable.run(.forward)
          try executable.finish()
          for (index, value) in try state.read(.running).enumerated() { sums[index] += Double(value) * Double(part) }
          total += part
        }
      }
      try state.write(total > 0 ? sums.map { Float($0 / Double(total)) } : before, to: .running)
    } catch {
      try state.write(before, to: .running)
      throw error
    }
  }
}
