import Engine

/// ReLU of a stored tensor. Elements are 0 exactly or at least 1/64 from the kink.
struct ReLUCase: CaseDefinition {
  static let operation = "relu"

  var n = 1
  var c = 2
  var h = 5
  var w = 7
  var twice = false

  var label: String { "n\(n)_c\(c)_h\(h)_w\(w)" + (twice ? "_twice" : "") }

  func inputs(seed: UInt64) -> [CaseInput] {
    var x = Tensor64(random: [n, c, h, w], seed: seed)
    x.values = x.values.map { abs($0) < 1.0 / 64 ? 0 : $0 }
    var all = [
      CaseInput("x", x, needsGradient: true), CaseInput("grad_y", Tensor64(random: x.shape, seed: seed &+ 3000)),
    ]
    if twice { all.append(CaseInput("grad_y2", Tensor64(random: x.shape, seed: seed &+ 3001))) }
    return all
  }

  func build(_ b: inout CaseBuilder) throws(EngineError) {
    var seeds: [(ValueID, String)] = []
    for name in twice ? ["y", "y2"] : ["y"] {
      let y = try b.graph.apply(ReLU(), [b.source("x")])[0]
      try b.output(name, y)
      seeds.append((y, "grad_" + name))
    }
    try b.differentiate(seeds)
  }

  func forward(_ inputs: [String: Tensor64]) -> [String: Tensor64] {
    let y = Reference.relu(inputs["x"]!)
    return twice ? ["y": y, "y2": y] : ["y": y]
  }

  func reference(_ inputs: [String: Tensor64], _ step: Int) -> [String: Tensor64] {
    var results = forward(inputs)
    var upstream = inputs["grad_y"]!
    if twice { upstream = Reference.add(upstream, inputs["grad_y2"]!) }
    results["grad_x"] = Reference.reluGradient(x: inputs["x"]!, gradY: upstream)
    return results
  }

  func accuracy(_ result: String, _ inputs: [String: Tensor64]) -> Accuracy {
    Accuracy(reduction: result == "grad_x" && twice ? 1 : 0)
  }
}

/// 2×2 max-pooling of an operand. With ties, values are multiples of 1/4, so that the first maximum has to be found;
/// through a view, values that differ do so by far more than rounding.
struct MaxPoolCase: CaseDefinition {
  static let operation = "max_pool"

  var n = 1
  var c = 2
  var h = 6
  var w = 8
  var view: Operand.View = .plain
  var ties = false
  var twice = false

  var label: String {
    "n\(n)_c\(c)_h\(h)_w\(w)" + (view == .plain ? "" : "_view-\(view.rawValue)") + (ties ? "_ties" : "")
      + (twice ? "_twice" : "")
  }

  private var operand: Operand { Operand(name: "x", shape: [n, c, h, w], view: view, ties: ties) }

  func inputs(seed: UInt64) -> [CaseInput] {
    var all = operand.inputs(seed: seed)
    guard operand.needsGradient else { return all }
    let y = [n, c, h / 2, w / 2]
    all.append(CaseInput("grad_y", Tensor64(random: y, seed: seed &+ 3000)))
    if twice { all.append(CaseInput("grad_y2", Tensor64(random: y, seed: seed &+ 3001))) }
    return all
  }

  func build(_ b: inout CaseBuilder) throws(EngineError) {
    let x = try operand.build(&b)
    var seeds: [(ValueID, String)] = []
    for name in twice ? ["y", "y2"] : ["y"] {
      let y = try b.graph.apply(MaxPool(), [x])[0]
      try b.output(name, y)
      seeds.append((y, "grad_" + name))
    }
    if operand.needsGradient { try b.differentiate(seeds) }
  }

  func forward(_ inputs: [String: Tensor64]) -> [String: Tensor64] {
    let y = Reference.maxPool2x2(operand.activated(inputs))
    return twice ? ["y": y, "y2": y] : ["y": y]
  }

  func reference(_ inputs: [String: Tensor64], _ step: Int) -> [String: Tensor64] {
    var results = forward(inputs)
    guard operand.needsGradient else { return results }
    var upstream = inputs["grad_y"]!
    if twice { upstream = Reference.add(upstream, inputs["grad_y2"]!) }
    let dx = Reference.maxPool2x2Gradient(x: operand.activated(inputs), gradY: upstream)
    results.merge(operand.gradients(inputs, upstream: dx)) { a, _ in a }
    return results
  }

  func accuracy(_ result: String, _ inputs: [String: Tensor64]) -> Accuracy {
    if result == "y" || result == "y2" { return Accuracy(reduction: operand.viewTerms) }
    if view == .plain { return Accuracy(reduction: twice ? 1 : 0) }
    return operand.accuracy(result, upstream: 2, size: 0.3) ?? Accuracy(reduction: 1)
  }
}

/// Two tensors stacked over their channels.
struct ConcatenationCase: CaseDefinition {
  static let operation = "concatenation"

  var n = 1
  var a = 2
  var b = 3
  var h = 5
  var w = 7
  var twice = false

  var label: String { "n\(n)_c\(a)+\(b)_h\(h)_w\(w)" + (twice ? "_twice" : "") }

  func inputs(seed: UInt64) -> [CaseInput] {
    var all = [
      CaseInput("a", Tensor64(random: [n, a, h, w], seed: seed), needsGradient: true),
      CaseInput("b", Tensor64(random: [n, b, h, w], seed: seed &+ 1), needsGradient: true),
      CaseInput("grad_y", Tensor64(random: [n, a + b, h, w], seed: seed &+ 3000)),
    ]
    if twice { all.append(CaseInput("grad_y2", Tensor64(random: [n, a + b, h, w], seed: seed &+ 3001))) }
    return all
  }

