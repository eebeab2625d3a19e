import VectorMath

/// What this machine's processor has.
enum Processor {
  /// 32 registers of 16 floats.
  static var hasAVX512: Bool { vm_has_avx512() != 0 }
}
