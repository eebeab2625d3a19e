/// What a step's update reads, made on the device, so that the host waits for neither the loss nor the gradient's norm before it
/// hands the update over.
///
/// - Inputs: wanted (5), as ``wanted(by:number:learningRate:weightDecay:gradientClip:averageRate:)`` gives it; Σg² (1); the loss,
///   of which the first element counts. Results: Adam's controls (4); the moving average's (1).
///
/// A gradient whose norm is above the largest one is scaled down to it. Where the loss or Σg² is NaN or infinite, the scale is −1,
/// with which Adam changes nothing, and the average's rate 0.
public struct StepControls: Operation {
  public static let name = "step_controls"
  public init() {}

  /// - Parameters:
  ///   - number: of the step, from 1.
  ///   - gradientClip: the largest norm; nil leaves gradients as they are.
  public static func wanted(
    by adam: Adam, number: Int, learningRate: Double, weightDecay: Double, gradientClip: Double?, averageRate: Float
  ) -> [Float] {
    var controls = adam.controls(number: number, learningRate: learningRate, weightDecay: weightDecay)
    controls[2] = Float(gradientClip ?? 0)
    return controls + [averageRate]
  }

  public func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] { [.vector(4), .vector(1)] }

  public func cost(_ io: NodeIO) -> Cost { Cost(flops: 2, bytes: 4 * 12) }

  public func runOnCPU(_ context: CPUContext) {
    let (wanted, squaredNorm, loss) = (context.inputs[0].data, context.inputs[1].data[0], context.inputs[2].data[0])
    let isTaken = squaredNorm.isFinite && loss.isFinite
    let (norm, most) = (squaredNorm.squareRoot(), wanted[2])
    let controls = context.targets[0]
    controls[0] = wanted[0]
    controls[1] = wanted[1]
    controls[2] = !isTaken ? -1 : most > 0 && norm > most ? most / norm : 1
    controls[3] = wanted[3]
    context.targets[1][0] = isTaken ? wanted[4] : 0
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    [
      Launch(
        "step_controls.cl", "step_controls",
        arguments: [
          ("controls", .target(0)), ("rate", .target(1)), ("wanted", .input(0)), ("squared_norm", .input(1)),
          ("loss", .input(2)),
        ], runs: [1], on: device)
    ]
  }
}
