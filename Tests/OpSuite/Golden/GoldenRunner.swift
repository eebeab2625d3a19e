public import Engine

/// Runs golden files on backends: the file's tensors through the engine, compared at the file's tolerance.
public struct GoldenRunner {
  public init() {}

  /// What became of a file on a device.
  public struct Result: Sendable, CustomStringConvertible {
    public let name: String
    public let operation: String
    public let device: String
    public var comparisons: [TensorComparison] = []
    /// What else went wrong, one sentence each.
    public var problems: [String] = []
    public var elapsedSeconds = 0.0

    public var passed: Bool { problems.isEmpty && !comparisons.isEmpty && comparisons.allSatisfy(\.passed) }
    /// The comparison nearest to, or furthest beyond, its bound.
    public var worst: TensorComparison? { comparisons.max { $0.error / $0.bound < $1.error / $1.bound } }

    public var description: String {
      let failures = problems + comparisons.filter { !$0.passed }.map(\.description)
      return (["\(name) (\(operation)) on \(device): \(passed ? "passed" : "failed")"] + failures.map { "  \($0)" })
        .joined(separator: "\n")
    }
  }

  /// Never throws: an error, a missing tensor and an operation that the engine lacks are failures.
  public func run(_ golden: GoldenCase, on backend: any Backend) -> Result {
    var result = Result(name: golden.name, operation: golden.operation, device: backend.name)
    let start = monotonicSeconds()
    do {
      try golden.validate()
      if golden.operation == "variable_unet_training" {
        result.comparisons = try GoldenNetwork.run(golden, on: backend)
        let missing = Set(golden.expectedNames).subtracting(result.comparisons.map(\.name)).sorted()
        if !missing.isEmpty { result.problems.append("not computed: \(missing)") }
        note(&result, backend)
        result.elapsedSeconds = monotonicSeconds() - start
        return result
      }
      let got = try results(golden, on: backend, &result.problems)
      for name in golden.expectedNames {
        guard let tensor = got[name] else {
          result.problems.append("\(name) was not computed")
          continue
        }
        result.comparisons.append(try golden.compare(name, tensor))
      }
      note(&result, backend)
    } catch {
      result.problems.append("\(error)")
    }
    result.elapsedSeconds = monotonicSeconds() - start
    return result
  }

  /// A file's tolerance is fp32's.
  private func note(_ result: inout Result, _ backend: any Backend) {
    let arithmetic = backend.traits.arithmetic
    guard arithmetic != .fp32, !result.comparisons.allSatisfy(\.passed) else { return }
    result.problems.append(
      "its tolerance is for fp32, and the device computes in \(arithmetic.rawValue): check it with --precision fp32")
  }

