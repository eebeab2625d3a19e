import VectorMath

/// Doubles the plane: y[n,o,2i+a,2j+b] = bias[o] + Σ w[c,o,a,b] · x[n,c,i,j] (kernel 2, stride 2).
///
/// It is a 1×1 convolution to 4·O channels whose channel 4o + 2a + b is every fourth pixel of y, so it shares the
/// convolution's kernels.
///
/// - Inputs: x (N, C, H, W) through any view, w (C, O, 2, 2), b (O). Result: y (N, O, 2H, 2W).
/// - Gradient: with respect to x, w and b, without atomics.
public struct TransposedConvolution: Operation {
  public static let name = "transposed_convolution"
  public static let readsViews = true

  public init() {}

  public func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] {
    guard inputs.count == 3 else { throw .shape(operation: Self.name, problem: "wants x, weights and a bias") }
    let (x, w, b) = (inputs[0], inputs[1], inputs[2])
    guard w.n == x.c, w.h == 2, w.w == 2, b.count == w.c else {
      throw .shape(operation: Self.name, problem: "weights \(w) and \(b.count) biases do not fit an input \(x)")
    }
    return [Shape(x.n, w.c, 2 * x.h, 2 * x.w)]
  }

  public func differentiate(_ node: Node, _ tape: inout Differentiation) throws(EngineError) {
    guard let dy = tape.storedUpstream(node.results[0]) else { return }
    let (x, w, b) = (node.inputs[0], node.inputs[1], node.inputs[2])
    if let target = try tape.target(for: w) {
      tape.apply(TransposedConvolutionWeightGradient(accumulates: target.accumulates), [x, dy], into: target)
    }
    if let target = try tape.target(for: b) {
      tape.apply(ChannelSum(accumulates: target.accumulates), [dy], into: target)
    }
    if let target = try tape.target(for: x) {
      tape.apply(TransposedConvolutionInputGradient(accumulates: target.accumulates), [dy, w], into: target)
    }
  }

  public func reads16Bits(_ input: Int) -> Bool { input == 0 }

  public func writes16Bits(_ target: Int, _ io: NodeIO, _ device: DeviceTraits) -> Bool {
    device.kind == .openCL && kernel(io, device).writesOnce
  }

  public func cost(_ io: NodeIO) -> Cost {
    Cost(flops: 2 * io.targets[0].count * io.inputs[0].c, bytes: io.byteCount)
  }

  public func scratchBytes(_ io: NodeIO, _ device: DeviceTraits) -> [Int] {
    let x = io.inputs[0]
    let rows = 4 * io.targets[0].c
    switch device.kind {
    case .openCL: return [kernel(io, device).packedBytes]
    case .cpuPath:
      let run = layout(x, rows).run
      return [device.computeUnits * layout(x, rows).perThread * 4, device.computeUnits * rows * run * 4]
    }
  }

  /// Runs short enough for x's columns and the product's rows together.
  private func layout(_ x: Shape, _ rows: Int) -> CPUColumns.Layout {
    .init(rows: x.c + rows, plane: x.plane, kernel: 1, dilation: 1, outWidth: x.w)
  }

  public func runOnCPU(_ context: CPUContext) {
    let (x, w, bias) = (context.inputs[0], context.inputs[1], context.inputs[2])
    let y = context.targets[0]
    let out = context.io.targets[0]
    let (rows, plane, width) = (4 * out.c, x.shape.plane, x.shape.w)
    let layout = layout(x.shape, rows)
    let (run, runs) = (layout.run, layout.runs(plane))
    parallelFor(context.threads) { part in
      let columns = context.scratch[0] + part * layout.perThread
      let product = context.scratch[1] + part * rows * run
      for index in share(out.n * runs, part, of: context.threads) {
        let image = index / runs
        let start = index % runs * run
        let count = min(run, plane - start)
        CPUColumns.fill(
          columns, layout, [(operand: x.vector, first: 0, count: x.shape.c)], image: image, kernel: 1, dilation: 1,
          padding: 0, outWidth: width, start: start, count: count)
        BLAS.multiply(
          transposeA: true, m: rows, n: count, k: x.shape.c, a: w.data, lda: rows, b: columns, ldb: count, beta: 0,
          c: product, ldc: count)
        for o in 0..<out.c {
          for a in 0..<2 {
            let even = product + (4 * o + 2 * a) * count
            var at = 0
            while at < count {
              let (i, j) = ((start + at) / width, (start + at) % width)
              let length = min(width - j, count - at)
              let to = y + ((image * out.c + o) * out.h + 2 * i + a) * out.w + 2 * j
              vm_interleave(to, even + at, even + count + at, bias.data[o], Int64(length))
              at += length
            }
          }
        }
      }
    }
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] { kernel(io, device).launches(scratch: 0) }

  private func kernel(_ io: NodeIO, _ device: DeviceTraits) -> TileKernel {
    let (x, out) = (io.inputs[0], io.targets[0])
    return TileKernel(
      kernel: 1, images: x.n, inPlane: (x.h, x.w), out: out,
      sources: [.init(input: 0, reading: io.readings[0], first: 0, used: x.c, channels: x.c)],
      weights: .init(input: 1, rowLength: 4 * out.c, transposed: true), channels: 4 * out.c,
      bias: (input: 2, first: 0, channelsPerElement: 4), storesDepth: true, targetStorage: io.targetStorage[0], device: device)
  }
}

