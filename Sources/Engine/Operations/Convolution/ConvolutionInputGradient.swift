/// The gradient of a convolution with respect to one source.
///
/// dx[n,c,i,j] = Σ w[o, first + c, p, q] · dy[n, o, i + pad − p·d, j + pad − q·d]: gathered as a convolution of dy with the
/// transposed, flipped weights.
///
/// - Inputs: dy (N, O, H′, W′) through any view, w (O, C, k, k). Target: dx (N, Cₛ, H, W).
public struct ConvolutionInputGradient: Operation {
  public static let name = "convolution_input_gradient"
  let shape: ConvolutionShape
  /// The source's first channel in the convolution's concatenation.
  let firstChannel: Int
  let input: Shape
  let accumulates: Bool

  init(_ shape: ConvolutionShape, firstChannel: Int, input: Shape, accumulates: Bool) {
    self.shape = shape
    self.firstChannel = firstChannel
    self.input = input
    self.accumulates = accumulates
  }

  public func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] { [input] }

  public func reads16Bits(_ input: Int) -> Bool { input == 0 }

  public func writes16Bits(_ target: Int, _ io: NodeIO, _ device: DeviceTraits) -> Bool {
    device.kind == .openCL && kernels(io, device).allSatisfy(\.writesOnce)
  }

  public func cost(_ io: NodeIO) -> Cost {
    Cost(flops: 2 * io.inputs[0].count * input.c * shape.taps, bytes: io.byteCount)
  }

  public func scratchBytes(_ io: NodeIO, _ device: DeviceTraits) -> [Int] {
    switch device.kind {
    case .openCL: return kernels(io, device).map(\.packedBytes)
    case .cpuPath:
      let most = shape.branches.map(\.channels).max() ?? 0
      // A narrow branch takes longer runs, so the widest branch's columns need not be the largest.
      let columns = shape.branches.map {
        CPUColumns.scratchBytes(
          rows: $0.channels * shape.taps, plane: input.plane, kernel: shape.kernel, dilation: $0.dilation,
          outWidth: input.w, device)
      }
      return [columns.max() ?? 0, input.c * most * shape.taps * 4]
    }
  }

  public func runOnCPU(_ context: CPUContext) {
    let dy = context.inputs[0]
    let w = context.inputs[1]
    for (index, (branch, first)) in shape.placedBranches.enumerated() {
      let flipped = context.scratch[1]
      let taps = shape.taps
      for c in 0..<input.c {
        for o in 0..<branch.channels {
          let from = w.data + ((first + o) * w.shape.c + firstChannel + c) * taps
          let to = flipped + (c * branch.channels + o) * taps
          for tap in 0..<taps { to[tap] = from[taps - 1 - tap] }
        }
      }
      CPUColumns.convolve(
        [(operand: dy.vector, first: first, count: branch.channels)], weights: UnsafePointer(flipped), bias: nil,
        kernel: shape.kernel, dilation: branch.dilation, padding: branch.dilation * (shape.kernel - 1) - branch.padding,
        y: context.targets[0], shape: input, first: 0, channels: input.c, accumulates: accumulates || index > 0,
        columns: context.scratch[0], threads: context.threads)
    }
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    kernels(io, device).enumerated().flatMap { $1.launches(scratch: $0) }
  }

  /// One for each branch.
  private func kernels(_ io: NodeIO, _ device: DeviceTraits) -> [TileKernel] {
    let dy = io.inputs[0]
    return shape.placedBranches.enumerated().map { index, placed in
      let (branch, first) = placed
      return TileKernel(
        kernel: shape.kernel, dilation: branch.dilation,
        padding: branch.dilation * (shape.kernel - 1) - branch.padding, images: dy.n, inPlane: (dy.h, dy.w), out: input,
        sources: [.init(input: 0, reading: io.readings[0], first: first, used: branch.channels, channels: dy.c)],
        weights: .init(
          input: 1, row: first, column: firstChannel, rowLength: io.inputs[1].c, transposed: true),
        channels: input.c, accumulates: accumulates || index > 0, targetStorage: io.targetStorage[0], device: device)
    }
  }
}