  private func results(
    _ golden: GoldenCase, on backend: any Backend, _ problems: inout [String]
  ) throws -> [String: Tensor64] {
    /// A case's definition with the file's tensors: outputs of each step, renamed and shaped as in the file.
    func run(
      _ definition: any CaseDefinition, _ inputs: [CaseInput], _ rename: (String, Int) -> String = { name, _ in name }
    ) throws -> [String: Tensor64] {
      let (steps, _, damage) = try CaseRunner.outputs(of: definition, inputs, on: backend)
      problems += damage
      var named: [String: Tensor64] = [:]
      for (step, outputs) in steps.enumerated() {
        for (name, values) in outputs {
          let name = rename(name, step)
          let shape = golden.tensors[name]?.shape ?? []
          named[name] = Tensor64(shape.reduce(1, *) == values.count ? shape : [values.count], values)
        }
      }
      return named
    }

    switch golden.operation {
    case "conv2d": return try convolution(golden, run: run)
    case "conv_transpose2d":
      try require(golden, ["stride": 2, "kernel": 2])
      let x = try golden.tensor("x")
      let weight = try golden.tensor("weight")
      let (n, c, h, w) = x.nchw
      let definition = TransposedConvolutionCase(n: n, c: c, o: weight.shape[1], h: h, w: w)
      let bias = golden.tensors["bias"] ?? Tensor64(zeros: [weight.shape[1]])
      return try run(
        definition,
        [
          CaseInput("x", x, needsGradient: true), CaseInput("weight", weight, .slab(.parameters), needsGradient: true),
          CaseInput("bias", bias, .slab(.parameters), needsGradient: true),
          CaseInput("grad_y", try golden.tensor("grad_y")),
        ])
    case "batch_norm": return try batchNorm(golden, run: run)
    case "max_pool2d":
      try require(golden, ["stride": 2, "kernel": 2])
      let x = try golden.tensor("x")
      let (n, c, h, w) = x.nchw
      return try run(
        MaxPoolCase(n: n, c: c, h: h, w: w),
        [CaseInput("x", x, needsGradient: true), CaseInput("grad_y", try golden.tensor("grad_y"))])
    case "relu":
      let x = try golden.tensor("x").asMap
      let (n, c, h, w) = x.nchw
      return try run(
        ReLUCase(n: n, c: c, h: h, w: w),
        [CaseInput("x", x, needsGradient: true), CaseInput("grad_y", try golden.tensor("grad_y").asMap)])
    case "concat":
      try require(golden, ["axis": 1])
      let (a, b) = (try golden.tensor("a"), try golden.tensor("b"))
      let (n, c, h, w) = a.nchw
      return try run(
        ConcatenationCase(n: n, a: c, b: b.nchw.c, h: h, w: w),
        [
          CaseInput("a", a, needsGradient: true), CaseInput("b", b, needsGradient: true),
          CaseInput("grad_y", try golden.tensor("grad_y")),
        ])
    case "bce_dice_loss":
      let attributes = try golden.lossAttributes()
      var definition = BCEDiceCase()
      definition.weight = Float(attributes.bceWeight)
      definition.positive = Float(attributes.posWeight)
      definition.smooth = Float(attributes.diceSmooth)
      var got = try run(
        definition,
        [
          CaseInput("logits", try golden.tensor("logits").asMap, needsGradient: true),
          CaseInput("target", try golden.tensor("target").asMap),
          CaseInput("grad_loss", Tensor64([4], [1.0, 0, 0, 0])),
        ])
      // The engine gives the loss with its parts; the file, the loss.
      if let loss = got["loss"] { got["loss"] = Tensor64(try golden.tensor("loss").shape, [loss.values[0]]) }
      return got
    case "adam": return try adam(golden, run: run)
    default:
      throw EngineError.unsupported(operation: golden.operation, problem: "the engine has no such operation")
    }
  }

  private typealias Run = (any CaseDefinition, [CaseInput], (String, Int) -> String) throws -> [String: Tensor64]

  /// The engine's convolution has stride 1. One of stride s computes every s-th of its outputs: the upstream gradient is
  /// spread with zeros between, and the outputs are picked, both on the host.
  private func convolution(_ golden: GoldenCase, run: Run) throws -> [String: Tensor64] {
    let (x, weight, gradY) = (try golden.tensor("x"), try golden.tensor("weight"), try golden.tensor("grad_y"))
    let (stride, padding, dilation) = (
      try golden.integer("stride"), try golden.integer("padding"), try golden.integer("dilation")
    )
    let (n, c, h, w) = x.nchw
    let kernel = weight.shape[2]
    guard weight.shape[3] == kernel else {
      throw EngineError.unsupported(
        operation: golden.operation, problem: "the engine's kernels are square, not \(weight.shape)")
    }
    var definition = ConvolutionCase(
      n: n, channels: [c], h: h, w: w, kernel: kernel, branches: [(weight.shape[0], dilation)], padding: padding)
    definition.bias = golden.tensors["bias"] != nil
    let shrink = dilation * (kernel - 1) - 2 * padding
    let (oh, ow) = (h - shrink, w - shrink)
    var spread = Tensor64(zeros: [n, weight.shape[0], max(1, oh), max(1, ow)])
    let (sn, sc, sh, sw) = gradY.nchw
    guard (sh - 1) * stride < oh, (sw - 1) * stride < ow, sn == n, sc == weight.shape[0] else {
      throw EngineError.shape(
        operation: "convolution", problem: "a gradient \(gradY.shape) does not fit an input \(x.shape)")
    }
    /// Offsets of each output in the strided and in the full plane.
    func forEachOutput(_ body: (_ strided: Int, _ full: Int) -> Void) {
      for plane in 0..<n * sc {
        for i in 0..<sh {
          for j in 0..<sw { body((plane * sh + i) * sw + j, (plane * oh + i * stride) * ow + j * stride) }
        }
      }
    }
    forEachOutput { spread.values[$1] = gradY.values[$0] }
    var inputs = [
      CaseInput("x", x, needsGradient: true), CaseInput("weight", weight, .slab(.parameters), needsGradient: true),
      CaseInput("grad_y", spread),
    ]
    if let bias = golden.tensors["bias"] {
      inputs.append(CaseInput("bias", bias, .slab(.parameters), needsGradient: true))
    }
    var got = try run(definition, inputs) { name, _ in name }
    if stride > 1, let full = got["y"] {
      var y = Tensor64(zeros: gradY.shape)
      forEachOutput { y.values[$0] = full.values[$1] }
      got["y"] = y
    }
    return got
  }