/// dx[n,c,i,j] = Σ w[c,o,a,b] · dy[n,o,2i+a,2j+b]. Inputs: dy, w. Target: dx.
public struct TransposedConvolutionInputGradient: Operation {
  public static let name = "transposed_convolution_input_gradient"
  let accumulates: Bool

  public func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] {
    [Shape(inputs[0].n, inputs[1].n, inputs[0].h / 2, inputs[0].w / 2)]
  }

  public func reads16Bits(_ input: Int) -> Bool { input == 0 }

  public func writes16Bits(_ target: Int, _ io: NodeIO, _ device: DeviceTraits) -> Bool {
    device.kind == .openCL && kernel(io, device).writesOnce
  }

  public func cost(_ io: NodeIO) -> Cost {
    Cost(flops: 2 * io.inputs[0].count * io.targets[0].c, bytes: io.byteCount)
  }

  public func scratchBytes(_ io: NodeIO, _ device: DeviceTraits) -> [Int] {
    let (dy, dx) = (io.inputs[0], io.targets[0])
    switch device.kind {
    case .openCL: return [kernel(io, device).packedBytes]
    case .cpuPath:
      return [
        CPUColumns.scratchBytes(rows: 4 * dy.c, plane: dx.plane, kernel: 1, dilation: 1, outWidth: dx.w, device)
      ]
    }
  }

  public func runOnCPU(_ context: CPUContext) {
    let dy = context.inputs[0]
    let dx = context.io.targets[0]
    CPUColumns.convolve(
      [(operand: dy.depth, first: 0, count: 4 * dy.shape.c)], weights: context.inputs[1].data, bias: nil, kernel: 1,
      dilation: 1, padding: 0, y: context.targets[0], shape: dx, first: 0, channels: dx.c, accumulates: accumulates,
      columns: context.scratch[0], threads: context.threads)
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] { kernel(io, device).launches(scratch: 0) }

  private func kernel(_ io: NodeIO, _ device: DeviceTraits) -> TileKernel {
    let (dy, dx) = (io.inputs[0], io.targets[0])
    return TileKernel(
      kernel: 1, images: dy.n, inPlane: (dx.h, dx.w), out: dx,
      sources: [.init(input: 0, reading: io.readings[0].depth, first: 0, used: 4 * dy.c, channels: 4 * dy.c)],
      weights: .init(input: 1, rowLength: 4 * dy.c), channels: dx.c, accumulates: accumulates,
      targetStorage: io.targetStorage[0], device: device)
  }
}

/// dw[c,o,a,b] = Σ x[n,c,i,j] · dy[n,o,2i+a,2j+b]. Inputs: x through any view, dy. Target: dw (C, O, 2, 2).
public struct TransposedConvolutionWeightGradient: Operation {
  public static let name = "transposed_convolution_weight_gradient"
  let accumulates: Bool

  public func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] {
    [Shape(inputs[0].c, inputs[1].c, 2, 2)]
  }

  public func reads16Bits(_ input: Int) -> Bool { true }

  public func cost(_ io: NodeIO) -> Cost {
    Cost(flops: 2 * io.inputs[1].count * io.inputs[0].c, bytes: io.byteCount)
  }

  public func scratchBytes(_ io: NodeIO, _ device: DeviceTraits) -> [Int] {
    switch device.kind {
    case .openCL: return [kernel(io, device).partialBytes]
    case .cpuPath:
      return CPUColumns.weightGradientScratchBytes(
        rows: io.inputs[0].c, columns: 4 * io.inputs[1].c, plane: io.inputs[0].plane, kernel: 1, dilation: 1,
        outWidth: io.inputs[0].w, device)
    }
  }

  public func runOnCPU(_ context: CPUContext) {
    let (x, dy) = (context.inputs[0], context.inputs[1])
    CPUColumns.weightGradient(
      rows: (operand: x.vector, first: 0, count: x.shape.c), shape: x.shape,
      columns: [(operand: dy.depth, first: 0, count: 4 * dy.shape.c)], kernel: 1, dilation: 1, padding: 0,
      dw: context.targets[0], accumulates: accumulates, scratch: context.scratch, threads: context.threads)
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    kernel(io, device).launches(accumulates: accumulates)
  }

  private func kernel(_ io: NodeIO, _ device: DeviceTraits) -> WeightGradientKernel {
    let (x, dy) = (io.inputs[0], io.inputs[1])
    return WeightGradientKernel(
      kernel: 1, dilation: 1, padding: 0,
      z: .init(input: 0, reading: io.readings[0], first: 0, used: x.c, channels: x.c),
      sources: [.init(input: 1, reading: io.readings[1].depth, first: 0, used: 4 * dy.c, channels: 4 * dy.c)], images: x.n,
      inPlane: (x.h, x.w), outPlane: (x.h, x.w), firstRow: 0, scratch: 0, device: device)
  }
}