  func build(_ builder: inout CaseBuilder) throws(EngineError) {
    var seeds: [(ValueID, String)] = []
    for name in twice ? ["y", "y2"] : ["y"] {
      let y = try builder.graph.apply(Concatenation(), [builder.source("a"), builder.source("b")])[0]
      try builder.output(name, y)
      seeds.append((y, "grad_" + name))
    }
    try builder.differentiate(seeds)
  }

  func forward(_ inputs: [String: Tensor64]) -> [String: Tensor64] {
    let y = Reference.concatChannels([inputs["a"]!, inputs["b"]!])
    return twice ? ["y": y, "y2": y] : ["y": y]
  }

  func reference(_ inputs: [String: Tensor64], _ step: Int) -> [String: Tensor64] {
    var results = forward(inputs)
    var upstream = inputs["grad_y"]!
    if twice { upstream = Reference.add(upstream, inputs["grad_y2"]!) }
    let parts = Reference.splitChannels(upstream, into: [a, b])
    (results["grad_a"], results["grad_b"]) = (parts[0], parts[1])
    return results
  }

  func accuracy(_ result: String, _ inputs: [String: Tensor64]) -> Accuracy {
    Accuracy(reduction: result.hasPrefix("grad_") && twice ? 1 : 0)
  }
}

/// A tensor's channels added up over equal parts.
struct ChannelGroupSumCase: CaseDefinition {
  static let operation = "channel_group_sum"

  var n = 1
  var c = 2
  var groups = 3
  var h = 5
  var w = 7
  var twice = false

  var label: String { "n\(n)_c\(groups)x\(c)_h\(h)_w\(w)" + (twice ? "_twice" : "") }

  func inputs(seed: UInt64) -> [CaseInput] {
    var all = [
      CaseInput("x", Tensor64(random: [n, groups * c, h, w], seed: seed), needsGradient: true),
      CaseInput("grad_y", Tensor64(random: [n, c, h, w], seed: seed &+ 3000)),
    ]
    if twice { all.append(CaseInput("grad_y2", Tensor64(random: [n, c, h, w], seed: seed &+ 3001))) }
    return all
  }

  func build(_ b: inout CaseBuilder) throws(EngineError) {
    var seeds: [(ValueID, String)] = []
    for name in twice ? ["y", "y2"] : ["y"] {
      let y = try b.graph.apply(ChannelGroupSum(groups: groups), [b.source("x")])[0]
      try b.output(name, y)
      seeds.append((y, "grad_" + name))
    }
    try b.differentiate(seeds)
  }

  func forward(_ inputs: [String: Tensor64]) -> [String: Tensor64] {
    let parts = Reference.splitChannels(inputs["x"]!, into: Array(repeating: c, count: groups))
    let y = parts.dropFirst().reduce(parts[0], Reference.add)
    return twice ? ["y": y, "y2": y] : ["y": y]
  }

  func reference(_ inputs: [String: Tensor64], _ step: Int) -> [String: Tensor64] {
    var results = forward(inputs)
    var upstream = inputs["grad_y"]!
    if twice { upstream = Reference.add(upstream, inputs["grad_y2"]!) }
    results["grad_x"] = Reference.concatChannels(Array(repeating: upstream, count: groups))
    return results
  }

  func accuracy(_ result: String, _ inputs: [String: Tensor64]) -> Accuracy {
    Accuracy(reduction: result == "grad_x" ? (twice ? 1 : 0) : groups)
  }
}

/// A tensor through 16 bits and back, exactly as IEEE half precision or bfloat16 has it: ties, subnormals, and what is out of range.
struct StorageCase: CaseDefinition {
  static let operation = "materialize"

  var n = 1
  var c = 2
  var h = 5
  var w = 7
  /// The power of two that values reach to.
  var exponent = 3
  var storage = Storage.float16

  var label: String { "n\(n)_c\(c)_h\(h)_w\(w)_\(storage == .float16 ? "fp16" : "bf16")_reach2^\(exponent)" }

  func inputs(seed: UInt64) -> [CaseInput] {
    var x = Tensor64(random: [n, c, h, w], seed: seed)
    var random = ReferenceRandom(seed: seed)
    for k in 0..<x.count {
      // Half of them halfway between two numbers of 16 bits, or on one; the rest anywhere.
      let reach = Double(sign: .plus, exponent: exponent, significand: 1), steps = storage == .float16 ? 4096.0 : 512
      if Bool.random(using: &random) { x.values[k] = (x.values[k] * steps).rounded() / steps }
      x.values[k] *= reach
    }
    let halves = [0, -0.0, 65504, 65519, 65520, 70000, -1e30, 6.1e-5, 5.96e-8, 2.98e-8, -2.9e-8, 1e-38]
    // Ties to an even and an odd neighbour, and the largest.
    let upper = [0, -0.0, 257, 259, -1.00390625, 1.01171875, 3.3895313892515355e38, -1e30, 65504, 1e-37, 1.5, -70000]
    for (k, value) in (storage == .float16 ? halves : upper).enumerated() where k < x.count { x.values[k] = value }
    return [CaseInput("x", x)]
  }

  func build(_ b: inout CaseBuilder) throws(EngineError) {
    let half = try b.graph.apply(Materialize(), [b.source("x")])[0]
    b.graph.store(half, as: storage)
    try b.output("y", half)
  }

  func forward(_ inputs: [String: Tensor64]) -> [String: Tensor64] {
    ["y": storage == .float16 ? inputs["x"]!.roundedToHalf : inputs["x"]!.roundedToBF16]
  }

  func reference(_ inputs: [String: Tensor64], _ step: Int) -> [String: Tensor64] { forward(inputs) }
  func accuracy(_ result: String, _ inputs: [String: Tensor64]) -> Accuracy { Accuracy(reduction: 0) }
}
