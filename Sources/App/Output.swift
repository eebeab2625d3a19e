#if canImport(Glibc)
  import Glibc
#endif

/// Hands what was printed to whoever reads standard output.
func flushOutput() { fflush(nil) }
