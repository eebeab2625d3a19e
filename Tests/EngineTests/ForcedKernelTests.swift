import Engine
import OpSuite
import Testing

/// The kernels of other devices, on the first OpenCL device: GPUs' with and without matrix units. Scripts/test gives them a process
/// beside that of the other tests.
@Suite(.serialized) struct ForcedKernelTests {
  /// 16 bits are read and written in the same way in every precision: with one of them.
  private func quick(_ precision: Precision) -> [OpCase] {
    Catalogue.quick.filter { precision == .bf16 || !$0.isHalved }
  }

  /// The kernels for GPUs, on whatever is there: the short cases, which reach every kernel, in each form of their tiles, and random ones.
  /// PoCL takes minutes for all cases: those are `Scripts/opencl-matrix`'s part.
  @Test func casesAsOnAGPU() throws {
    let device = try #require(OpenCLDevice.all().first, "no OpenCL device was found")
    try checkConformance(of: Catalogue.quick + Catalogue.fuzz(count: 20, seed: 33), on: OpenCLBackend(device, as: .nvidia))
    try checkConformance(of: Catalogue.quick, on: OpenCLBackend(device, as: .gpu))
  }

  /// The kernels for matrix units with emulated products, rounded as each precision rounds.
  @Test(arguments: Precision.allCases) func quickCasesAsOnMatrixUnits(_ precision: Precision) throws {
    let device = try #require(OpenCLDevice.all().first, "no OpenCL device was found")
    let backend = try OpenCLBackend(device, as: .emulated, precision: precision)
    #expect(backend.traits.arithmetic == precision)
    try checkConformance(of: quick(precision), on: backend)
  }

  /// Those that four warps compute together, 64 channels at a time: short cases with and without halo, dilated, of two sources, stored by
  /// depth, and in 16 bits; of two parts too.
  @Test(arguments: [Precision.fp32, .tf32, .bf16]) func convolutionsAsOfWarpgroups(_ precision: Precision) throws {
    let device = try #require(OpenCLDevice.all().first, "no OpenCL device was found")
    let backend = try OpenCLBackend(device, as: .warpgroupEmulated, precision: precision)
    #expect(backend.traits.arithmetic == precision)
    let names = ["n1_c33_o32_h9", "n1_c33_o65_h7", "_o17+16+17_", "n2_c40_o70_h5", "c20+29_o40", "n1_c130_o65_h5"]
    let some = try names.flatMap { try Catalogue.matching($0) }.filter { $0.isHalved == (precision == .bf16) }
    let cases = try Coverage.multipliedTogether(some + Catalogue.matching("matrix_product"), on: backend.traits)
    try #require(cases.filter { $0.operation == "convolution" }.count >= 5)
    for name in ["matrix_product", "transposed_convolution"] { try #require(cases.contains { $0.operation == name }) }
    try checkConformance(of: cases, on: backend)
  }

  /// The same with AMD's fragments, which differ by what operands are rounded to: fp32 as it is, bf16, and two bf16 numbers.
  @Test(arguments: [Precision.fp32, .fp32Fast, .bf16]) func convolutionsAsOnAMDsMatrixUnits(_ precision: Precision) throws {
    let device = try #require(OpenCLDevice.all().first, "no OpenCL device was found")
    let backend = try OpenCLBackend(device, as: .amdEmulated, precision: precision)
    #expect(backend.traits.arithmetic == precision)
    try checkConformance(
      of: quick(precision).filter { $0.operation.hasSuffix("convolution") || $0.operation == "matrix_product" }, on: backend)
    #expect(try OpenCLBackend(device, as: .amdEmulated, precision: .tf32).traits.arithmetic == .fp32)
  }

  /// And with those of AMD's RDNA 3, which multiply bf16 alone; what is asked for besides runs without them.
  @Test func convolutionsAsOnRDNA3sMatrixUnits() throws {
    let device = try #require(OpenCLDevice.all().first, "no OpenCL device was found")
    let backend = try OpenCLBackend(device, as: .wmmaEmulated, precision: .bf16)
    #expect(backend.traits.arithmetic == .bf16 && backend.traits.usesMatrixUnits)
    try checkConformance(
      of: quick(.bf16).filter { $0.operation.hasSuffix("convolution") || $0.operation == "matrix_product" }, on: backend)
    for precision in [Precision.fp32, .fp32Fast, .tf32] {
      let traits = try OpenCLBackend(device, as: .wmmaEmulated, precision: precision).traits
      #expect(traits.arithmetic == .fp32 && !traits.usesMatrixUnits)
    }
  }

  /// And with Intel's: its two fragments, bf16 in one part and TF32 in two; of their other parts, which are matrix.clh's, one convolution.
  @Test(arguments: Precision.allCases) func convolutionsAsOnIntelsMatrixUnits(_ precision: Precision) throws {
    let device = try #require(OpenCLDevice.all().first, "no OpenCL device was found")
    let backend = try OpenCLBackend(device, as: .intelEmulated, precision: precision)
    #expect(backend.traits.arithmetic == precision)
    let inFull = precision == .bf16 || precision == .fp32
    let cases =
      try inFull
      ? quick(precision).filter { $0.operation.hasSuffix("convolution") || $0.operation == "matrix_product" }
      : ["convolution/n1_c33_o32_h9_w35_k3_d1_seed1", "matrix_product/"].flatMap { try Catalogue.matching($0) }
    try checkConformance(of: cases, on: backend)
  }
}
