import Engine

/// A batch norm alone: the normalised values, the running statistics, and the gradients of z, γ and β.
struct BatchNormCase: CaseDefinition {
  static let operation = "batch_norm"

  var n = 2
  var c = 3
  var h = 9
  var w = 7
  var relu = false
  var mode = Norm.Mode.training
  /// The mean in units of the standard deviation.
  var offset = 0.0
  /// Two batch norms of different tensors share γ and β, so that their gradients add up.
  var shared = false
  var epsilon = 1e-5
  var momentum = 0.1

  var label: String {
    "n\(n)_c\(c)_h\(h)_w\(w)" + (relu ? "_relu" : "") + (mode == .inference ? "_inference" : mode == .frozen ? "_frozen" : "")
      + (offset == 0 ? "" : "_mean\(Int(offset))sigma") + (shared ? "_shared" : "")
  }

  private var norm: Norm { Norm(prefix: "norm", relu: relu, mode: mode, epsilon: epsilon, momentum: momentum) }
  private var operand: Operand { Operand(name: "x", shape: [n, c, h, w], view: .norm, offset: offset) }

  func inputs(seed: UInt64) -> [CaseInput] {
    let x = operand.inputs(seed: seed)[0]
    let training = mode != .inference
    var all = [CaseInput("x", x.value, needsGradient: training)]
    all += norm.inputs(all[0].value, seed: seed &+ 10, needsGradient: training)
    if training { all.append(CaseInput("grad_y", Tensor64(random: x.value.shape, seed: seed &+ 3000))) }
    if shared { all.append(CaseInput("grad_y2", Tensor64(random: x.value.shape, seed: seed &+ 3001))) }
    return all
  }

  func build(_ b: inout CaseBuilder) throws(EngineError) {
    let x = try b.source("x")
    let y = try norm.build(&b, x)
    try b.output("y", y)
    guard mode != .inference else { return }
    var seeds = [(y, "grad_y")]
    if shared {
      // A copy, so that the second batch norm has a tensor of its own.
      let copy = try b.graph.apply(Materialize(), [x])[0]
      let second = try norm.build(&b, copy)
      try b.output("y2", second)
      seeds.append((second, "grad_y2"))
    } else {
      try b.output("running_mean", b.source("norm.running_mean"))
      try b.output("running_var", b.source("norm.running_var"))
    }
    try b.differentiate(seeds)
  }

  func forward(_ inputs: [String: Tensor64]) -> [String: Tensor64] {
    let y = norm.activated(inputs["x"]!, inputs)
    return shared ? ["y": y, "y2": y] : ["y": y]
  }

  func reference(_ inputs: [String: Tensor64], _ step: Int) -> [String: Tensor64] {
    var results = forward(inputs)
    guard mode != .inference else { return results }
    var upstream = inputs["grad_y"]!
    if shared { upstream = Reference.add(upstream, inputs["grad_y2"]!) }
    let (dx, parameters) = norm.gradients(inputs["x"]!, inputs, upstream: upstream)
    results["grad_x"] = dx
    results.merge(parameters) { a, _ in a }
    if !shared {
      (results["running_mean"], results["running_var"]) =
        mode == .frozen
        ? (inputs["norm.running_mean"]!, inputs["norm.running_var"]!) : norm.running(inputs["x"]!, inputs)
    }
    return results
  }

  func accuracy(_ result: String, _ inputs: [String: Tensor64]) -> Accuracy {
    let pixels = n * h * w
    let condition = 1 + abs(offset)
    switch result {
    case "y", "y2":
      return Accuracy(reduction: ErrorBound.functions + (mode == .training ? pixels : 0), condition: condition)
    case "running_mean", "running_var":
      return Accuracy(reduction: pixels, condition: result == "running_var" ? condition : 1)
    case "grad_x": return Accuracy(reduction: pixels, condition: condition, magnitude: 0.5)
    default:
      // A mean rounded to fp32 moves every element alike, by up to u·|mean|: that adds up over the gradients' sum.
      let size = Double(pixels).squareRoot() * (offset == 0 ? 0.5 : 1)
      return Accuracy(reduction: pixels, condition: condition, magnitude: size)
    }
  }
}

