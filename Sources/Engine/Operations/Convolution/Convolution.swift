/// Cross-correlates the concatenation of one or two sources with `w` and adds a bias.
///
/// y[n,o,i,j] = b[o] + Σ w[o,c,p,q] · x[n, c, i + p·d − pad, j + q·d − pad], where d and pad are those of o's branch.
///
/// - Inputs: the sources (N, Cₛ, H, W), each through any view; w (O, ΣCₛ, k, k); b (O) where `hasBias`.
/// - Result: y (N, O, H + 2·pad − d·(k − 1), …). Stride 1.
/// - Gradient: with respect to the sources by gathering (no atomics), w, and b. A bias that a training batch norm
///   follows has a gradient of exactly zero, and none is computed.
/// - Source: Dumoulin & Visin 2016, "A guide to convolution arithmetic", for the arithmetic of dilation.
public struct Convolution: Operation {
  public static let name = "convolution"
  public static let readsViews = true
  public let shape: ConvolutionShape
  public let sources: Int
  public let hasBias: Bool

  public init(_ shape: ConvolutionShape, sources: Int = 1, hasBias: Bool = true) {
    precondition(sources == 1 || sources == 2, "a convolution has one or two sources")
    self.shape = shape
    self.sources = sources
    self.hasBias = hasBias
  }

  public func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] {
    guard inputs.count == sources + 1 + (hasBias ? 1 : 0) else {
      throw .shape(operation: Self.name, problem: "wants \(sources) sources, weights\(hasBias ? " and a bias" : "")")
    }
    let x = inputs[0]
    let channels = inputs[..<sources].reduce(0) { $0 + $1.c }
    for other in inputs[..<sources] where (other.n, other.h, other.w) != (x.n, x.h, x.w) {
      throw .shape(operation: Self.name, problem: "sources \(x) and \(other) differ beside their channels")
    }
    let wanted = Shape(shape.outChannels, channels, shape.kernel, shape.kernel)
    guard inputs[sources] == wanted else {
      throw .shape(operation: Self.name, problem: "weights should be \(wanted), not \(inputs[sources])")
    }
    if hasBias, inputs[sources + 1].count != shape.outChannels {
      throw .shape(operation: Self.name, problem: "the bias should have \(shape.outChannels) elements")
    }
    let plane = try shape.outputPlane(x.h, x.w, operation: Self.name)
    return [Shape(x.n, shape.outChannels, plane.h, plane.w)]
  }

  public func differentiate(_ node: Node, _ tape: inout Differentiation) throws(EngineError) {
    let (y, w) = (node.results[0], node.inputs[sources])
    guard var dy = tape.upstream(y) else { return }
    let bias = hasBias && !tape.gradientSumsToZero(y) ? try tape.target(for: node.inputs[sources + 1]) : nil
    // The sum over a channel reads stored elements alone.
    if bias != nil, let stored = tape.storedUpstream(y) { dy = stored }
    if let target = try tape.target(for: w) {
      tape.apply(
        ConvolutionWeightGradient(shape, sources: sources, accumulates: target.accumulates),
        Array(node.inputs[..<sources]) + [dy], into: target)
    }
    if let bias { tape.apply(ChannelSum(accumulates: bias.accumulates), [dy], into: bias) }
    var first = 0
    for source in node.inputs[..<sources] {
      if let target = try tape.target(for: source) {
        tape.apply(
          ConvolutionInputGradient(
            shape, firstChannel: first, input: tape.graph.shape(source), accumulates: target.accumulates),
          [dy, w], into: target)
      }
      first += tape.graph.shape(source).c
    }
  }

  public func reads16Bits(_ input: Int) -> Bool { input < sources }

  public func writes16Bits(_ target: Int, _ io: NodeIO, _ device: DeviceTraits) -> Bool {
    device.kind == .openCL && kernels(io, device).allSatisfy(\.writesOnce)
  }

  public func cost(_ io: NodeIO) -> Cost {
    Cost(flops: 2 * io.targets[0].count * io.inputs[sources].c * shape.taps, bytes: io.byteCount)
  }

  public func scratchBytes(_ io: NodeIO, _ device: DeviceTraits) -> [Int] {
    let channels = io.inputs[sources].c
    switch device.kind {
    case .openCL: return kernels(io, device).map(\.packedBytes)
    case .cpuPath:
      let y = io.targets[0]
      return [
        CPUColumns.scratchBytes(
          rows: channels * shape.taps, plane: y.plane, kernel: shape.kernel, dilation: shape.largestDilation,
          outWidth: y.w, device)
      ]
    }
  }

  public func runOnCPU(_ context: CPUContext) {
    let w = context.inputs[sources]
    let sourceOperands = context.inputs[..<sources].map { (operand: $0.vector, first: 0, count: $0.shape.c) }
    for (branch, first) in shape.placedBranches {
      CPUColumns.convolve(
        sourceOperands, weights: w.data + first * w.shape.c * shape.taps,
        bias: hasBias ? context.inputs[sources + 1].data + first : nil, kernel: shape.kernel, dilation: branch.dilation,
        padding: branch.padding, y: context.targets[0], shape: context.io.targets[0], first: first,
        channels: branch.channels, accumulates: false, columns: context.scratch[0], threads: context.threads)
    }
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    kernels(io, device).enumerated().flatMap { $1.launches(scratch: $0) }
  }

  /// One for each branch.
  private func kernels(_ io: NodeIO, _ device: DeviceTraits) -> [TileKernel] {
    let x = io.inputs[0]
    return shape.placedBranches.map { branch, first in
      TileKernel(
        kernel: shape.kernel, dilation: branch.dilation, padding: branch.padding, images: x.n, inPlane: (x.h, x.w),
        out: io.targets[0],
        sources: (0..<sources).map {
          .init(input: $0, reading: io.readings[$0], first: 0, used: io.inputs[$0].c, channels: io.inputs[$0].c)
        }, weights: .init(input: sources, row: first, rowLength: io.inputs[sources].c), firstChannel: first,
        channels: branch.channels, bias: hasBias ? (input: sources + 1, first: first, channelsPerElement: 1) : nil,
        targetStorage: io.targetStorage[0], device: device)
    }
  }
}
