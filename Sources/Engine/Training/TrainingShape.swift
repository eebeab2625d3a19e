/// The sizes of a training step: what decides how much memory it takes.
public struct TrainingShape: Sendable, Equatable {
  public var model: VariableUNet
  public var base: Int {
    get { model.base }
    set { model.base = newValue }
  }
  /// Patches of a step.
  public var batch: Int
  /// Patches on the device at one time. Where it is below `batch`, gradients are added up over parts of the batch.
  public var microBatch: Int
  public var height: Int
  public var width: Int

  public var activations: ActivationStorage
  /// Whether a moving average of the parameters is kept: one slab more.
  public var averages: Bool

  public init(
    _ model: VariableUNet, batch: Int, microBatch: Int? = nil, height: Int, width: Int,
    activations: ActivationStorage = .fp32, averages: Bool = false
  ) {
    self.model = model
    self.batch = batch
    self.microBatch = min(microBatch ?? batch, batch)
    self.height = height
    self.width = width
    self.activations = activations
    self.averages = averages
  }

  /// Plans the step, with values computed again where it would not fit otherwise.
  ///
  /// - Returns: the graph of a micro-batch and its plan, which may exceed the limit where nothing fits.
  /// - Throws: `.shape` for sizes that the model cannot take; `.memory` where one value exceeds the device's largest
  ///   allocation.
  public func plan(
    on device: DeviceTraits, within limitBytes: Int, loss: BCEDiceLoss = BCEDiceLoss(), adam: Adam = Adam()
  ) throws(EngineError) -> (graph: TrainingGraph, plan: Plan) {
    let graph = try TrainingGraph(
      model, batch: microBatch, height: height, width: width, loss: loss, adam: adam,
      accumulates: microBatch < batch, averages: averages)
    let nodes = activations == .fp16 ? graph.graph.halvingActivations() : graph.graph
    return (graph, try Plan(nodes, layout: graph.layout, for: device, within: limitBytes))
  }

  /// Whether the step fits, with values computed again if need be.
  public func fits(_ device: DeviceTraits, within limitBytes: Int) -> Bool {
    guard let (_, plan) = try? plan(on: device, within: limitBytes) else { return false }
    return plan.report.peakBytes <= limitBytes
  }

  /// The largest batch, micro-batch, patch or base that would fit, each alone changed, in a command's options.
  public func advice(_ device: DeviceTraits, within limitBytes: Int) -> String {
    /// The largest of `first`, `first` + `step`… below `end` that fits: more never takes less.
    func largest(_ first: Int, _ end: Int, step: Int, _ change: (inout TrainingShape, Int) -> Void) -> Int? {
      var (low, high) = (-1, max(0, (end - first + step - 1) / step))
      while high - low > 1 {
        let middle = (low + high) / 2
        var other = self
        change(&other, first + middle * step)
        if other.fits(device, within: limitBytes) { low = middle } else { high = middle }
      }
      return low < 0 ? nil : first + low * step
    }
    var ways: [String] = []
    if batch > 1, let most = largest(1, microBatch, step: 1, { $0.microBatch = $1 }) { ways.append("--micro-batch \(most)") }
    if batch > 1, let most = largest(1, batch, step: 1, { ($0.batch, $0.microBatch) = ($1, min($1, $0.microBatch)) }) {
      ways.append("--batch \(most)")
    }
    let multiple = VariableUNet.sideMultiple
    if height == width, let most = largest(multiple, height, step: multiple, { ($0.height, $0.width) = ($1, $1) }) {
      ways.append("--patch \(most)")
    }
    if let most = largest(2, base, step: 2, { $0.base = $1 }) { ways.append("--base \(most)") }
    return ways.isEmpty ? "nothing smaller fits either" : "would fit: \(ways.joined(separator: ", or "))"
  }
}
