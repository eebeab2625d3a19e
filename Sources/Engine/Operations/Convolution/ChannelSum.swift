import VectorMath

/// db[c] = Σ dy[n,c,i,j]: the gradient of a bias. Sums of fixed runs first, then the runs in order.
///
/// - Inputs: dy (N, C, H, W), plain. Target: db (C).
public struct ChannelSum: Operation {
  public static let name = "channel_sum"
  let accumulates: Bool

  public init(accumulates: Bool = false) { self.accumulates = accumulates }

  public func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] { [.vector(inputs[0].c)] }

  public func reads16Bits(_ input: Int) -> Bool { true }

  public func cost(_ io: NodeIO) -> Cost { Cost(flops: io.inputs[0].count, bytes: io.byteCount) }

  public func scratchBytes(_ io: NodeIO, _ device: DeviceTraits) -> [Int] {
    device.kind == .openCL ? [ChannelRuns(io.inputs[0]).partialBytes(values: 1)] : []
  }

  public func runOnCPU(_ context: CPUContext) {
    let dy = context.inputs[0]
    parallelFor(context.threads) { part in
      for c in share(dy.shape.c, part, of: context.threads) {
        var sum = 0.0
        for n in 0..<dy.shape.n {
          sum += vm_sum(dy.data, dy.stored, Int64((n * dy.shape.c + c) * dy.shape.plane), Int64(dy.shape.plane))
        }
        context.targets[0][c] = (accumulates ? context.targets[0][c] : 0) + Float(sum)
      }
    }
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    let dy = io.inputs[0]
    let runs = ChannelRuns(dy)
    let defines = storedMacro("X_STORED", io.readings[0].data)
    return [
      Launch(
        "channel_sum.cl", "channel_sum_partial", defines: defines,
        arguments: [("partial", .scratch(0)), ("x", .input(0))] + runs.arguments, runs: runs.global, on: device),
      Launch(
        "channel_sum.cl", "channel_sum_total", defines: defines,
        arguments: [
          ("total", .target(0)), ("partial", .scratch(0)), ("channels", .int(dy.c)), ("runs", .int(runs.count)),
          ("accumulate", .int(accumulates ? 1 : 0)),
        ], runs: [dy.c], on: device),
    ]
  }
}

/// How reductions over an image batch's pixels, channel by channel, are split: runs of consecutive pixels of one image.
struct ChannelRuns {
  let shape: Shape
  /// Pixels per run.
  static let length = 8192

  init(_ shape: Shape) { self.shape = shape }

  var perImage: Int { (shape.plane + Self.length - 1) / Self.length }
  /// Runs of one channel, over all images.
  var count: Int { perImage * shape.n }
  /// CHANNEL of lanes.clh in its two dimensions.
  var global: [Int] {
    let across = stride(from: min(shape.c, 65535), to: 1, by: -1).first { shape.c % $0 == 0 } ?? 1
    return across == shape.c ? [count, across] : [count, across, shape.c / across]
  }

  func partialBytes(values: Int) -> Int { count * shape.c * values * 4 }

  /// The sizes that every partial kernel takes, in order.
  var arguments: [(name: String, value: Launch.Argument)] {
    [
      ("channels", .int(shape.c)), ("plane", .int(shape.plane)), ("runs_per_image", .int(perImage)),
      ("run_length", .int(Self.length)),
    ]
  }
}
