import Randomness

/// One training step of a tiny network on a device against the CPU path: loss and every gradient. And a loop as long as those of large
/// planes.
enum SelfCheck {
  /// - Throws: the device's error, or `.request` saying by how much it is wrong.
  static func run(_ backend: any Backend) throws(EngineError) {
    let turns = 100_000, done = try count(turns, on: backend)
    guard done == Float(turns) else {
      throw .request(
        "its self-check is off: it ended a loop of \(turns) turns after \(done.isFinite ? "\(Int(done))" : "\(done)"), without a word"
      )
    }
    // To enough channels for the products that four warps make together, where there are those.
    let channels = backend.traits.matrixForm?.multipliesTogether == true ? 40 : 8
    let ours = try gradients(backend, channels: channels)
    let theirs = try gradients(CPUBackend(threads: 1), channels: channels)
    var difference = 0.0
    var norm = 0.0
    for (a, b) in zip(ours, theirs) {
      difference += Double(a - b) * Double(a - b)
      norm += Double(b) * Double(b)
    }
    let error = (difference / max(norm, 1e-30)).squareRoot()
    // A ReLU whose input is within an operand's rounding of zero may fall to its other side.
    guard error < max(1e-4, 40 * backend.traits.arithmetic.unitRoundoff) else {
      throw .request("its self-check is off: a gradient differs from the CPU path's by \(error) (relative)")
    }
  }

  /// What a work-item counts to in so many turns of a loop. Mesa's llvmpipe ends one after 65,535 (docs/devices.md).
  private static func count(_ turns: Int, on backend: any Backend) throws(EngineError) -> Float {
    var graph = Graph()
    let zero = graph.source("zero", .vector(1), .input)
    let counted = try graph.apply(RoofArithmetic(rounds: turns, factor: 1, addend: 1), [zero])[0]
    graph.keep(counted)
    let layout = StateLayout()
    let executable = try backend.load(
      Plan(graph, layout: layout, for: backend.traits), state: backend.makeState(layout, slabs: []))
    try executable.write([0], to: zero)
    try executable.runAll()
    return try executable.read(counted)[0]
  }

  /// Two convolutions with batch norm, a pool and a transposed convolution between them, and the loss.
  private static func gradients(_ backend: any Backend, channels: Int) throws(EngineError) -> [Float] {
    var b = ModelBuilder(training: true)
    let image = b.graph.source("image", Shape(2, 3, 16, 32), .input)
    let target = b.graph.source("target", Shape(2, 1, 16, 32), .input)
    var a = try b.normReLU([("n1", channels)], b.convolution(["c1"], [image], ConvolutionShape(channels: channels, kernel: 3)))
    let skip = a
    a = try b.graph.apply(MaxPool(), [a])[0]
    a = try b.transposedConvolution("u", a, channels: 4)
    a = try b.normReLU([("n2", 5)], b.convolution(["c2"], [a, skip], ConvolutionShape(channels: 5, kernel: 3)))
    let logits = try b.convolution(["f"], [a], ConvolutionShape(channels: 1, kernel: 1))
    let loss = try b.graph.apply(BCEDiceLoss(), [logits, target])[0]
    b.graph.keep(loss)
    let graph = try Differentiation.run(b.graph, seeds: [(value: loss, gradient: loss)]).graph
    let state = try backend.makeState(b.layout, slabs: [.parameters, .gradients, .running])
    var random = RandomSource(state: 1)
    try state.write((0..<b.layout.count(of: .parameters)).map { _ in Float(random.unit() - 0.4) }, to: .parameters)
    let executable = try backend.load(Plan(graph, layout: b.layout, for: backend.traits), state: state)
    try executable.write((0..<2 * 3 * 16 * 32).map { _ in Float(random.unit()) }, to: image)
    try executable.write((0..<2 * 16 * 32).map { _ in random.unit() < 0.2 ? 1 : 0 }, to: target)
    try executable.runAll()
    return try executable.read(loss) + state.read(.gradients)
  }
}
