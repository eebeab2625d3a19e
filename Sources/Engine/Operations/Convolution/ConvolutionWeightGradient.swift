/// The gradient of a convolution with respect to its weights.
///
/// dw[o,c,p,q] = Σ dy[n,o,i,j] · x[n, c, i + p·d − pad, j + q·d − pad] over images and pixels.
///
/// - Inputs: the sources (N, Cₛ, H, W) and dy (N, O, H′, W′), each through any view. Target: dw (O, ΣCₛ, k, k).
/// - Order: slices of the pixels have partial sums of their own, added in their order; no atomics.
public struct ConvolutionWeightGradient: Operation {
  public static let name = "convolution_weight_gradient"
  let shape: ConvolutionShape
  let sources: Int
  let accumulates: Bool

  init(_ shape: ConvolutionShape, sources: Int, accumulates: Bool) {
    self.shape = shape
    self.sources = sources
    self.accumulates = accumulates
  }

  private func channels(_ inputs: [Shape]) -> Int { inputs[..<sources].reduce(0) { $0 + $1.c } }

  public func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] {
    [Shape(shape.outChannels, channels(inputs), shape.kernel, shape.kernel)]
  }

  public func reads16Bits(_ input: Int) -> Bool { true }

  public func cost(_ io: NodeIO) -> Cost {
    Cost(flops: 2 * io.inputs[sources].count * channels(io.inputs) * shape.taps, bytes: io.byteCount)
  }

  public func scratchBytes(_ io: NodeIO, _ device: DeviceTraits) -> [Int] {
    switch device.kind {
    case .openCL:
      return shape.branches.map { kernel(io, $0, first: 0, scratch: 0, device).partialBytes }
    case .cpuPath:
      let most = shape.branches.map(\.channels).max() ?? 0
      return CPUColumns.weightGradientScratchBytes(
        rows: most, columns: channels(io.inputs) * shape.taps, plane: io.inputs[sources].plane,
        kernel: shape.kernel, dilation: shape.largestDilation, outWidth: io.inputs[sources].w, device)
    }
  }

  public func runOnCPU(_ context: CPUContext) {
    let dy = context.inputs[sources]
    let columns = channels(context.io.inputs) * shape.taps
    for (branch, first) in shape.placedBranches {
      CPUColumns.weightGradient(
        rows: (operand: dy.vector, first: first, count: branch.channels), shape: dy.shape,
        columns: context.inputs[..<sources].map { (operand: $0.vector, first: 0, count: $0.shape.c) },
        kernel: shape.kernel, dilation: branch.dilation, padding: branch.padding,
        dw: context.targets[0] + first * columns, accumulates: accumulates, scratch: context.scratch,
        threads: context.threads)
    }
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    shape.placedBranches.enumerated().flatMap { index, placed in
      kernel(io, placed.branch, first: placed.first, scratch: index, device).launches(accumulates: accumulates)
    }
  }

  private func kernel(
    _ io: NodeIO, _ branch: ConvolutionShape.Branch, first: Int, scratch: Int, _ device: DeviceTraits
  ) -> WeightGradientKernel {
    WeightGradientKernel(
      kernel: shape.kernel, dilation: branch.dilation, padding: branch.padding,
      z: .init(
        input: sources, reading: io.readings[sources], first: first, used: branch.channels, channels: io.inputs[sources].c),
      sources: (0..<sources).map {
        .init(input: $0, reading: io.readings[$0], first: 0, used: io.inputs[$0].c, channels: io.inputs[$0].c)
      }, images: io.inputs[0].n, inPlane: (io.inputs[0].h, io.inputs[0].w),
      outPlane: (io.inputs[sources].h, io.inputs[sources].w), firstRow: first, scratch: scratch, device: device)
  }
}
