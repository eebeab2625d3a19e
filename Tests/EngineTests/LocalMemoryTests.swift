import Engine
import OpSuite
import Testing

/// Local memory starts as whatever the last kernel left, which on a CPU are mostly numbers: so that a kernel which reads
/// what it did not write shows, it starts as NaN here.
@Suite(.serialized) struct LocalMemoryTests {
  /// By file: the line that the filling goes before, and the filling.
  private static let fillings: [String: (before: String, code: String)] = [
    "conv2d.cl": (
      "  for (int c_begin = 0; c_begin < in_channels; c_begin += chunk) {\n    int c_count",
      "  for (int l = 0; l < chunk * staged; l++) stage[l] = NAN;\n"
    ),
    "conv2d_winograd.cl": (
      "  for (int c_begin = 0; c_begin < in_channels; c_begin += chunk) {\n    int c_count",
      """
        for (int l = 0; l < (tile_height + 2) * PITCH; l++) raw[l] = NAN;
        for (int l = 0; l < (vectors + 1) / 2 * pair_step; l++) stage[l] = NAN;
        for (int l = 0; l < sum_channels * SUM_STEP; l++) sums[l] = NAN;

      """
    ),
    "conv2d_gpu.cl": (
      "  for (int c_begin = 0; c_begin < in_channels; c_begin += chunk) {\n    int c_count",
      """
        for (int l = lane; l < chunk * PATCH_H * PITCH; l += ITEMS) patch[l] = NAN;
        for (int l = lane; l < chunk * WINDOW * WINDOW * O_VECTORS; l += ITEMS) weights[l] = (float4)NAN;
        barrier(CLK_LOCAL_MEM_FENCE);

      """
    ),
    "conv2d_gpu_weight_gradient.cl": (
      "  for (int tile = first; tile < last; tile++) {",
      """
        for (int l = lane; l < PIXELS * Z_STEP; l += ITEMS) z_stage[l] = (float4)NAN;
        for (int l = lane; l < C_TILE * X_PLANE; l += ITEMS) x_stage[l] = NAN;
        barrier(CLK_LOCAL_MEM_FENCE);

      """
    ),
    "conv2d_matrix.cl": (
      "  int stages = (steps + chunk - 1) / chunk * WINDOWS;",
      """
        for (int l = item; l < chunk * PARTS * 8 * PLANE; l += MATRIX_ITEMS) patch[l] = 0x7fc00000u;
      #if AHEAD
        for (int l = 0; l < chunk * 2 * VALUES * PLACES * TENSORS; l++) copied[l * MATRIX_ITEMS] = 0x7fc00000u;
      #endif
        barrier(CLK_LOCAL_MEM_FENCE);

      """
    ),
    "conv2d_matrix_weight_gradient.cl": (
      "  for (int tile = first; tile < last; tile += VALUES) {",
      """
        for (int l = item; l < PARTS * O_TILE * Z_PLANE; l += MATRIX_ITEMS) z_stage[l] = 0x7fc00000u;
        for (int l = item; l < PARTS * C_TILE * X_PLANE; l += MATRIX_ITEMS) x_stage[l] = 0x7fc00000u;
        barrier(CLK_LOCAL_MEM_FENCE);

      """
    ),
    "conv2d_winograd_weight_gradient.cl": (
      "  for (int tile = first; tile < last; tile++) {",
      """
        for (int l = 0; l < 16 * tile_height * TILE_W; l++) raw[l] = NAN;
        for (int l = 0; l < POINTS * 256; l++) turn[l] = NAN;
        for (int l = 0; l < POINTS * z_step; l++) z_stage[l] = NAN;
        for (int l = 0; l < POINTS * x_step; l++) x_stage[l] = NAN;

      """
    ),
    "conv2d_weight_gradient.cl": (
      "  for (int tile = first; tile < last; tile++) {",
      """
        for (int l = 0; l < chunk * staged; l++) x_stage[l] = NAN;
        for (int l = 0; l < z_group * Z_PLANE; l++) z_stage[l] = NAN;

      """
    ),
  ]

  @Test func convolutionsReadOnlyWhatTheyStaged() throws {
    let device = try #require(OpenCLDevice.all().first, "no OpenCL device was found")
    for (file, filling) in Self.fillings {
      let text = try #require(ProgramCache.source(file))
      try #require(text.contains(filling.before), "\(file) no longer has the line that the filling goes before")
    }
    // Random cases too: the fault that this is for showed at every width that no vector divides.
    // What is staged where does not depend on how it is stored.
    // Of the kernels for matrix units, which take longest to compile, fewer: they stage in the way of the other GPUs'.
    for (forced, random) in [
      (KernelChoice.cpu, 60), (.nvidia, 40), (.gpu, 40), (.emulated, 12), (.amdEmulated, 12), (.intelEmulated, 12),
    ] {
      let cases = (Catalogue.quick + Catalogue.fuzz(count: random, seed: 9)).filter { !$0.isHalved }
      let backend = try OpenCLBackend(device, as: forced) { file, text in
        guard let filling = Self.fillings[file] else { return text }
        return text.replacing(filling.before, with: filling.code + filling.before)
      }
      for opCase in cases where opCase.operation.hasSuffix("convolution") {
        let result = CaseRunner.run(opCase, on: backend)
        #expect(result.passed, "\(result)")
      }
    }
  }

  /// Every other kernel has none, so that the list above is whole; but that of a probe, which would notice.
  @Test func theseAreAllKernelsWithLocalMemory() {
    let files = ProgramCache.files.filter {
      $0.hasSuffix(".cl") && $0 != "matrix_product.cl" && (ProgramCache.source($0) ?? "").contains("__local ")
    }
    #expect(Set(files) == Set(Self.fillings.keys))
  }
}
