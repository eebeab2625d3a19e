import Engine

/// A convolution of one or two operands, alone or with a batch norm after it, and all of its gradients.
struct ConvolutionCase: CaseDefinition {
  static let operation = "convolution"

  var n = 1
  /// Channels of each source, and how each is read.
  var channels: [Int] = [3]
  var views: [Operand.View] = [.plain]
  var h = 8
  var w = 8
  var kernel = 3
  /// Output channels and dilation of each branch.
  var branches: [(channels: Int, dilation: Int)] = [(8, 1)]
  /// Nil keeps the plane's size.
  var padding: Int? = nil
  var bias = true
  /// A training batch norm that reads the convolution's output, with or without ReLU.
  var tail: Norm? = nil
  /// Applied twice to the same inputs, so that gradients add up.
  var twice = false
  /// Small whole numbers, whose sums every arithmetic has exactly: the tail's input may be in 16 bits, with the same gradients.
  var isWhole = false

  var outChannels: Int { branches.reduce(0) { $0 + $1.channels } }
  private var inChannels: Int { channels.reduce(0, +) }
  private func padding(_ dilation: Int) -> Int { padding ?? dilation * (kernel - 1) / 2 }
  private var outPlane: (h: Int, w: Int) {
    let shrink = branches[0].dilation * (kernel - 1) - 2 * padding(branches[0].dilation)
    return (h - shrink, w - shrink)
  }

  var label: String {
    var text = "n\(n)_c\(channels.map(String.init).joined(separator: "+"))"
    text += "_o\(branches.map { String($0.channels) }.joined(separator: "+"))_h\(h)_w\(w)_k\(kernel)"
    text += "_d\(branches.map { String($0.dilation) }.joined(separator: "+"))"
    if let padding { text += "_p\(padding)" }
    if views.contains(where: { $0 != .plain }) { text += "_view-" + views.map(\.rawValue).joined(separator: "+") }
    if !bias { text += "_nobias" }
    if let tail { text += "_then-" + tail.label }
    if twice { text += "_twice" }
    if isWhole { text += "_whole" }
    return text
  }

  private var operands: [Operand] {
    channels.indices.map { Operand(name: $0 == 0 ? "x" : "x1", shape: [n, channels[$0], h, w], view: views[$0]) }
  }

  private var shape: ConvolutionShape {
    ConvolutionShape(
      kernel: kernel,
      branches: branches.map { .init(channels: $0.channels, dilation: $0.dilation, padding: padding($0.dilation)) })
  }

  func inputs(seed: UInt64) -> [CaseInput] {
    var all: [CaseInput] = []
    for (index, operand) in operands.enumerated() { all += operand.inputs(seed: seed &+ UInt64(100 * index)) }
    let reach = (3 / Double(inChannels * kernel * kernel)).squareRoot()
    let weights = Tensor64(random: [outChannels, inChannels, kernel, kernel], seed: seed &+ 1000, in: -reach...reach)
    all.append(CaseInput("weight", weights, .slab(.parameters), needsGradient: true))
    if bias {
      all.append(
        CaseInput("bias", Tensor64(random: [outChannels], seed: seed &+ 1001), .slab(.parameters), needsGradient: true))
    }
    if isWhole {
      all = all.map { input in
        let largest = input.value.values.reduce(0) { max($0, abs($1)) }
        let whole = Tensor64(input.value.shape, input.value.values.map { (2 * $0 / largest).rounded() })
        return CaseInput(input.name, whole, input.home, needsGradient: input.needsGradient)
      }
    }
    if let tail { all += tail.inputs(convolve(byName(all)), seed: seed &+ 2000) }
    let y = [n, outChannels, outPlane.h, outPlane.w]
    all.append(CaseInput("grad_y", Tensor64(random: y, seed: seed &+ 3000)))
    if twice { all.append(CaseInput("grad_y2", Tensor64(random: y, seed: seed &+ 3001))) }
    return all
  }

  func build(_ b: inout CaseBuilder) throws(EngineError) {
    var values: [ValueID] = []
    for operand in operands { values.append(try operand.build(&b)) }
    values.append(try b.source("weight"))
    if bias { values.append(try b.source("bias")) }
    let operation = Convolution(shape, sources: channels.count, hasBias: bias)
    var seeds: [(ValueID, String)] = []
    for name in twice ? ["y", "y2"] : ["y"] {
      var y = try b.graph.apply(operation, values)[0]
      if isWhole { b.graph.store(y, as: b.resultStorage) }
      if let tail { y = try tail.build(&b, y) }
      try b.output(name, y)
      seeds.append((y, "grad_" + name))
    }
    try b.differentiate(seeds)
  }

