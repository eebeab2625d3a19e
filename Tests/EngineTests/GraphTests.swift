import Testing

@testable import Engine

/// Shape rules: what is wrong is named, with the operation and the shapes.
@Suite struct GraphTests {
  /// The message of the error that `body` throws.
  private func message(_ body: () throws -> Void) -> String {
    do {
      try body()
      return "nothing was thrown"
    } catch {
      return "\(error)"
    }
  }

  private func expect(_ message: String, contains words: [String], sourceLocation: SourceLocation = #_sourceLocation) {
    for word in words {
      #expect(message.contains(word), "'\(message)' should contain '\(word)'", sourceLocation: sourceLocation)
    }
  }

  /// The message for an operation applied to inputs of these shapes.
  private func apply(_ operation: some Engine.Operation, _ shapes: [Shape]) -> String {
    message {
      var graph = Graph()
      let inputs = shapes.map { graph.source("input", $0, .input) }
      try graph.apply(operation, inputs)
    }
  }

  @Test func convolutionNamesWhatIsWrong() {
    let convolution = Convolution(ConvolutionShape(channels: 4, kernel: 3))
    let (x, bias) = (Shape(1, 3, 8, 8), Shape.vector(4))
    expect(apply(convolution, [x, Shape(4, 5, 3, 3), bias]), contains: ["convolution", "4x3x3x3", "4x5x3x3"])
    expect(apply(convolution, [x, Shape(4, 3, 3, 3), .vector(5)]), contains: ["convolution", "bias", "4"])
    expect(apply(convolution, [x, Shape(4, 3, 3, 3)]), contains: ["convolution", "bias"])
    let valid = Convolution(ConvolutionShape(channels: 4, kernel: 3, dilation: 4, padding: 0))
    expect(apply(valid, [x, Shape(4, 3, 3, 3), bias]), contains: ["convolution", "8x8", "smaller"])
    let two = Convolution(ConvolutionShape(channels: 4, kernel: 3), sources: 2)
    expect(
      apply(two, [x, Shape(1, 2, 8, 9), Shape(4, 5, 3, 3), bias]), contains: ["convolution", "1x3x8x8", "1x2x8x9"])
    let branches = Convolution(
      ConvolutionShape(
        kernel: 3, branches: [.init(channels: 2, dilation: 1, padding: 1), .init(channels: 2, dilation: 2, padding: 1)])
    )
    expect(apply(branches, [x, Shape(4, 3, 3, 3), bias]), contains: ["convolution", "branches"])
  }

  @Test func othersNameWhatIsWrong() {
    let x = Shape(1, 3, 8, 8)
    expect(
      apply(TransposedConvolution(), [x, Shape(4, 2, 2, 2), .vector(2)]),
      contains: ["transposed_convolution", "4x2x2x2", "1x3x8x8"])
    expect(apply(MaxPool(), [Shape(1, 3, 1, 8)]), contains: ["max_pool", "1x8"])
    expect(apply(Concatenation(), [x, Shape(1, 2, 8, 9)]), contains: ["concatenation", "1x3x8x8", "1x2x8x9"])
    expect(apply(BCEDiceLoss(), [x, Shape(1, 3, 8, 9)]), contains: ["bce_dice_loss", "1x3x8x8", "1x3x8x9"])
    let norm = message {
      var graph = Graph()
      let values = [x, .vector(3), .vector(4), .vector(3), .vector(3)].map { graph.source("v", $0, .input) }
      _ = try graph.batchNorm(
        values[0], gamma: values[1], beta: values[2], runningMean: values[3], runningVariance: values[4], relu: true,
        training: true)
    }
    expect(norm, contains: ["batch_norm", "3"])
  }

