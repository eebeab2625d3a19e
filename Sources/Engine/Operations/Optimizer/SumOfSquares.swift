import VectorMath

/// Σ x²: the square of the gradient's norm, and with it whether any gradient is NaN or infinite.
///
/// - Inputs: x, plain. Result: (1).
public struct SumOfSquares: Operation {
  public static let name = "sum_of_squares"
  public init() {}

  public func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] { [.vector(1)] }

  public func cost(_ io: NodeIO) -> Cost { Cost(flops: 2 * io.inputs[0].count, bytes: io.byteCount) }

  private static let run = 4096
  private func runs(_ io: NodeIO) -> Int { (io.inputs[0].count + Self.run - 1) / Self.run }

  public func scratchBytes(_ io: NodeIO, _ device: DeviceTraits) -> [Int] { device.kind == .openCL ? [runs(io) * 4] : [] }

  public func runOnCPU(_ context: CPUContext) {
    context.targets[0][0] = Float(vm_sum_squares(context.inputs[0].data, Int64(context.inputs[0].shape.count)))
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    [
      Launch(
        "sum_of_squares.cl", "sum_of_squares_partial",
        arguments: [
          ("partial", .scratch(0)), ("x", .input(0)), ("count", .int(io.inputs[0].count)), ("run_length", .int(Self.run)),
        ], runs: [runs(io)], on: device),
      Launch(
        "sum_of_squares.cl", "sum_of_squares_total",
        arguments: [("total", .target(0)), ("partial", .scratch(0)), ("runs", .int(runs(io)))], runs: [1], on: device),
    ]
  }
}
