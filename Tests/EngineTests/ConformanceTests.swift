import Engine
import Foundation
import OpSuite
import Testing

/// Every case on every backend, against the Double reference. Fails where there is no OpenCL device.
///
/// Cases run one after the other: a device is one queue, and the CPU path uses every core itself.
@Suite(.serialized) struct ConformanceTests {
  @Test func everyCaseOnEveryDevice() throws {
    let backends = try Devices.all()
    try recordDevices(backends)
    for backend in backends { try check(Catalogue.all, on: backend) }
  }

  /// The kernels for GPUs, on whatever is there: one class in full, and one of each other form of its tiles.
  @Test func everyCaseAsOnAGPU() throws {
    let device = try #require(OpenCLDevice.all().first, "no OpenCL device was found")
    try check(Catalogue.all, on: OpenCLBackend(device, as: .nvidia))
    try check(Catalogue.quick, on: OpenCLBackend(device, as: .gpu))
  }

  /// The kernels for matrix units with emulated products, rounded as each precision rounds.
  @Test(arguments: Precision.allCases) func quickCasesAsOnMatrixUnits(_ precision: Precision) throws {
    let device = try #require(OpenCLDevice.all().first, "no OpenCL device was found")
    let backend = try OpenCLBackend(device, as: .emulated, precision: precision)
    #expect(backend.traits.arithmetic == precision)
    try check(Catalogue.quick, on: backend)
  }

  /// The same with AMD's fragments, which differ by what operands are rounded to: fp32 as it is, bf16, and two bf16 numbers.
  @Test(arguments: [Precision.fp32, .fp32Fast, .bf16]) func convolutionsAsOnAMDsMatrixUnits(_ precision: Precision) throws {
    let device = try #require(OpenCLDevice.all().first, "no OpenCL device was found")
    let backend = try OpenCLBackend(device, as: .amdEmulated, precision: precision)
    #expect(backend.traits.arithmetic == precision)
    try check(Catalogue.quick.filter { $0.operation.hasSuffix("convolution") || $0.operation == "matrix_product" }, on: backend)
    #expect(try OpenCLBackend(device, as: .amdEmulated, precision: .tf32).traits.arithmetic == .fp32)
  }

  /// And with Intel's.
  @Test(arguments: Precision.allCases) func convolutionsAsOnIntelsMatrixUnits(_ precision: Precision) throws {
    let device = try #require(OpenCLDevice.all().first, "no OpenCL device was found")
    let backend = try OpenCLBackend(device, as: .intelEmulated, precision: precision)
    #expect(backend.traits.arithmetic == precision)
    try check(Catalogue.quick.filter { $0.operation.hasSuffix("convolution") || $0.operation == "matrix_product" }, on: backend)
  }

  /// A training step's gradients and ten steps' losses, on each device against Double.
  @Test(arguments: NetworkCase.all) func wholeNetworkOnEveryDevice(_ network: NetworkCase) throws {
    let device = try #require(OpenCLDevice.all().first, "no OpenCL device was found")
    for backend in try Devices.all() + [OpenCLBackend(device, as: .nvidia)] {
      let result = network.run(on: backend)
      #expect(result.passed, "\(result)")
      #expect(result.tensors.count > 50)
    }
  }

  @Test(.enabled(if: ProcessInfo.processInfo.environment["GLOMSEG_LARGE"] != nil, "large cases: set GLOMSEG_LARGE"))
  func largeCasesOnEveryDevice() throws {
    for backend in try Devices.all() { try check(Catalogue.large, on: backend) }
  }

  @Test func randomCasesOnEveryDevice() throws {
    let environment = ProcessInfo.processInfo.environment
    let count = environment["GLOMSEG_FUZZ"].flatMap { Int($0) } ?? 40
    let seed = environment["GLOMSEG_SEED"].flatMap { UInt64($0) } ?? 2026
    for backend in try Devices.all() { try check(Catalogue.fuzz(count: count, seed: seed), on: backend) }
  }

  /// Cases whose `--filter` is in GLOMSEG_CASES, for somebody who looks for one fault.
  @Test(.enabled(if: ProcessInfo.processInfo.environment["GLOMSEG_CASES"] != nil, "GLOMSEG_CASES names no cases"))
  func chosenCases() throws {
    let filter = ProcessInfo.processInfo.environment["GLOMSEG_CASES"] ?? ""
    for backend in try Devices.all() {
      for opCase in try Catalogue.matching(filter) {
        let result = CaseRunner.run(opCase, on: backend)
        #expect(result.passed, "\(result)")
        for tensor in result.tensors { print("\(opCase.name): \(tensor), \(tensor.ratio) of the bound") }
      }
    }
  }

  private func check(_ cases: [OpCase], on backend: any Backend) throws {
    try #require(!cases.isEmpty)
    let start = monotonicSeconds()
    var worst: [String: (ratio: Double, text: String)] = [:]
    var seconds: [String: Double] = [:]
    var passed = 0
    for opCase in cases {
      let result = CaseRunner.run(opCase, on: backend)
      if let reason = result.skipReason {
        print("\(backend.name): skipped \(opCase): \(reason)")
        continue
      }
      #expect(result.passed, "\(result)")
      if result.passed { passed += 1 }
      seconds[opCase.operation, default: 0] += result.elapsedSeconds
      if let tensor = result.worst, tensor.ratio >= worst[opCase.operation]?.ratio ?? -1 {
        worst[opCase.operation] = (tensor.ratio, "\(opCase.name): \(tensor)")
      }
    }
    let elapsed = monotonicSeconds() - start
    print(String(format: "%@: %d of %d cases passed in %.1f s", backend.name, passed, cases.count, elapsed))
    for (operation, worst) in worst.sorted(by: { $0.key < $1.key }) {
      print(
        String(
          format: "  %@, %.1f s, worst %.2f of its bound: %@", operation, seconds[operation] ?? 0, worst.ratio,
          worst.text))
    }
  }

  /// For whoever promises devices: their names, one a line, in the file that GLOMSEG_DEVICES_FILE names.
  private func recordDevices(_ backends: [any Backend]) throws {
    guard let path = ProcessInfo.processInfo.environment["GLOMSEG_DEVICES_FILE"] else { return }
    try backends.map { $0.name + "\n" }.joined().write(toFile: path, atomically: true, encoding: .utf8)
  }
}
