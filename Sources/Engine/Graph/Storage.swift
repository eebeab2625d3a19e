/// How a value's elements are stored, rounded to nearest even as they are written; raw values as in `storage.clh` and `VectorMath.h`.
/// Arithmetic is fp32 throughout.
public enum Storage: Int, Sendable {
  case float32 = 0
  /// IEEE half precision: activations (`ActivationStorage.fp16`). Finite values beyond ±65504 are set to that.
  case float16 = 1
  /// The upper half of an fp32: gradients (`GradientStorage.bf16`).
  case bfloat16 = 2

  public var bytesPerElement: Int { self == .float32 ? 4 : 2 }
}
