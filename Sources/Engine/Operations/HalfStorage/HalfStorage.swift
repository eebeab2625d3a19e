import VectorMath

/// Writes a value in 16 bits: IEEE half precision to nearest even, beyond ±65504 that. Input: x, stored. Result: the same shape.
///
/// For values that wait between two uses; `HalfActivations` places it. Nothing but `FromHalf` reads the result.
struct ToHalf: Operation {
  static let name = "to_half"

  func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] { [inputs[0]] }

  func cost(_ io: NodeIO) -> Cost { Cost(flops: 0, bytes: 6 * io.inputs[0].count) }

  func runOnCPU(_ context: CPUContext) {
    let to = UnsafeMutableRawPointer(context.targets[0]).assumingMemoryBound(to: UInt16.self)
    parallelFor(context.threads) { part in
      let range = share(context.inputs[0].shape.count, part, of: context.threads)
      vm_to_half(to + range.lowerBound, context.inputs[0].data + range.lowerBound, Int64(range.count))
    }
  }

  func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    [FromHalf.launch(io.inputs[0], toFloat: false, on: device)]
  }
}

/// Reads what `ToHalf` wrote. Input: 16-bit values. Result: fp32 of the same shape.
struct FromHalf: Operation {
  static let name = "from_half"

  func resultShapes(_ inputs: [Shape]) throws(EngineError) -> [Shape] { [inputs[0]] }

  func cost(_ io: NodeIO) -> Cost { Cost(flops: 0, bytes: 6 * io.inputs[0].count) }

  func runOnCPU(_ context: CPUContext) {
    let from = UnsafeRawPointer(context.inputs[0].data).assumingMemoryBound(to: UInt16.self)
    parallelFor(context.threads) { part in
      let range = share(context.inputs[0].shape.count, part, of: context.threads)
      vm_from_half(context.targets[0] + range.lowerBound, from + range.lowerBound, Int64(range.count))
    }
  }

  func launches(_ io: NodeIO, _ device: DeviceTraits) -> [Launch] {
    [Self.launch(io.inputs[0], toFloat: true, on: device)]
  }

  static func launch(_ shape: Shape, toFloat: Bool, on device: DeviceTraits) -> Launch {
    let runs = ChannelRuns(shape)
    return Launch(
      "half_storage.cl", "half_storage", defines: [("HALF_TO_FLOAT", toFloat ? 1 : 0)],
      arguments: [("y", .target(0)), ("x", .input(0))] + runs.arguments, runs: runs.global, on: device)
  }
}

extension Graph {
  /// A stored value as it comes back from 16 bits.
  public mutating func throughHalf(_ x: ValueID) -> ValueID {
    let half = source("half of \(self[x].name)", shape(x), .arena, storage: .float16)
    let full = source(self[x].name, shape(x), .arena)
    add(ToHalf(), [x], results: [half])
    add(FromHalf(), [half], results: [full])
    return full
  }
}