  /// The branches of the reference, one convolution each, stacked.
  private func convolve(_ inputs: [String: Tensor64]) -> Tensor64 {
    let x = Reference.concatChannels(operands.map { $0.activated(inputs) })
    return Reference.concatChannels(
      pieces(inputs).map {
        Reference.conv2d(x, weight: $0.weight, bias: $0.bias, padding: $0.padding, dilation: $0.dilation)
      })
  }

  private func pieces(
    _ inputs: [String: Tensor64]
  ) -> [(weight: Tensor64, bias: Tensor64?, padding: Int, dilation: Int)] {
    let weight = inputs["weight"]!
    let row = inChannels * kernel * kernel
    var first = 0
    return branches.map { branch in
      defer { first += branch.channels }
      let own = first..<first + branch.channels
      return (
        Tensor64(
          [branch.channels, inChannels, kernel, kernel],
          Array(weight.values[own.lowerBound * row..<own.upperBound * row])),
        inputs["bias"].map { Tensor64([branch.channels], Array($0.values[own])) }, padding(branch.dilation),
        branch.dilation
      )
    }
  }

  func forward(_ inputs: [String: Tensor64]) -> [String: Tensor64] {
    let z = convolve(inputs)
    let y = tail?.activated(z, inputs) ?? z
    return twice ? ["y": y, "y2": y] : ["y": y]
  }

  func reference(_ inputs: [String: Tensor64], _ step: Int) -> [String: Tensor64] {
    let z = convolve(inputs)
    let y = tail?.activated(z, inputs) ?? z
    var results = twice ? ["y": y, "y2": y] : ["y": y]
    var dz = inputs["grad_y"]!
    if twice { dz = Reference.add(dz, inputs["grad_y2"]!) }
    if let tail {
      // The sum of both upstream gradients: a batch norm's gradient is linear in its own.
      let (gradient, parameters) = tail.gradients(z, inputs, upstream: dz)
      dz = gradient
      results.merge(parameters) { a, _ in a }
    } else if bias {
      results["grad_bias"] = Reference.biasGradient(gradY: dz)
    }
    let x = Reference.concatChannels(operands.map { $0.activated(inputs) })
    var dx = Tensor64(zeros: x.shape)
    var dw: [Double] = []
    let parts = Reference.splitChannels(dz, into: branches.map(\.channels))
    for (piece, part) in zip(pieces(inputs), parts) {
      dx = Reference.add(
        dx,
        Reference.conv2dGradientInput(
          gradY: part, weight: piece.weight, inputShape: x.shape, padding: piece.padding, dilation: piece.dilation))
      dw +=
        Reference.conv2dGradientWeight(
          gradY: part, x: x, weightShape: piece.weight.shape, padding: piece.padding, dilation: piece.dilation
        ).values
    }
    results["grad_weight"] = Tensor64(inputs["weight"]!.shape, dw)
    for (operand, part) in zip(operands, Reference.splitChannels(dx, into: channels)) {
      results.merge(operand.gradients(inputs, upstream: part)) { a, _ in a }
    }
    return results
  }

  func accuracy(_ result: String, _ inputs: [String: Tensor64]) -> Accuracy {
    let accuracy = accuracyOfSums(result, inputs)
    if result == "y" || result == "y2" { return accuracy.after(products: 1) }
    // A bias' gradient has no product. Behind a batch norm gradients come from the convolution's rounded output.
    if tail == nil { return accuracy.after(products: result == "grad_bias" ? 0 : 1) }
    return accuracy.after(products: 2, jumps: tail?.relu ?? false)
  }

  private func accuracyOfSums(_ result: String, _ inputs: [String: Tensor64]) -> Accuracy {
    let taps = kernel * kernel
    let outputs = n * outPlane.h * outPlane.w
    let upstream = twice ? 2 : 1
    // A batch norm after the convolution makes every gradient a sum over its channel's elements as well.
    let through = tail == nil ? 0 : outputs + ErrorBound.functions
    let gradient = inputs["grad_y"]!.rootMeanSquare * (tail == nil ? 1 : 2)
    let weight = inputs["weight"]!.rootMeanSquare
    switch result {
    case "y", "y2":
      let terms = inChannels * taps
      let views = operands.map(\.viewTerms).max() ?? 0
      return Accuracy(reduction: terms + through + views, magnitude: weight * Double(terms).squareRoot() / 2)
    case "grad_weight":
      return Accuracy(
        reduction: upstream * outputs, condition: tail == nil ? 1 : 2,
        magnitude: gradient * Double(outputs).squareRoot() / 2)
    case "grad_bias", "grad_norm.gamma", "grad_norm.beta":
      return Accuracy(reduction: upstream * outputs, magnitude: gradient * Double(outputs).squareRoot())
    default:
      let terms = outChannels * taps
      for operand in operands {
        if let accuracy = operand.accuracy(
          result, upstream: upstream * terms + through, size: gradient * weight * Double(terms).squareRoot())
        {
          return accuracy
        }
      }
      return Accuracy(reduction: terms)
    }
  }
}

