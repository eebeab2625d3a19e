import CBLAS

/// Single-precision matrix products, row-major, each on the calling thread: the callers are parallel already.
enum BLAS {
  /// Keeps OpenBLAS to the calling thread, for the whole process.
  static func useOneThreadACall() { openblas_set_num_threads(1) }

  /// Address space that OpenBLAS maps for each thread that multiplies, bytes (0.3.21, x86-64). Where it gets none, it asks again
  /// without end.
  static let bufferBytes = 128 << 20

  /// The library's own description: version and the kernels it chose for this processor.
  static var configuration: String { String(cString: openblas_get_config()) }

  /// The processor whose kernels it chose, such as "Haswell".
  static var core: String? { openblas_get_corename().map { String(cString: $0) } }

  /// c (m, n; row stride ldc) = op(a) (m, k) · op(b) (k, n) + beta · c.
  static func multiply(
    transposeA: Bool = false, transposeB: Bool = false, m: Int, n: Int, k: Int, a: UnsafePointer<Float>, lda: Int,
    b: UnsafePointer<Float>, ldb: Int, beta: Float, c: UnsafeMutablePointer<Float>, ldc: Int
  ) {
    cblas_sgemm(
      CblasRowMajor, transposeA ? CblasTrans : CblasNoTrans, transposeB ? CblasTrans : CblasNoTrans, blasint(m),
      blasint(n), blasint(k), 1, a, blasint(lda), b, blasint(ldb), beta, c, blasint(ldc))
  }
}
