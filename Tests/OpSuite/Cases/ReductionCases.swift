import Engine

/// The loss (with its two parts) and its gradient.
struct BCEDiceCase: CaseDefinition {
  static let operation = "bce_dice_loss"

  enum Target: String, Sendable { case mask, soft, empty, full }

  var n = 1
  var h = 9
  var w = 7
  var weight: Float = 0.8
  var positive: Float = 25
  var smooth: Float = 1e-6
  var target = Target.mask
  /// Largest |logit|.
  var reach = 6.0

  var label: String {
    "n\(n)_h\(h)_w\(w)_bce\(weight)_pos\(positive)_smooth\(smooth)_\(target.rawValue)"
      + (reach == 6 ? "" : "_reach\(Int(reach))")
  }

  func inputs(seed: UInt64) -> [CaseInput] {
    let shape = [n, 1, h, w]
    var mask = Tensor64(random: shape, seed: seed &+ 1, in: 0...1)
    switch target {
    case .mask: mask.values = mask.values.map { $0 < 0.2 ? 1 : 0 }
    case .soft: break
    case .empty: mask = Tensor64(zeros: shape)
    case .full: mask = Tensor64(shape, repeating: 1)
    }
    return [
      CaseInput("logits", Tensor64(random: shape, seed: seed, in: -reach...reach), needsGradient: true),
      CaseInput("target", mask),
      // A loss is where differentiation starts; the engine doesn't read this.
      CaseInput("grad_loss", Tensor64([4], [1.0, 0, 0, 0])),
    ]
  }

  private var attributes: Reference.BCEDiceAttributes {
    Reference.BCEDiceAttributes(bceWeight: Double(weight), posWeight: Double(positive), diceSmooth: Double(smooth))
  }

  func build(_ b: inout CaseBuilder) throws(EngineError) {
    let operation = BCEDiceLoss(bceWeight: weight, positiveWeight: positive, smooth: smooth)
    let loss = try b.graph.apply(operation, [b.source("logits"), b.source("target")])[0]
    try b.output("loss", loss)
    try b.differentiate([(loss, "grad_loss")])
  }

  /// Loss, cross-entropy, Dice, 0.
  func forward(_ inputs: [String: Tensor64]) -> [String: Tensor64] {
    func loss(_ weight: Double) -> Double {
      var attributes = attributes
      attributes.bceWeight = weight
      return Reference.bceDice(logits: inputs["logits"]!, target: inputs["target"]!, attributes)
    }
    return ["loss": Tensor64([4], [loss(Double(weight)), loss(1), 1 - loss(0), 0])]
  }

  func reference(_ inputs: [String: Tensor64], _ step: Int) -> [String: Tensor64] {
    var results = forward(inputs)
    results["grad_logits"] = Reference.bceDiceGradient(logits: inputs["logits"]!, target: inputs["target"]!, attributes)
    return results
  }

  func accuracy(_ result: String, _ inputs: [String: Tensor64]) -> Accuracy {
    Accuracy(reduction: ErrorBound.functions + n * h * w)
  }
}

/// Several Adam steps, each with its own gradient; the parameter and both moments after each.
struct AdamCase: CaseDefinition {
  static let operation = "adam"

  var count = 100
  var steps = 3
  var rate = 0.1
  var decay = 0.0
  var gradientScale = 1.0
  var beta1: Float = 0.9
  var beta2: Float = 0.999
  var epsilon: Float = 1e-8

  var label: String {
    "count\(count)_steps\(steps)_lr\(rate)_decay\(decay)_scale\(gradientScale)_beta\(beta1)+\(beta2)_eps\(epsilon)"
  }

  func inputs(seed: UInt64) -> [CaseInput] {
    let operation = Adam(beta1: beta1, beta2: beta2, epsilon: epsilon)
    let gradients = (0..<steps).map { step in
      var g = Tensor64(random: [count], seed: seed &+ UInt64(10 + step))
      // An element that never has a gradient.
      if count > 2 { g.values[count - 1] = 0 }
      return g
    }
    let controls = (1...steps).map {
      Tensor64(
        [4], operation.controls(number: $0, learningRate: rate, weightDecay: decay, gradientScale: gradientScale))
    }
    return [
      CaseInput("param", Tensor64(random: [count], seed: seed), .slab(.parameters)),
      CaseInput("grad", gradients[0], .slab(.gradients), laterSteps: Array(gradients.dropFirst())),
      CaseInput("first_moment", Tensor64(zeros: [count]), .slab(.firstMoment)),
      CaseInput("second_moment", Tensor64(zeros: [count]), .slab(.secondMoment)),
      CaseInput("controls", controls[0], laterSteps: Array(controls.dropFirst())),
    ]
  }

  func build(_ b: inout CaseBuilder) throws(EngineError) {
    let names = ["param", "first_moment", "second_moment"]
    var updates: [ValueID] = []
    for name in names { updates.append(try b.source(name)) }
    b.graph.phase = .update
    try b.graph.apply(
      Adam(beta1: beta1, beta2: beta2, epsilon: epsilon), [b.source("grad"), b.source("controls")], updates: updates)
    for (name, value) in zip(names, updates) { try b.output(name, value) }
  }

