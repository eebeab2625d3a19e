/// Programs with instructions that NVIDIA's assembler takes for sm_90a alone, of a driver that compiles OpenCL C for sm_90.
///
/// Such a driver's assembler refuses the text as it is. So these instructions are written as comments, which its compiler passes on; the
/// binary that it gives is PTX, in which they become instructions and the target sm_90a; and of that it makes the program.
/// `matrix_warpgroup.clh` writes them so where `macro` is defined.
enum HopperText {
  /// Put before a program's text.
  static let macro = "#define HOPPER_AS_COMMENTS 1\n"
  /// Before each instruction that is a comment.
  static let mark = "//sm_90a "

  /// - Parameter binary: what the driver gives for a program that was built with `macro`.
  /// - Returns: PTX for sm_90a; nil where the binary is no text for sm_90, or has no such instruction.
  static func retargeted(_ binary: [UInt8]) -> [UInt8]? {
    guard !binary.dropLast().contains(0) else { return nil }
    let text = String(decoding: binary, as: UTF8.self)
    let target = /\.target\s+sm_90a?\b/
    guard text.contains(mark), text.contains(target) else { return nil }
    return Array(text.replacing(target, with: ".target sm_90a").replacing(mark, with: "").utf8)
  }
}
