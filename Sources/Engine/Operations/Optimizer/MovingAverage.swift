import VectorMath

/// An exponential moving average over a whole slab: average += rate·(x − average).
///
/// - Inputs: x (any shape), controls (1): rate, 1 − decay. Updates: average, of x's shape.
public struct MovingAverage: Operation {
  public static let name = "moving_average"
  public init() {}

  /// The rate of step `number` (from 1). Early averages follow closely, because what training starts from is worth little:
  /// decay = min(`decay`, (1 + number) / (10 + number)).
  public static func rate(number: Int, decay: Double) -> Float {
    Float(1 - min(decay, Double(1 + number) / Double(10 + number)))
  }

  public func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] { [] }

  public func cost(_ io: NodeIO) -> Cost { Cost(flops: 2 * io.inputs[0].count, bytes: 3 * 4 * io.inputs[0].count) }

  public func runOnCPU(_ context: CPUContext) {
    let rate = context.inputs[1].data[0]
    parallelFor(context.threads) { part in
      let range = share(context.inputs[0].shape.count, part, of: context.threads)
      vm_moving_average(
        context.targets[0] + range.lowerBound, context.inputs[0].data + range.lowerBound, Int64(range.count), rate)
    }
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    let count = io.inputs[0].count
    return [
      Launch(
        "moving_average.cl", "moving_average",
        arguments: [("average", .target(0)), ("x", .input(0)), ("controls", .input(1)), ("count", .int(count))],
        runs: device.deviceClass.tuning.spans(count), on: device)
    ]
  }
}