  private func batchNorm(_ golden: GoldenCase, run: Run) throws -> [String: Tensor64] {
    let x = try golden.tensor("x")
    let (n, c, h, w) = x.nchw
    var definition = BatchNormCase(n: n, c: c, h: h, w: w)
    definition.epsilon = try golden.number("eps")
    definition.momentum = try golden.number("momentum")
    func inputs(needsGradient: Bool) throws -> [CaseInput] {
      [
        CaseInput("x", x, needsGradient: needsGradient),
        CaseInput("norm.gamma", try golden.tensor("weight"), .slab(.parameters), needsGradient: needsGradient),
        CaseInput("norm.beta", try golden.tensor("bias"), .slab(.parameters), needsGradient: needsGradient),
        CaseInput("norm.running_mean", try golden.tensor("running_mean"), .slab(.running)),
        CaseInput("norm.running_var", try golden.tensor("running_var"), .slab(.running)),
      ]
    }
    let names = [
      "grad_norm.gamma": "grad_weight", "grad_norm.beta": "grad_bias", "running_mean": "running_mean_out",
      "running_var": "running_var_out",
    ]
    var got = try run(definition, inputs(needsGradient: true) + [CaseInput("grad_y", try golden.tensor("grad_y"))]) {
      name, _ in names[name] ?? name
    }
    definition.mode = .inference
    got.merge(try run(definition, inputs(needsGradient: false)) { _, _ in "y_eval" }) { a, _ in a }
    return got
  }

  private func adam(_ golden: GoldenCase, run: Run) throws -> [String: Tensor64] {
    func flat(_ name: String) throws -> Tensor64 {
      let tensor = try golden.tensor(name)
      return Tensor64([tensor.count], tensor.values)
    }
    var definition = AdamCase()
    definition.steps = try golden.integer("steps")
    definition.rate = try golden.number("lr")
    definition.beta1 = Float(try golden.number("beta1"))
    definition.beta2 = Float(try golden.number("beta2"))
    definition.epsilon = Float(try golden.number("eps"))
    let operation = Adam(beta1: definition.beta1, beta2: definition.beta2, epsilon: definition.epsilon)
    let parameter = try flat("param")
    let gradients = try (0..<definition.steps).map { try flat("grad_\($0)") }
    let controls = (0..<definition.steps).map {
      Tensor64([4], operation.controls(number: $0 + 1, learningRate: definition.rate))
    }
    guard let gradient = gradients.first else {
      throw EngineError.unsupported(operation: golden.operation, problem: "no steps")
    }
    return try run(
      definition,
      [
        CaseInput("param", parameter, .slab(.parameters)),
        CaseInput("grad", gradient, .slab(.gradients), laterSteps: Array(gradients.dropFirst())),
        CaseInput("first_moment", Tensor64(zeros: parameter.shape), .slab(.firstMoment)),
        CaseInput("second_moment", Tensor64(zeros: parameter.shape), .slab(.secondMoment)),
        CaseInput("controls", controls[0], laterSteps: Array(controls.dropFirst())),
      ]
    ) { name, step in "\(name)_\(step)" }
  }

  private func require(_ golden: GoldenCase, _ attributes: [String: Int]) throws {
    for (key, value) in attributes {
      let found = try golden.integer(key)
      guard found == value else {
        throw EngineError.unsupported(operation: golden.operation, problem: "\(key) should be \(value), not \(found)")
      }
    }
  }
}

extension Tensor64 {
  /// The same elements as a feature map, whatever the shape was.
  fileprivate var asMap: Tensor64 { shape.count == 4 ? self : Tensor64([1, 1, 1, count], values) }
}
