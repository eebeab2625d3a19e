/// y = a·b by fragments of a device's matrix units: what a probe of them runs.
///
/// - Inputs: a (1, 1, 16, k), b (1, 1, k, 16), plain, k a multiple of 16. Result: y (1, 1, 16, 16).
public struct MatrixProduct: Operation {
  public static let name = "matrix_product"

  public init() {}

  public func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] {
    guard inputs.count == 2, inputs[0].h == 16, inputs[1].w == 16, inputs[0].w == inputs[1].h, inputs[0].w % 16 == 0 else {
      throw .shape(operation: Self.name, problem: "wants 16 rows of a multiple of 16 numbers, and as many rows of 16")
    }
    return [Shape(1, 1, 16, 16)]
  }

  public func cost(_ io: NodeIO) -> Cost { Cost(flops: 2 * 16 * 16 * io.inputs[0].w, bytes: io.byteCount) }

  public func runOnCPU(_ context: CPUContext) {
    let (a, b, k) = (context.inputs[0].data, context.inputs[1].data, context.inputs[0].shape.w)
    for row in 0..<16 {
      for column in 0..<16 {
        var sum: Float = 0
        for i in 0..<k { sum += a[row * k + i] * b[i * 16 + column] }
        context.targets[0][row * 16 + column] = sum
      }
    }
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    guard let form = device.matrixForm ?? MatrixForm(.nvidiaEmulated, .fp32) else { return [] }
    return [
      Launch(
        "matrix_product.cl", "matrix_product_probe",
        defines: form.defines
          + (form.multipliesTogether ? [("WARPGROUP", 1)] : form.moves ? [("AHEAD", 1), ("LDMATRIX", 1)] : []),
        arguments: [("y", .target(0)), ("a", .input(0)), ("b", .input(1)), ("k", .int(io.inputs[0].w))],
        global: [form.items], local: [form.items])
    ]
  }
}
