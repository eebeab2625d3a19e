/// A trained model ready to predict. Confined to one thread.
public final class InferenceSession {
  public let model: VariableUNet
  public let backend: any Backend
  public let state: any StateMemory
  public let layout: StateLayout
  private var loaded: (shape: Shape, graph: InferenceGraph, executable: any Executable)?

  /// - Parameter parameters: fills the state, usually from a checkpoint.
  public init(
    _ model: VariableUNet, on backend: any Backend, parameters: (any StateMemory) throws(EngineError) -> Void
  ) throws(EngineError) {
    self.model = model
    self.backend = backend
    let graph = try InferenceGraph(model, batch: 1, height: 16, width: 16)
    layout = graph.layout
    state = try backend.makeState(layout, slabs: InferenceGraph.slabs)
    try parameters(state)
  }

  /// Logits (N, 1, H, W) of images (N, 3, H, W) in 0…1; keeps the plan of the last shape.
  ///
  /// - Throws: `.notFinite` where one is NaN or infinite: a mask of it would look as if nothing were found.
  public func predict(_ images: [Float], shape: Shape) throws(EngineError) -> [Float] {
    if loaded?.shape != shape {
      loaded = nil
      let (graph, plan) = try InferenceGraph.plan(
        model, batch: shape.n, height: shape.h, width: shape.w, on: backend.traits, named: backend.name,
        within: backend.traits.memoryBytes > 0 ? backend.traits.memoryBytes : .max)
      loaded = (shape, graph, try backend.load(plan, state: state, reusing: nil))
    }
    guard let loaded else { return [] }
    try loaded.executable.write(images, to: loaded.graph.image)
    try loaded.executable.run(.forward)
    let logits = try loaded.executable.read(loaded.graph.logits)
    guard logits.allSatisfy(\.isFinite) else {
      throw .notFinite(step: nil, value: "the model's prediction", first: try state.firstNotFinite(images))
    }
    return logits
  }
}
