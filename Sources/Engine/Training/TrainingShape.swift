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
  public var gradients: GradientStorage
  /// Whether a moving average of the parameters is kept: one slab more.
  public var averages: Bool

  public init(
    _ model: VariableUNet, batch: Int, microBatch: Int? = nil, height: Int, width: Int,
    activations: ActivationStorage = .fp32, gradients: GradientStorage = .fp32, averages: Bool = false
  ) {
    self.model = model
    self.batch = batch
    self.microBatch = min(microBatch ?? batch, batch)
    self.height = height
    self.width = width
    self.activations = activations
    self.gradients = gradients
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
    let stored = graph.graph.storing(activations, gradients, for: device)
    return (graph, try Plan(stored, layout: graph.layout, for: device, within: limitBytes))
  }

  /// Whether the step fits, with values computed again if need be.
  public func fits(_ device: DeviceTraits, within limitBytes: Int) -> Bool {
    guard let (_, plan) = try? plan(on: device, within: limitBytes) else { return false }
    return plan.report.peakBytes <= limitBytes
  }

  /// The largest batch, micro-batch, patch or base that would fit, each alone changed, in a command's options.
  public func advice(_ device: DeviceTraits, within limitBytes: Int) -> String {
    func largest(_ first: Int, _ end: Int, step: Int, _ change: (inout TrainingShape, Int) -> Void) -> Int? {
      largestFitting(first, end, step: step) { value in
        var other = self
        change(&other, value)
        return other.fits(device, within: limitBytes)
      }
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
    return wayOut(ways, batch: batch)
  }

  /// The largest batch of one run that fits without anything computed again; nil where none does.
  public func largestBatch(_ device: DeviceTraits, within limitBytes: Int) -> Int? {
    func fits(_ count: Int) -> Bool {
      var other = self
      (other.batch, other.microBatch) = (count, count)
      guard let (_, plan) = try? other.plan(on: device, within: .max) else { return false }
      return plan.report.peakBytes <= limitBytes
    }
    var end = 1
    while end < 1 << 20, fits(end) { end *= 2 }
    return largestFitting(max(1, end / 2), end, step: 1, fits)
  }
}

extension InferenceGraph {
  /// Plans inference and refuses what does not fit.
  ///
  /// - Throws: `.memory` with both numbers, and the largest batch, patch or base that would fit, each alone changed.
  public static func plan(
    _ model: VariableUNet, batch: Int, height: Int, width: Int, on device: DeviceTraits, named name: String,
    within limitBytes: Int
  ) throws(EngineError) -> (graph: InferenceGraph, plan: Plan) {
    func plan(_ model: VariableUNet, _ batch: Int, _ height: Int, _ width: Int) throws(EngineError) -> (InferenceGraph, Plan) {
      let graph = try InferenceGraph(model, batch: batch, height: height, width: width)
      return (graph, try Plan(graph.graph, layout: graph.layout, for: device))
    }
    func fits(_ model: VariableUNet, _ batch: Int, _ height: Int, _ width: Int) -> Bool {
      guard let (_, plan) = try? plan(model, batch, height, width) else { return false }
      return plan.report.peakBytes <= limitBytes
    }
    func advice() -> String {
      var ways: [String] = []
      if let most = largestFitting(1, batch, step: 1, { fits(model, $0, height, width) }) { ways.append("--batch \(most)") }
      let multiple = VariableUNet.sideMultiple
      if height == width, let most = largestFitting(multiple, height, step: multiple, { fits(model, batch, $0, $0) }) {
        ways.append("--patch \(most)")
      }
      let narrower = largestFitting(2, model.base, step: 2) { base in
        var other = model
        other.base = base
        return fits(other, batch, height, width)
      }
      if let narrower { ways.append("--base \(narrower)") }
      return wayOut(ways, batch: batch)
    }
    let purpose = "inference of \(batch) x \(height) x \(width) at base \(model.base) on \(name)"
    do throws(EngineError) {
      let (graph, plan) = try plan(model, batch, height, width)
      try plan.requireFit(within: limitBytes, purpose: purpose, wayOut: advice())
      return (graph, plan)
    } catch { throw error.withWayOut(purpose, advice()) }
  }
}

extension EngineError {
  /// A lack of memory for a single value, with what it is for and a way out; other errors, and those that have one, as they are.
  func withWayOut(_ purpose: String, _ wayOut: @autoclosure () -> String) -> EngineError {
    guard case .memory(let needed, let available, let value, nil) = self else { return self }
    return .memory(neededBytes: needed, availableBytes: available, purpose: "\(purpose): \(value)", wayOut: wayOut())
  }
}

/// What would fit, for a user; a batch of one has no smaller one.
private func wayOut(_ ways: [String], batch: Int) -> String {
  if ways.isEmpty { return "nothing smaller fits either" }
  let none = batch > 1 && !ways.contains { $0.hasPrefix("--batch") } ? "; a smaller batch alone would not" : ""
  return "would fit: \(ways.joined(separator: ", or "))\(none)"
}

/// The largest of `first`, `first` + `step`… below `end` that fits: more never takes less.
private func largestFitting(_ first: Int, _ end: Int, step: Int, _ fits: (Int) -> Bool) -> Int? {
  var (low, high) = (-1, max(0, (end - first + step - 1) / step))
  while high - low > 1 {
    let middle = (low + high) / 2
    if fits(first + middle * step) { low = middle } else { high = middle }
  }
  return low < 0 ? nil : first + low * step
}