  func forward(_ inputs: [String: Tensor64]) -> [String: Tensor64] { [:] }

  func reference(_ inputs: [String: Tensor64], _ step: Int) -> [String: Tensor64] {
    func written(_ value: Float) -> Double { (Double(value) * 1e7).rounded() / 1e7 }
    let attributes = Reference.AdamAttributes(
      learningRate: rate, beta1: written(beta1), beta2: written(beta2), eps: Double(epsilon))
    var parameter = inputs["param"]!
    var state = Reference.AdamState(shape: parameter.shape)
    for number in 0...step {
      var gradient = inputs[number == 0 ? "grad" : "grad@\(number)"]!
      gradient.values = gradient.values.map { $0 * gradientScale }
      parameter.values = parameter.values.map { $0 * (1 - rate * decay) }
      Reference.adamStep(parameter: &parameter, gradient: gradient, state: &state, attributes)
    }
    return ["param": parameter, "first_moment": state.firstMoment, "second_moment": state.secondMoment]
  }

  func accuracy(_ result: String, _ inputs: [String: Tensor64]) -> Accuracy {
    Accuracy(reduction: ErrorBound.functions * steps)
  }
}

/// Several steps of a moving average, each over other parameters and at its own rate.
struct MovingAverageCase: CaseDefinition {
  static let operation = "moving_average"

  var count = 100
  var steps = 3
  var decay = 0.9

  var label: String { "count\(count)_steps\(steps)_decay\(decay)" }

  func inputs(seed: UInt64) -> [CaseInput] {
    let parameters = (0..<steps).map { Tensor64(random: [count], seed: seed &+ UInt64(10 + $0)) }
    let rates = (1...steps).map { Tensor64([1], [MovingAverage.rate(number: $0, decay: decay)]) }
    return [
      CaseInput("average", Tensor64(random: [count], seed: seed), .slab(.averaged)),
      CaseInput("param", parameters[0], .slab(.parameters), laterSteps: Array(parameters.dropFirst())),
      CaseInput("controls", rates[0], laterSteps: Array(rates.dropFirst())),
    ]
  }

  func build(_ b: inout CaseBuilder) throws(EngineError) {
    let average = try b.source("average")
    b.graph.phase = .update
    try b.graph.apply(MovingAverage(), [b.source("param"), b.source("controls")], updates: [average])
    try b.output("average", average)
  }

  func forward(_ inputs: [String: Tensor64]) -> [String: Tensor64] { [:] }

  func reference(_ inputs: [String: Tensor64], _ step: Int) -> [String: Tensor64] {
    var average = inputs["average"]!
    for number in 0...step {
      let x = inputs[number == 0 ? "param" : "param@\(number)"]!
      let kept = min(decay, Double(number + 2) / Double(number + 11))
      average.values = zip(average.values, x.values).map { kept * $0 + (1 - kept) * $1 }
    }
    return ["average": average]
  }

  func accuracy(_ result: String, _ inputs: [String: Tensor64]) -> Accuracy { Accuracy(reduction: 4 * steps) }
}

/// Sums of each channel's elements over images and pixels.
struct ChannelSumCase: CaseDefinition {
  static let operation = "channel_sum"

  var n = 1
  var c = 3
  var h = 9
  var w = 7

  var label: String { "n\(n)_c\(c)_h\(h)_w\(w)" }

  func inputs(seed: UInt64) -> [CaseInput] { [CaseInput("x", Tensor64(random: [n, c, h, w], seed: seed))] }

  func build(_ b: inout CaseBuilder) throws(EngineError) {
    try b.output("sum", b.graph.apply(ChannelSum(), [b.source("x")])[0])
  }

  func forward(_ inputs: [String: Tensor64]) -> [String: Tensor64] {
    ["sum": Reference.biasGradient(gradY: inputs["x"]!)]
  }
  func reference(_ inputs: [String: Tensor64], _ step: Int) -> [String: Tensor64] { forward(inputs) }

  func accuracy(_ result: String, _ inputs: [String: Tensor64]) -> Accuracy {
    Accuracy(reduction: n * h * w, magnitude: inputs["x"]!.rootMeanSquare * Double(n * h * w).squareRoot())
  }
}

/// The sum of all squares.
struct SumOfSquaresCase: CaseDefinition {
  static let operation = "sum_of_squares"

  var count = 100

  var label: String { "count\(count)" }

  func inputs(seed: UInt64) -> [CaseInput] { [CaseInput("x", Tensor64(random: [count], seed: seed))] }

  func build(_ b: inout CaseBuilder) throws(EngineError) {
    try b.output("sum", b.graph.apply(SumOfSquares(), [b.source("x")])[0])
  }

  func forward(_ inputs: [String: Tensor64]) -> [String: Tensor64] {
    ["sum": Tensor64([1], [Reference.sumOfSquares(inputs["x"]!)])]
  }
  func reference(_ inputs: [String: Tensor64], _ step: Int) -> [String: Tensor64] { forward(inputs) }
  func accuracy(_ result: String, _ inputs: [String: Tensor64]) -> Accuracy { Accuracy(reduction: count) }
}