/// What a view shows, written out, with its gradient; and a tensor that both a batch norm and another operation read.
struct MaterializeCase: CaseDefinition {
  static let operation = "materialize"

  /// Who else reads: nobody, a second copy of the view, or a plain copy of z before or after the batch norm.
  enum Consumers: String, Sendable, CaseIterable {
    case one, twice
    case plainFirst = "plainfirst"
    case plainLast = "plainlast"
  }

  var n = 1
  var c = 2
  var h = 5
  var w = 7
  var view: Operand.View = .relu
  var consumers = Consumers.one

  var label: String {
    "n\(n)_c\(c)_h\(h)_w\(w)_view-\(view.rawValue)" + (consumers == .one ? "" : "_\(consumers.rawValue)")
  }

  private var operand: Operand { Operand(name: "x", shape: [n, c, h, w], view: view) }

  func inputs(seed: UInt64) -> [CaseInput] {
    var all = operand.inputs(seed: seed)
    guard operand.needsGradient else { return all }
    all.append(CaseInput("grad_y", Tensor64(random: [n, c, h, w], seed: seed &+ 3000)))
    if consumers != .one { all.append(CaseInput("grad_y2", Tensor64(random: [n, c, h, w], seed: seed &+ 3001))) }
    return all
  }

  func build(_ b: inout CaseBuilder) throws(EngineError) {
    var seeds: [(ValueID, String)] = []
    func copy(_ value: ValueID, _ name: String, _ b: inout CaseBuilder) throws(EngineError) {
      let y = try b.graph.apply(Materialize(), [value])[0]
      try b.output(name, y)
      seeds.append((y, "grad_" + name))
    }
    if consumers == .plainFirst { try copy(b.source("x"), "y2", &b) }
    let value = try operand.build(&b)
    try copy(value, "y", &b)
    if consumers == .twice { try copy(value, "y2", &b) }
    if consumers == .plainLast { try copy(b.source("x"), "y2", &b) }
    if operand.needsGradient { try b.differentiate(seeds) }
  }

  func forward(_ inputs: [String: Tensor64]) -> [String: Tensor64] {
    let y = operand.activated(inputs)
    switch consumers {
    case .one: return ["y": y]
    case .twice: return ["y": y, "y2": y]
    case .plainFirst, .plainLast: return ["y": y, "y2": inputs["x"]!]
    }
  }

  func reference(_ inputs: [String: Tensor64], _ step: Int) -> [String: Tensor64] {
    var results = forward(inputs)
    guard operand.needsGradient else { return results }
    var upstream = inputs["grad_y"]!
    if consumers == .twice { upstream = Reference.add(upstream, inputs["grad_y2"]!) }
    results.merge(operand.gradients(inputs, upstream: upstream)) { a, _ in a }
    if consumers == .plainFirst || consumers == .plainLast {
      results["grad_x"] = Reference.add(results["grad_x"]!, inputs["grad_y2"]!)
    }
    return results
  }

  func accuracy(_ result: String, _ inputs: [String: Tensor64]) -> Accuracy {
    if result == "y" || result == "y2" { return Accuracy(reduction: operand.viewTerms) }
    if view == .plain { return Accuracy(reduction: consumers == .one ? 0 : 1) }
    return operand.accuracy(result, upstream: 2, size: 0.5) ?? Accuracy(reduction: 1)
  }
}

/// A group norm with its gradients; batches of several images share γ and β.
struct GroupNormCase: CaseDefinition {
  static let operation = "group_norm"

