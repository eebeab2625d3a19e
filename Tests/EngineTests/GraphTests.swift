import Engine
import Testing

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
}
