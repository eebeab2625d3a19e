import VectorMath

/// The pointers of one node's run on the CPU path.
public struct CPUContext {
  let inputs: [CPUOperand]
  let targets: [UnsafeMutablePointer<Float>]
  let scratch: [UnsafeMutablePointer<Float>]
  let io: NodeIO
  let threads: Int
}

/// An input read through its view.
struct CPUOperand {
  let data: UnsafePointer<Float>
  let table: UnsafePointer<Float>
  let aux: UnsafePointer<Float>
  let reading: Reading
  let shape: Shape

  /// How `data` is stored, as VectorMath knows it.
  var stored: Int32 { Int32(reading.data.rawValue) }
  /// An element of a plain operand.
  func element(_ index: Int) -> Double { Double(vm_element(data, stored, Int64(index))) }

  /// The operand as VectorMath takes it.
  var vector: vm_operand {
    vm_operand(
      data: data, table: table, aux: aux, mode: Int32(reading.code), channels: Int64(shape.c),
      height: Int64(shape.h), width: Int64(shape.w))
  }

  /// A plain operand (n, c, 2h, 2w) read as (n, 4c, h, w).
  var depth: vm_operand {
    vm_operand(
      data: data, table: table, aux: aux, mode: Int32(reading.depth.code), channels: Int64(shape.c * 4),
      height: Int64(shape.h / 2), width: Int64(shape.w / 2))
  }
}

extension NodeIO {
  /// How a target is stored, as VectorMath knows it.
  func stored(_ target: Int) -> Int32 { Int32(targetStorage[target].rawValue) }
}