/// The transposed convolution (kernel 2, stride 2) of an operand, and its gradients.
struct TransposedConvolutionCase: CaseDefinition {
  static let operation = "transposed_convolution"

  var n = 1
  var c = 4
  var o = 3
  var h = 5
  var w = 7
  var view: Operand.View = .plain
  var twice = false

  var label: String {
    "n\(n)_c\(c)_o\(o)_h\(h)_w\(w)" + (view == .plain ? "" : "_view-\(view.rawValue)") + (twice ? "_twice" : "")
  }

  private var operand: Operand { Operand(name: "x", shape: [n, c, h, w], view: view) }

  func inputs(seed: UInt64) -> [CaseInput] {
    let reach = (3 / Double(c)).squareRoot()
    var all = operand.inputs(seed: seed)
    all += [
      CaseInput(
        "weight", Tensor64(random: [c, o, 2, 2], seed: seed &+ 1000, in: -reach...reach), .slab(.parameters),
        needsGradient: true),
      CaseInput("bias", Tensor64(random: [o], seed: seed &+ 1001), .slab(.parameters), needsGradient: true),
      CaseInput("grad_y", Tensor64(random: [n, o, 2 * h, 2 * w], seed: seed &+ 3000)),
    ]
    if twice { all.append(CaseInput("grad_y2", Tensor64(random: [n, o, 2 * h, 2 * w], seed: seed &+ 3001))) }
    return all
  }

  func build(_ b: inout CaseBuilder) throws(EngineError) {
    let values = [try operand.build(&b), try b.source("weight"), try b.source("bias")]
    var seeds: [(ValueID, String)] = []
    for name in twice ? ["y", "y2"] : ["y"] {
      let y = try b.graph.apply(TransposedConvolution(), values)[0]
      try b.output(name, y)
      seeds.append((y, "grad_" + name))
    }
    try b.differentiate(seeds)
  }

  func forward(_ inputs: [String: Tensor64]) -> [String: Tensor64] {
    let y = Reference.convTranspose2x2(operand.activated(inputs), weight: inputs["weight"]!, bias: inputs["bias"]!)
    return twice ? ["y": y, "y2": y] : ["y": y]
  }

  func reference(_ inputs: [String: Tensor64], _ step: Int) -> [String: Tensor64] {
    var results = forward(inputs)
    var dy = inputs["grad_y"]!
    if twice { dy = Reference.add(dy, inputs["grad_y2"]!) }
    results["grad_weight"] = Reference.convTranspose2x2GradientWeight(gradY: dy, x: operand.activated(inputs))
    results["grad_bias"] = Reference.biasGradient(gradY: dy)
    let dx = Reference.convTranspose2x2GradientInput(gradY: dy, weight: inputs["weight"]!)
    results.merge(operand.gradients(inputs, upstream: dx)) { a, _ in a }
    return results
  }

  func accuracy(_ result: String, _ inputs: [String: Tensor64]) -> Accuracy {
    accuracyOfSums(result, inputs).after(products: result == "grad_bias" ? 0 : 1)
  }

  private func accuracyOfSums(_ result: String, _ inputs: [String: Tensor64]) -> Accuracy {
    let upstream = twice ? 2 : 1
    let gradient = inputs["grad_y"]!.rootMeanSquare
    let weight = inputs["weight"]!.rootMeanSquare
    switch result {
    case "y", "y2": return Accuracy(reduction: c, magnitude: weight * Double(c).squareRoot() / 2)
    case "grad_weight":
      return Accuracy(reduction: upstream * n * h * w, magnitude: gradient * Double(n * h * w).squareRoot() / 2)
    case "grad_bias":
      return Accuracy(reduction: 4 * upstream * n * h * w, magnitude: gradient * Double(4 * n * h * w).squareRoot())
    default:
      return operand.accuracy(
        result, upstream: upstream * 4 * o, size: gradient * weight * Double(4 * o).squareRoot())
        ?? Accuracy(reduction: 1)
    }
  }
}