  var n = 2
  var c = 6
  var h = 9
  var w = 7
  var channelsPerGroup = 3
  var relu = true
  /// The mean in units of the standard deviation.
  var offset = 0.0
  /// Read twice, by norms that share γ and β: every gradient adds up.
  var twice = false

  var label: String {
    "n\(n)_c\(c)_h\(h)_w\(w)_size\(channelsPerGroup)" + (relu ? "_relu" : "")
      + (offset == 0 ? "" : "_mean\(Int(offset))sigma") + (twice ? "_twice" : "")
  }

  func inputs(seed: UInt64) -> [CaseInput] {
    // On a grid, so that β can keep normalised values away from ReLU's kink.
    let x = Operand(name: "x", shape: [n, c, h, w], view: .norm, offset: offset).inputs(seed: seed)[0].value
    var random = ReferenceRandom(seed: seed &+ 5)
    let gamma = Tensor64([c], (0..<c).map { _ in Double.random(in: 0.5...1.5, using: &random) }).roundedToFloat
    let plain = Reference.groupNorm(x, channelsPerGroup: channelsPerGroup, weight: gamma, bias: Tensor64(zeros: [c]))
    let beta = (0..<c).map { Norm.shift(plain, channel: $0, near: Double.random(in: -0.4...0.4, using: &random)) }
    var all = [
      CaseInput("x", x, needsGradient: true), CaseInput("gamma", gamma, .slab(.parameters), needsGradient: true),
      CaseInput("beta", Tensor64([c], beta), .slab(.parameters), needsGradient: true),
      CaseInput("grad_y", Tensor64(random: x.shape, seed: seed &+ 3000)),
    ]
    if twice { all.append(CaseInput("grad_y2", Tensor64(random: x.shape, seed: seed &+ 3001))) }
    return all
  }

  func build(_ b: inout CaseBuilder) throws(EngineError) {
    var seeds: [(ValueID, String)] = []
    for name in twice ? ["y", "y2"] : ["y"] {
      let y = try b.graph.apply(
        GroupNorm(channelsPerGroup: channelsPerGroup, relu: relu), [b.source("x"), b.source("gamma"), b.source("beta")])[0]
      try b.output(name, y)
      seeds.append((y, "grad_" + name))
    }
    try b.differentiate(seeds)
  }

  private func plain(_ inputs: [String: Tensor64]) -> Tensor64 {
    Reference.groupNorm(
      inputs["x"]!, channelsPerGroup: channelsPerGroup, weight: inputs["gamma"]!, bias: inputs["beta"]!)
  }

  func forward(_ inputs: [String: Tensor64]) -> [String: Tensor64] {
    let y = relu ? Reference.relu(plain(inputs)) : plain(inputs)
    return twice ? ["y": y, "y2": y] : ["y": y]
  }

  func reference(_ inputs: [String: Tensor64], _ step: Int) -> [String: Tensor64] {
    var results = forward(inputs)
    var upstream = inputs["grad_y"]!
    if twice { upstream = Reference.add(upstream, inputs["grad_y2"]!) }
    if relu { upstream = Reference.reluGradient(x: plain(inputs), gradY: upstream) }
    (results["grad_x"], results["grad_gamma"], results["grad_beta"]) = Reference.groupNormGradients(
      x: inputs["x"]!, channelsPerGroup: channelsPerGroup, weight: inputs["gamma"]!, gradY: upstream)
    return results
  }

  func accuracy(_ result: String, _ inputs: [String: Tensor64]) -> Accuracy {
    let pixels = channelsPerGroup * h * w
    let condition = 1 + abs(offset)
    switch result {
    case "y", "y2": return Accuracy(reduction: ErrorBound.functions + pixels, condition: condition)
    case "grad_x": return Accuracy(reduction: pixels, condition: condition, magnitude: 0.5)
    default:
      let size = Double(n * h * w).squareRoot() * (offset == 0 ? 0.5 : 1)
      return Accuracy(reduction: max(pixels, n * h * w), condition: condition, magnitude: size)
    }
  }
}