  /// Read as it is stored, a view would give wrong numbers without a word.
  @Test func anOperationThatReadsNoViewsRefusesOne() {
    let problem = message {
      var graph = Graph()
      let z = graph.source("z", Shape(1, 3, 8, 8), .input)
      let values = (0..<4).map { _ in graph.source("v", .vector(3), .input) }
      let view = try graph.batchNorm(
        z, gamma: values[0], beta: values[1], runningMean: values[2], runningVariance: values[3], relu: true,
        training: true, named: "norm1")
      try graph.apply(ReLU(), [view])
    }
    expect(problem, contains: ["relu", "norm1", "materialize"])
  }

  @Test func anOperationWithoutAGradientRuleSaysSo() {
    let problem = message {
      var graph = Graph()
      let x = graph.source("x", .vector(9), .input, needsGradient: true)
      let y = try graph.apply(SumOfSquares(), [x])[0]
      let dy = graph.source("dy", .vector(1), .input)
      _ = try Differentiation.run(graph, seeds: [(y, dy)])
    }
    expect(problem, contains: ["sum_of_squares", "gradient"])
  }

  @Test func whatNeedsNoGradientGetsNone() throws {
    var graph = Graph()
    let x = graph.source("x", Shape(1, 2, 4, 4), .input)
    let w = graph.source("w", Shape(3, 2, 3, 3), .input, needsGradient: true)
    let y = try graph.apply(Convolution(ConvolutionShape(channels: 3, kernel: 3), hasBias: false), [x, w])[0]
    let dy = graph.source("dy", Shape(1, 3, 4, 4), .input)
    let (backward, gradients) = try Differentiation.run(graph, seeds: [(y, dy)])
    #expect(gradients[x] == nil)
    #expect(gradients[w] != nil)
    #expect(backward.nodes.count == graph.nodes.count + 1)
  }

  /// A batch norm takes each channel's mean away, and a bias with it; with statistics that are given, or another reader beside it, it does
  /// not. Both orders of readers: which gradient comes first is another way.
  @Test(arguments: [false, true], ["norm", "norm, then pool", "pool, then norm"])
  func aBiasHasAGradientUnlessABatchNormAloneReadsTheResult(_ frozen: Bool, _ readers: String) throws {
    var graph = Graph()
    let x = graph.source("x", Shape(1, 2, 4, 4), .input)
    let w = graph.source("w", Shape(3, 2, 3, 3), .input, needsGradient: true)
    let bias = graph.source("bias", .vector(3), .input, needsGradient: true)
    let convolution = Convolution(ConvolutionShape(channels: 3, kernel: 3))
    let y = try graph.apply(convolution, [x, w, bias])[0]
    func pool() throws -> (ValueID, ValueID) {
      (try graph.apply(MaxPool(), [y])[0], graph.source("gradient of pooled", Shape(1, 3, 2, 2), .input))
    }
    var seeds: [(value: ValueID, gradient: ValueID)] = []
    if readers.hasPrefix("pool") { seeds.append(try pool()) }
    let parts = (0..<4).map { graph.source("part \($0)", .vector(3), .input, needsGradient: $0 < 2) }
    let norm = try graph.batchNorm(
      y, gamma: parts[0], beta: parts[1], runningMean: parts[2], runningVariance: parts[3], relu: true, training: true,
      frozen: frozen, named: "norm")
    seeds.append((norm, graph.source("gradient of normalised", graph.shape(norm), .input)))
    if readers.hasSuffix("pool") { seeds.append(try pool()) }
    let (backward, gradients) = try Differentiation.run(graph, seeds: seeds)
    let sums = backward.nodes.filter { type(of: $0.operation).name == ChannelSum.name }
    let wanted = frozen || readers != "norm"
    #expect((gradients[bias] != nil) == wanted)
    #expect(sums.count == (wanted ? 1 : 0))
    // It reads what everyone has added to: nobody writes or adds to its input behind it.
    if let sum = backward.nodes.firstIndex(where: { type(of: $0.operation).name == ChannelSum.name }) {
      let dy = backward.nodes[sum].inputs[0]
      #expect(dy == gradients[y] && backward.mode(dy) == .plain)
      #expect(!backward.nodes[sum...].contains { ($0.results + $0.updates).contains(dy) })
    }
  }
}
