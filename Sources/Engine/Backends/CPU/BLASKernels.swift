import VectorMath

/// Which of its kernels OpenBLAS took for this processor.
public enum BLASKernels {
  /// What a user, or this program, tells OpenBLAS to take, read as it is loaded.
  public static let variable = "OPENBLAS_CORETYPE"

  /// What ``variable`` should say; nil where OpenBLAS knows the processor.
  ///
  /// One older than the processor takes what any has, the SSE kernels of 2004's Prescott. Haswell's are right wherever there are AVX2 and
  /// fused multiply-adds, and several times as fast.
  public static var shouldBe: String? {
    guard BLAS.core == "Prescott", vm_has_avx2_and_fma() != 0 else { return nil }
    return "Haswell"
  }
}
