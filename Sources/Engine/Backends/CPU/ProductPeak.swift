extension CPUBackend {
  /// Measures the most that BLAS does with a product of 512 × 512 matrices on each thread, for benchmarks: what the CPU path's
  /// convolutions can reach.
  ///
  /// - Returns: floating-point operations a second, the best of runs over about `seconds`.
  public func productPeak(seconds: Double = 1) -> Double {
    let (side, repeats, threads) = (512, 8, traits.computeUnits)
    let matrices = [Float](repeating: 0.5, count: 2 * side * side)
    var results = [Float](repeating: 0, count: threads * side * side)
    var best = 0.0
    let end = monotonicSeconds() + seconds
    matrices.withUnsafeBufferPointer { matrices in
      results.withUnsafeMutableBufferPointer { results in
        guard let a = matrices.baseAddress, let c = results.baseAddress else { return }
        while monotonicSeconds() < end {
          let start = monotonicSeconds()
          parallelFor(threads) { part in
            for _ in 0..<repeats {
              BLAS.multiply(
                m: side, n: side, k: side, a: a, lda: side, b: a + side * side, ldb: side, beta: 0,
                c: c + part * side * side, ldc: side)
            }
          }
          let flops = Double(2 * threads * repeats * side * side * side)
          best = max(best, flops / (monotonicSeconds() - start))
        }
      }
    }
    return best
  }
}
