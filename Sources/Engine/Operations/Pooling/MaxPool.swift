import VectorMath

/// The maximum of each 2×2 window, stride 2; odd edges are dropped.
///
/// - Inputs: x (N, C, H, W) through a plain or normalised view. Result: y (N, C, ⌊H/2⌋, ⌊W/2⌋).
/// - Gradient: to the window's first maximum in row-major order; found again from x, so nothing is kept for it.
public struct MaxPool: Operation {
  public static let name = "max_pool"
  public static let readsViews = true
  public init() {}

  public func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] {
    let x = inputs[0]
    guard x.h >= 2, x.w >= 2 else {
      throw .shape(operation: Self.name, problem: "a plane of \(x.h)x\(x.w) has no 2x2 window")
    }
    return [Shape(x.n, x.c, x.h / 2, x.w / 2)]
  }

  public func differentiate(_ node: Node, _ tape: inout Differentiation) throws(EngineError) {
    guard let dy = tape.storedUpstream(node.results[0]), let target = try tape.target(for: node.inputs[0]) else { return }
    tape.apply(MaxPoolGradient(accumulates: target.accumulates), [node.inputs[0], dy], into: target)
  }

  public func reads16Bits(_ input: Int) -> Bool { input == 0 }
  public func writes16Bits(_ target: Int, _ io: NodeIO, _ device: DeviceTraits) -> Bool { device.kind == .openCL }

  public func cost(_ io: NodeIO) -> Cost { Cost(flops: 3 * io.targets[0].count, bytes: io.byteCount) }

  public func runOnCPU(_ context: CPUContext) {
    let x = context.inputs[0]
    let out = context.io.targets[0]
    parallelFor(context.threads) { part in
      var operand = x.vector
      for index in share(out.n * out.c, part, of: context.threads) {
        for row in 0..<out.h {
          vm_max_pool_row(
            context.targets[0] + (index * out.h + row) * out.w, &operand, Int64(index / out.c), Int64(index % out.c),
            Int64(row), Int64(out.w))
        }
      }
    }
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    let (x, y) = (io.inputs[0], io.targets[0])
    return [
      Launch(
        "max_pool.cl", "max_pool_forward",
        // ACCUMULATE means nothing here: it makes one program of this and of the gradient behind a skip connection, where that is in 32
        // bits.
        defines: [("X_MODE", io.readings[0].code), ("ACCUMULATE", 1)] + storedMacro("Y_STORED", io.targetStorage[0]),
        arguments: [("y", .target(0))] + Launch.operand("x", 0) + [
          ("channels", .int(x.c)), ("in_height", .int(x.h)), ("in_width", .int(x.w)),
        ], runs: [y.h, x.c, x.n], on: device, rows: true)
    ]
  }
}

/// The gradient of `MaxPool`. Inputs: x (through the same view), dy. Target: dx (N, C, H, W).
public struct MaxPoolGradient: Operation {
  public static let name = "max_pool_gradient"
  let accumulates: Bool

  public func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] { [inputs[0]] }

  public func reads16Bits(_ input: Int) -> Bool { true }
  public func writes16Bits(_ target: Int, _ io: NodeIO, _ device: DeviceTraits) -> Bool { true }

  /// What is added to is read as well as written.
  public func cost(_ io: NodeIO) -> Cost {
    Cost(flops: 3 * io.inputs[1].count, bytes: io.byteCount + (accumulates ? io.targetBytes(0) : 0))
  }

  public func runOnCPU(_ context: CPUContext) {
    let (x, dy) = (context.inputs[0], context.inputs[1])
    parallelFor(context.threads) { part in
      var operand = x.vector
      for index in share(x.shape.n * x.shape.c, part, of: context.threads) {
        for row in 0..<((x.shape.h + 1) / 2) {
          vm_max_pool_gradient_rows(
            context.targets[0], context.io.stored(0), &operand, dy.data, dy.stored, Int64(index / x.shape.c),
            Int64(index % x.shape.c), Int64(row), Int64(dy.shape.h), Int64(dy.shape.w), accumulates ? 1 : 0)
        }
      }
    }
  }

  public func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    let x = io.inputs[0]
    return [
      Launch(
        "max_pool.cl", "max_pool_backward",
        // Y_STORED means nothing here: see above.
        defines: [("X_MODE", io.readings[0].code), ("ACCUMULATE", accumulates ? 1 : 0)]
          + storedMacro("Y_STORED", io.readings[0].data) + storedMacro("DX_STORED", io.targetStorage[0])
          + storedMacro("DY_STORED", io.readings[1].data),
        arguments: [("dx", .target(0))] + Launch.operand("x", 0) + [
          ("dy", .input(1)), ("channels", .int(x.c)), ("in_height", .int(x.h)), ("in_width", .int(x.w)),
        ], runs: [(x.h + 1) / 2, x.c, x.n], on: device, rows: true)
    ]
  }
}
