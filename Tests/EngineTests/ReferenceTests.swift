import Foundation
import OpSuite
import Testing

/// The reference itself: against the golden files, and its gradients against its own differences.
@Suite struct ReferenceTests {
  // MARK: - Golden files

  static let goldenPaths: [String] =
    GoldenCase.folder().flatMap { try? GoldenCase.files(at: $0) } ?? []

  /// Both sides are Double; what is left is the order of sums.
  static let tolerance = 1e-9

  @Test(
    .enabled(
      if: !goldenPaths.isEmpty,
      "no ../shared/golden beside the package: nothing to hold the reference against"),
    arguments: goldenPaths)
  func reproducesGoldenFile(_ path: String) throws {
    let golden = try GoldenCase(path: path)
    let results = try golden.referenceResults()
    #expect(
      results.keys.sorted() == golden.expectedNames, "every tensor is compared, none is left over")
    var worst = 0.0
    for name in golden.expectedNames {
      let comparison = try golden.compare(
        name, try #require(results[name]), tolerance: Self.tolerance)
      #expect(comparison.passed, "\(golden): \(comparison)")
      worst = max(worst, comparison.error)
    }
    print("golden \(golden): \(results.count) tensors, largest error \(worst)")
  }

  @Test(.enabled(if: !goldenPaths.isEmpty, "no ../shared/golden beside the package"))
  func goldenFilesCoverEveryOperation() throws {
    let operations = Set(try Self.goldenPaths.map { try GoldenCase(path: $0).operation })
    #expect(
      operations == [
        "conv2d", "conv_transpose2d", "batch_norm", "max_pool2d", "relu", "concat", "bce_dice_loss",
        "adam", "variable_unet_training",
      ])
  }

  // MARK: - Gradients against central differences

  /// Projects an output on fixed random values, and differentiates that with respect to `x`.
  func expectGradient(
    _ name: String, _ gradient: Tensor64, at x: Tensor64, of output: (Tensor64) -> Tensor64,
    along direction: Tensor64, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let differences = Reference.centralDifference(at: x) { Reference.dot(output($0), direction) }
    let comparison = TensorComparison(name: name, got: gradient, want: differences, tolerance: 1e-8)
    #expect(comparison.passed, "\(comparison)", sourceLocation: sourceLocation)
  }

  struct Convolution: CustomTestStringConvertible, Sendable {
    let x, weight: [Int]
    var stride = 1
    var padding = 0
    var dilation = 1
    var testDescription: String { "x\(x) w\(weight) s\(stride) p\(padding) d\(dilation)" }
  }

  static let convolutions = [
    Convolution(x: [2, 3, 5, 6], weight: [4, 3, 3, 3], padding: 1),
    Convolution(x: [1, 2, 7, 5], weight: [3, 2, 3, 3], padding: 2, dilation: 2),
    Convolution(x: [1, 2, 3, 2], weight: [2, 2, 3, 3], padding: 4, dilation: 4),
    Convolution(x: [2, 3, 4, 3], weight: [1, 3, 1, 1]),
    Convolution(x: [1, 2, 8, 7], weight: [2, 2, 3, 3], stride: 2, padding: 1),
    Convolution(x: [1, 1, 9, 11], weight: [2, 1, 2, 5], stride: 3, padding: 2, dilation: 2),
    Convolution(x: [1, 2, 1, 1], weight: [2, 2, 3, 3], padding: 1),
    Convolution(x: [1, 1, 4, 4], weight: [1, 1, 1, 1], stride: 2, padding: 3),
  ]

  @Test(arguments: convolutions) func conv2d(_ c: Convolution) {
    let x = Tensor64(random: c.x, seed: 1)
    let weight = Tensor64(random: c.weight, seed: 2)
    let bias = Tensor64(random: [c.weight[0]], seed: 3)
    func y(_ x: Tensor64, _ weight: Tensor64, _ bias: Tensor64) -> Tensor64 {
      Reference.conv2d(
        x, weight: weight, bias: bias, stride: c.stride, padding: c.padding, dilation: c.dilation)
    }
    let r = Tensor64(random: y(x, weight, bias).shape, seed: 4)
    let gradX = Reference.conv2dGradientInput(
      gradY: r, weight: weight, inputShape: x.shape, stride: c.stride, padding: c.padding,
      dilation: c.dilation)
    let gradWeight = Reference.conv2dGradientWeight(
      gradY: r, x: x, weightShape: weight.shape, stride: c.stride, padding: c.padding,
      dilation: c.dilation)
    expectGradient("x", gradX, at: x, of: { y($0, weight, bias) }, along: r)
    expectGradient("weight", gradWeight, at: weight, of: { y(x, $0, bias) }, along: r)
    expectGradient(
      "bias", Reference.biasGradient(gradY: r), at: bias, of: { y(x, weight, $0) }, along: r)
  }

  /// The walk over rows against the formula, term by term.
  @Test(arguments: convolutions) func conv2dIsItsFormula(_ c: Convolution) {
    let x = Tensor64(random: c.x, seed: 1)
    let weight = Tensor64(random: c.weight, seed: 2)
    let bias = Tensor64(random: [c.weight[0]], seed: 3)
    let y = Reference.conv2d(
      x, weight: weight, bias: bias, stride: c.stride, padding: c.padding, dilation: c.dilation)
    var want = Tensor64(zeros: y.shape)
    for n in 0..<y.shape[0] {
      for o in 0..<y.shape[1] {
        for i in 0..<y.shape[2] {
          for j in 0..<y.shape[3] {
            var sum = bias[o]
            for ci in 0..<c.x[1] {
              for p in 0..<c.weight[2] {
                for q in 0..<c.weight[3] {
                  let row = i * c.stride + p * c.dilation - c.padding
                  let column = j * c.stride + q * c.dilation - c.padding
                  guard 0..<c.x[2] ~= row, 0..<c.x[3] ~= column else { continue }
                  sum += weight[o, ci, p, q] * x[n, ci, row, column]
                }
              }
            }
            want[n, o, i, j] = sum
          }
        }
      }
    }
    let comparison = TensorComparison(name: "y", got: y, want: want, tolerance: 1e-14)
    #expect(comparison.passed, "\(comparison)")
  }

  @Test func convTranspose2x2() {
    let x = Tensor64(random: [2, 3, 3, 4], seed: 1)
    let weight = Tensor64(random: [3, 2, 2, 2], seed: 2)
    let bias = Tensor64(random: [2], seed: 3)
    let r = Tensor64(random: [2, 2, 6, 8], seed: 4)
    expectGradient(
      "x", Reference.convTranspose2x2GradientInput(gradY: r, weight: weight), at: x,
      of: { Reference.convTranspose2x2($0, weight: weight, bias: bias) }, along: r)
    expectGradient(
      "weight", Reference.convTranspose2x2GradientWeight(gradY: r, x: x), at: weight,
      of: { Reference.convTranspose2x2(x, weight: $0, bias: bias) }, along: r)
    expectGradient(
      "bias", Reference.biasGradient(gradY: r), at: bias,
      of: { Reference.convTranspose2x2(x, weight: weight, bias: $0) }, along: r)
  }

  @Test func batchNorm() {
    let x = Tensor64(random: [2, 3, 4, 3], seed: 1, in: 1...3)
    let weight = Tensor64(random: [3], seed: 2)
    let bias = Tensor64(random: [3], seed: 3)
    let r = Tensor64(random: x.shape, seed: 4)
    let (gradX, gradWeight, gradBias) = Reference.batchNormGradients(x: x, weight: weight, gradY: r)
    expectGradient(
      "x", gradX, at: x, of: { Reference.batchNormTraining($0, weight: weight, bias: bias).y },
      along: r)
    expectGradient(
      "weight", gradWeight, at: weight,
      of: { Reference.batchNormTraining(x, weight: $0, bias: bias).y }, along: r)
    expectGradient(
      "bias", gradBias, at: bias,
      of: { Reference.batchNormTraining(x, weight: weight, bias: $0).y }, along: r)
  }

  @Test func groupNorm() {
    let x = Tensor64(random: [2, 4, 3, 3], seed: 1, in: 1...3)
    let weight = Tensor64(random: [4], seed: 2)
    let bias = Tensor64(random: [4], seed: 3)
    let r = Tensor64(random: x.shape, seed: 4)
    let (gradX, gradWeight, gradBias) = Reference.groupNormGradients(x: x, channelsPerGroup: 2, weight: weight, gradY: r)
    expectGradient(
      "x", gradX, at: x, of: { Reference.groupNorm($0, channelsPerGroup: 2, weight: weight, bias: bias) }, along: r)
    expectGradient(
      "weight", gradWeight, at: weight,
      of: { Reference.groupNorm(x, channelsPerGroup: 2, weight: $0, bias: bias) }, along: r)
    expectGradient(
      "bias", gradBias, at: bias, of: { Reference.groupNorm(x, channelsPerGroup: 2, weight: weight, bias: $0) }, along: r)
    // With one group of all channels, γ = 1, β = 0: the mean is 0 and the variance 1.
    let y = Reference.groupNorm(
      x, channelsPerGroup: 4, weight: Tensor64([4], repeating: 1), bias: Tensor64(zeros: [4]), eps: 0)
    for image in 0..<2 {
      let values = y.values[image * 36..<(image + 1) * 36]
      #expect(abs(values.reduce(0, +)) < 1e-12)
      #expect(abs(values.reduce(0) { $0 + $1 * $1 } / 36 - 1) < 1e-12)
    }
  }

  /// The fused view gives the same as its parts, and its gradients are those of the whole.
  ///
  /// The seed keeps every normalised value further from ReLU's kink than the differences' step; this is checked.
  @Test func batchNormReLU() {
    let z = Tensor64(random: [2, 2, 3, 3], seed: 5)
    let weight = Tensor64(random: [2], seed: 6)
    let bias = Tensor64(random: [2], seed: 7)
    let r = Tensor64(random: z.shape, seed: 8)
    func a(_ z: Tensor64, _ weight: Tensor64, _ bias: Tensor64) -> Tensor64 {
      let statistics = Reference.batchStatistics(z)
      return Reference.batchNormReLU(
        z, mean: statistics.mean,
        scale: Reference.batchNormScale(weight: weight, variance: statistics.variance), beta: bias)
    }
    let y = Reference.batchNormTraining(z, weight: weight, bias: bias).y
    #expect(y.values.map(abs).min() ?? 0 > 1e-3)
    let fused = TensorComparison(
      name: "a", got: a(z, weight, bias), want: Reference.relu(y), tolerance: 1e-14)
    #expect(fused.passed, "\(fused)")
    let gradients = Reference.batchNormReLUGradients(z: z, weight: weight, bias: bias, gradA: r)
    expectGradient("z", gradients.gradZ, at: z, of: { a($0, weight, bias) }, along: r)
    expectGradient("weight", gradients.gradWeight, at: weight, of: { a(z, $0, bias) }, along: r)
    expectGradient("bias", gradients.gradBias, at: bias, of: { a(z, weight, $0) }, along: r)
  }

  /// Two values 1 and 3: mean 2, biased variance 1, unbiased 2.
  @Test func runningVarianceIsUnbiased() {
    let statistics = Reference.batchStatistics(Tensor64([1, 1, 1, 2], [1.0, 3.0]))
    #expect(statistics.mean.values == [2] && statistics.variance.values == [1])
    let running = Reference.batchNormRunning(
      mean: Tensor64([1], [10.0]), variance: Tensor64([1], [4.0]), statistics: statistics,
      momentum: 0.25)
    #expect(running.mean.values == [8] && running.variance.values == [3.5])
  }

  /// Random values lie further than the step from 0 and from each other: no kink is crossed.
  @Test func reluAndMaxPool() {
    let x = Tensor64(random: [2, 2, 5, 7], seed: 9)
    let r = Tensor64(random: x.shape, seed: 10)
    expectGradient(
      "relu", Reference.reluGradient(x: x, gradY: r), at: x, of: Reference.relu, along: r)
    let pooled = Tensor64(random: [2, 2, 2, 3], seed: 11)
    expectGradient(
      "max pool", Reference.maxPool2x2Gradient(x: x, gradY: pooled), at: x,
      of: Reference.maxPool2x2,
      along: pooled)
    #expect(
      Reference.reluGradient(x: Tensor64(zeros: [2]), gradY: Tensor64([2], repeating: 1)).values
        == [0, 0])
  }

  @Test func maxPoolTiesGoToTheFirst() {
    let x = Tensor64([1, 1, 3, 5], [1, 1, 0, 2, 9, 1, 1, 2, 2, 9, 9, 9, 9, 9, 9] as [Double])
    #expect(Reference.maxPool2x2(x).values == [1, 2])
    let gradX = Reference.maxPool2x2Gradient(x: x, gradY: Tensor64([1, 1, 1, 2], [5.0, 7.0]))
    #expect(gradX.values == [5, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
  }

  @Test func concat() {
    let parts = [3, 1, 2].map { Tensor64(random: [2, $0, 2, 3], seed: UInt64($0)) }
    let joined = Reference.concatChannels(parts)
    #expect(joined.shape == [2, 6, 2, 3])
    #expect(
      joined[1, 3, 1, 2] == parts[1][1, 0, 1, 2] && joined[0, 5, 0, 1] == parts[2][0, 1, 0, 1])
    #expect(Reference.splitChannels(joined, into: [3, 1, 2]) == parts)
    let r = Tensor64(random: joined.shape, seed: 12)
    expectGradient(
      "b", Reference.splitChannels(r, into: [3, 1, 2])[1], at: parts[1],
      of: { Reference.concatChannels([parts[0], $0, parts[2]]) }, along: r)
  }

  static let losses = [
    Reference.BCEDiceAttributes(bceWeight: 0.8, posWeight: 25, diceSmooth: 1e-6),
    Reference.BCEDiceAttributes(bceWeight: 1, posWeight: 13, diceSmooth: 1e-5),
    Reference.BCEDiceAttributes(bceWeight: 0, posWeight: 1, diceSmooth: 0.5),
  ]

  @Test(arguments: losses) func bceDice(_ attributes: Reference.BCEDiceAttributes) {
    let logits = Tensor64(random: [2, 1, 3, 4], seed: 13, in: -4...4)
    let soft = Tensor64(random: logits.shape, seed: 14, in: 0...1)
    let hard = Tensor64(logits.shape, soft.values.map { $0.rounded() })
    for target in [soft, hard, Tensor64(zeros: logits.shape)] {
      expectGradient(
        "logits", Reference.bceDiceGradient(logits: logits, target: target, attributes), at: logits,
        of: { Tensor64([], [Reference.bceDice(logits: $0, target: target, attributes)]) },
        along: Tensor64([], [1.0]))
    }
  }

  @Test func lossStaysFiniteForLargeLogits() {
    let logits = Tensor64([4], [1000.0, -1000, 1000, -1000])
    let target = Tensor64([4], [1.0, 1, 0, 0])
    let attributes = Self.losses[0]
    let loss = Reference.bceDice(logits: logits, target: target, attributes)
    // BCE (0 + 25·1000 + 1000 + 0)/4; Dice (2·1 + s)/(2 + 2 + s)
    #expect(abs(loss - (0.8 * 6500 + 0.2 * 0.5)) < 1e-6)
    let gradient = Reference.bceDiceGradient(logits: logits, target: target, attributes)
    #expect(gradient.values.allSatisfy { $0.isFinite })
  }

  /// The first step has length lr against the gradient's sign, whatever its size.
  @Test func adamsFirstStep() {
    var parameter = Tensor64([3], [1.0, 1, 1])
    var state = Reference.AdamState(shape: [3])
    Reference.adamStep(
      parameter: &parameter, gradient: Tensor64([3], [100.0, -0.5, 0]), state: &state,
      Reference.AdamAttributes(learningRate: 0.1))
    let errors = zip(parameter.values, [0.9, 1.1, 1]).map { abs($0 - $1) }
    #expect(errors.max() ?? 1 < 1e-8)
    #expect(state.step == 1)
  }

  // MARK: - The network

  /// Small random parameters in the layout of the network.
  static func network(base: Int) -> VariableUNetReference {
    var parameters: [String: Tensor64] = [:]
    for (k, (name, shape)) in VariableUNetReference.layout(base: base).enumerated() {
      let positive = name.hasSuffix("running_var") || (shape.count == 1 && name.hasSuffix("weight"))
      parameters[name] = Tensor64(
        random: shape, seed: UInt64(k), in: positive ? 0.5...1.5 : -0.5...0.5)
    }
    return VariableUNetReference(parameters: parameters)
  }

  /// Differences along whole random directions, one for each kind of parameter: a wrong gradient anywhere shows.
  ///
  /// ReLU's kinks are crossed here and there within a step of 1e-6, hence the looser bound.
  @Test(arguments: [
    "enc1.double_conv.0.weight", "enc1.double_conv.1.weight", "enc2.double_conv.3.weight",
    "enc4.double_conv.4.bias", "bottleneck.dilated1.weight", "bottleneck.dilated2.weight",
    "bottleneck.dilated4.weight", "bottleneck.bn4.weight", "up4.weight", "up1.bias",
    "dec4.double_conv.0.weight", "dec1.double_conv.3.weight", "final.weight", "final.bias",
  ])
  func networkGradient(_ name: String) throws {
    let network = Self.network(base: 2)
    let x = Tensor64(random: [2, 3, 32, 32], seed: 1)
    let target = Tensor64(
      [2, 1, 32, 32], Tensor64(random: [2, 1, 32, 32], seed: 2).values.map { $0 > 0.5 ? 1.0 : 0 })
    let loss = Self.losses[0]
    let gradient = try #require(network.differentiate(x: x, target: target, loss).gradients[name])
    let value = try #require(network.parameters[name])
    let direction = Tensor64(random: value.shape, seed: 3)
    func along(_ h: Double) -> Double {
      var parameters = network.parameters
      parameters[name] = Tensor64(
        value.shape, zip(value.values, direction.values).map { $0 + h * $1 })
      return VariableUNetReference(parameters: parameters).differentiate(x: x, target: target, loss)
        .loss
    }
    let h = 1e-6
    let difference = (along(h) - along(-h)) / (2 * h)
    let analytic = Reference.dot(gradient, direction)
    #expect(
      abs(difference - analytic) < 1e-4 * max(abs(analytic), 1e-3), "\(difference) and \(analytic)")
  }

  // MARK: - The comparison

  @Test func comparisonReportsTheWorst() {
    let want = Tensor64([4], [3.0, 4, 0, 0])
    let near = TensorComparison(
      name: "a", got: Tensor64([4], [3.0, 4, 0.5, -0.1]), want: want, tolerance: 0.2)
    #expect(near.passed && near.worstIndex == 2 && near.worstGot == 0.5 && near.worstWant == 0)
    #expect(abs(near.error - 0.26.squareRoot() / 5) < 1e-15 && !near.isAbsolute)

    let broken = TensorComparison(
      name: "a", got: Tensor64([4], [9, .nan, 0, .nan] as [Double]), want: want, tolerance: 1e9)
    #expect(!broken.passed && broken.worstIndex == 1)
    let infinite = TensorComparison(
      name: "a", got: Tensor64([4], [.infinity, 4, 0, 0] as [Double]), want: want, tolerance: 1e9)
    #expect(!infinite.passed && infinite.worstIndex == 0)

    let zero = TensorComparison(
      name: "g", got: Tensor64([2], [1e-6, 0.0]), want: Tensor64(zeros: [2]), tolerance: 2e-6)
    #expect(zero.isAbsolute && zero.passed && zero.error == 1e-6)

    let shape = TensorComparison(name: "s", got: [1, 2, 3] as [Float], want: want, tolerance: 1)
    #expect(!shape.passed && shape.description == "s: shape [3] should be [4]")
  }
}
