/// A batch norm whose running statistics are constants, with gradients: for training on from a model whose statistics are
/// better than those of the batches at hand.
///
/// - Inputs: z (N, C, H, W) stored, γ, β, running mean, running variance (C each). Result: table (1, C, 1, 4) as `BatchNorm`'s.
public struct FrozenBatchNorm: Operation {
  public static let name = "frozen_batch_norm"
  let relu: Bool
  let epsilon: Float

  private var table: BatchNormInference { BatchNormInference(epsilon: epsilon) }

  public func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] { [Shape(1, inputs[0].c, 1, 4)] }

  public func differentiate(_ node: Node, _ tape: inout Differentiation) throws(EngineError) {
    try tape.differentiateNorm(node, relu: relu, frozen: true)
  }

  public func reads16Bits(_ input: Int) -> Bool { input == 0 }

  public func cost(_ io: NodeIO) -> Cost { Cost(flops: 4 * io.inputs[1].count, bytes: 20 * io.inputs[1].count) }

  public func runOnCPU(_ context: CPUContext) {
    table.runOnCPU(
      CPUContext(
        inputs: Array(context.inputs.dropFirst()), targets: context.targets, scratch: [],
        io: NodeIO(
          inputs: Array(context.io.inputs.dropFirst()), readings: Array(context.io.readings.dropFirst()),
          targets: context.io.targets, targetStorage: context.io.targetStorage), threads: context.threads))
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    [table.launch(channels: io.inputs[0].c, firstInput: 1)]
  }
}
