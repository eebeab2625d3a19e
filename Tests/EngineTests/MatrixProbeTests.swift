import Foundation
import Synchronization
import Testing

@testable import Engine

/// The probe of matrix units, on a device that has none: it refuses with a reason, and notices wrong products.
@Suite(.serialized) struct MatrixProbeTests {
  private func device() throws -> OpenCLDevice { try #require(OpenCLDevice.all().first, "no OpenCL device was found") }

  @Test func anotherCompilerIsRefused() throws {
    let reasons = [
      "its compiler is not NVIDIA's", "its compiler is not AMD's", "its compiler is not AMD's",
      "it has no cl_intel_subgroup_matrix_multiply_accumulate_tf32",
    ]
    #expect(KernelChoice.matrix.count == reasons.count)
    for (kernels, reason) in zip(KernelChoice.matrix, reasons) {
      let found = MatrixProbe.ask(try device(), kernels)
      #expect(found.units == .none)
      #expect(found.reason == reason)
    }
  }

  /// A vendor's second kind is asked for where the first is refused, and one reason for both is said once.
  @Test func everyKindOfAVendorIsAskedFor() throws {
    let choices = KernelChoice.matrix.filter { $0.deviceClass == .amd }
    #expect(choices.map(\.matrixUnits) == [.amd, .amdWMMA])
    #expect(MatrixProbe.ask(try device(), choices) == MatrixFinding(.none, "its compiler is not AMD's"))
    let both = MatrixProbe.ask(try device(), [KernelChoice.matrix[0]] + choices)
    #expect(both.reason == "its compiler is not NVIDIA's; its compiler is not AMD's")
    #expect(both.notes.count == MatrixProbe.ask(try device(), KernelChoice.matrix[0]).notes.count)
  }

  @Test func anotherClassIsNotAsked() throws {
    let found = try device().findMatrixUnits()
    #expect(found.units == .none)
    #expect(found.reason.contains("NVIDIA"))
    #expect(try OpenCLBackend(device()).traits.matrixUnits == .none)
  }

  @Test(arguments: KernelChoice.allEmulated) func rightProductsPass(_ kernels: KernelChoice) throws {
    #expect(MatrixProbe.problem(of: try device(), as: kernels) == nil)
  }

  /// Faults in a fragment's layout, in its rounding, and a kernel that does not build.
  @Test(arguments: [
    (KernelChoice.emulated, "8 * ((r) & 1)", "8 * ((r) >> 1)", "fp32 is off by"),
    (
      .emulated, "product = MATRIX_PRODUCT(product, (a)[0], (b)[1]);", "product = product;", "fp32 is off by"
    ),
    (.emulated, "+ 0x7fffu", "+ 0x7fffffu", "fp32-fast is off by"),
    (
      .amdEmulated, "C_COLUMN(lane, i) (4 * ((lane) >> 4) + (i))", "C_COLUMN(lane, i) (((lane) >> 4) + 4 * (i))", "fp32 is off by"
    ),
    (.amdEmulated, "return MFMA(b.s1, a.s1, c);", "return c;", "fp32 is off by"),
    (.amdEmulated, "return MFMA(b, a, c);", "return MFMA(a, b, c);", "fp32-fast is off by"),
    (.wmmaEmulated, "C_ROW(lane, i) (2 * (i) + ((lane) >> 4))", "C_ROW(lane, i) ((i) + 8 * ((lane) >> 4))", "bf16 is off by"),
    (.wmmaEmulated, "B_COLUMN(lane) ((lane) & 15)", "B_COLUMN(lane) ((lane) & 15 ^ (lane) >> 4)", "bf16 is off by"),
    (.warpgroupEmulated, "begin + j * stride + core * leading", "begin + j * stride + core * (leading - 16)", "fp32 is off by"),
    (.warpgroupEmulated, "(ulong)((stride) >> 4) << 32", "(ulong)((stride) >> 4) << 30", "fp32 is off by"),
    (.warpgroupEmulated, "int row = i < 2 ? group_id : group_id + 8, column", "int row = group_id, column", "fp32 is off by"),
    (.warpgroupEmulated, "at & 2 ? word", "at & 1 ? word", "fp32-fast is off by"),
    (.intelEmulated, "A_ROW(lane, r) (((lane) >> 3) + 2 * (r))", "A_ROW(lane, r) (8 * ((lane) >> 3) + (r))", "fp32 is off by"),
    (.intelEmulated, "MAD(c.hi, a.hi, b)", "MAD(c.hi, a.lo, b)", "fp32 is off by"),
    (.intelEmulated, "uint shift = (get_local_id(0) & 1) * 16", "uint shift = 0", "fp32-fast is off by"),
    (.emulated, "typedef uint4 matrix_a;", "typedef uint5 matrix_a;", "fp32: "),
  ])
  func wrongProductsAreRefused(_ kernels: KernelChoice, _ find: String, _ replace: String, _ words: String) throws {
    let headers = ProgramCache.files.filter { $0.hasPrefix("matrix") && $0.hasSuffix(".clh") }
    try #require(headers.contains { ProgramCache.source($0)?.contains(find) == true })
    let problem = MatrixProbe.problem(of: try device(), as: kernels) { file, text in
      headers.contains(file) ? text.replacing(find, with: replace) : text
    }
    #expect(problem?.words.contains(words) == true, "\(problem?.words ?? "no problem")")
    #expect(problem?.holds == .always)
  }

  /// Where copies into local memory or matrices' loads from there go wrong, products without them are right.
  @Test(arguments: [
    ("matrix.clh", "  *to = *from;", "  *to = 0;"), ("matrix_nvidia.clh", "8 * r + group_id", "8 * r + 7 - group_id"),
  ])
  func wrongMovesAreNoticedAndDoneWithout(_ file: String, _ find: String, _ replace: String) throws {
    try #require(ProgramCache.source(file)?.contains(find) == true)
    for moves in [true, false] {
      let problem = MatrixProbe.problem(of: try device(), as: .emulated, matrixMoves: moves) { name, text in
        name == file ? text.replacing(find, with: replace) : text
      }
      #expect((problem == nil) != moves)
    }
  }

  @Test func answersAreKept() throws {
    let finding = MatrixFinding(.nvidia, moves: true, "it\nworks", notes: ["ldmatrix: builds"])
    #expect(finding.reason == "it works")
    #expect(MatrixFinding(text: finding.text) == finding)
    let other = MatrixFinding(.amd, "it works")
    #expect(!other.moves && MatrixFinding(text: other.text) == other)
    for text in ["", "9 1\nno such units", "1\nof an earlier probe"] { #expect(MatrixFinding(text: text) == nil) }
  }

  /// A driver that ends the process, or never answers, does so twice and no more; an interrupted question is asked again.
  @Test func whatEndsTheProcessIsAskedTwice() throws {
    let (device, choices) = (try device(), [KernelChoice.matrix[0]])
    let known = MatrixFinding(.nvidia, moves: true, "mma.sync works", notes: ["wgmma: not used"])
    let refused = "its compiler is not NVIDIA's"
    // No process has that number; process 1 is always there.
    for (process, number, asks) in [(Int32.max, 1, true), (Int32.max, 2, false), (1, 2, true), (getpid(), 1, true)] {
      let folder = FileManager.default.temporaryDirectory.appendingPathComponent("probe-\(UUID().uuidString)").path
      defer { try? FileManager.default.removeItem(atPath: folder) }
      MatrixProbe.known.withLock { $0 = [:] }
      let store = KernelStore(folder: folder)
      let text = MatrixProbe.Attempt(process: process, number: number).text(known)
      store.keep(Array(text.utf8), for: MatrixProbe.key(device))
      let found = MatrixProbe.find(device, choices, store: store)
      #expect(asks ? found.reason == refused : found == known, "\(process), time \(number): \(found.reason)")
    }
  }

  /// A product at which the device fails, as it does where a kernel touches memory that is not its own, is asked for in two processes and no
  /// more, and once in each.
  @Test func whatTheDeviceFailsAtIsAskedTwice() throws {
    let (device, choices) = (try device(), [KernelChoice.nvidiaMatrix])
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("probe-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let store = KernelStore(folder: folder)
    let (before, after) = (MatrixFinding(.nvidia, "before"), MatrixFinding(.none, "the device failed", holds: .faulted))
    var asked = 0
    for process in 1...3 {
      MatrixProbe.known.withLock { $0 = [:] }
      for _ in 1...2 {
        let found = MatrixProbe.find(device, choices, store: store) { next in
          asked += 1
          next(before)
          return after
        }
        #expect(found.reason == after.reason && found.units == .none, "process \(process)")
      }
    }
    #expect(asked == 2)
    MatrixProbe.known.withLock { $0 = [:] }
  }

  @Test(arguments: [
    ("clFinish", -5, true), ("clEnqueueReadBuffer", -9999, true), ("clFinish", -6, false), ("clCreateBuffer", -5, false),
  ])
  func faultsAreToldFromWantOfMemory(_ call: String, _ code: Int, _ isFault: Bool) {
    let error = EngineError.device(status: CLStatus(code: Int32(code), name: "a status"), call: call, device: "a device")
    #expect(error.mayBeFault == isFault)
    #expect("\(error)".contains("a kernel may have failed") == isFault)
    #expect("\(error)".contains("--memory-limit") == ((-6 ... -4).contains(code)))
  }

  /// What counts while the question is open is kept before it is asked.
  @Test func theQuestionIsKeptFirst() throws {
    var told: [MatrixFinding] = []
    _ = MatrixProbe.ask(try device(), KernelChoice.matrix.filter { $0.deviceClass == .amd }) { told.append($0) }
    #expect(told.count == 2 && told.allSatisfy { $0.units == .none })
    #expect(told[0].reason.contains("amd-matrix") && told[1].reason.contains("amd-wmma"))
  }
}
