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
    for backend in backends { try checkConformance(of: Catalogue.all, on: backend) }
  }

  /// A training step's gradients and ten steps' losses, on each device against Double.
  @Test(arguments: NetworkCase.all) func wholeNetworkOnEveryDevice(_ network: NetworkCase) throws {
    let device = try #require(OpenCLDevice.all().first, "no OpenCL device was found")
    // Of the kernels that only gradients in 16 bits take, one network's are enough there.
    let asGPU = try network.gradients == .fp32 || network.activations == .fp16 ? [OpenCLBackend(device, as: .nvidia)] : []
    for backend in try Devices.all() + asGPU {
      let result = network.run(on: backend)
      #expect(result.passed, "\(result)")
      // Each gradient, or all as one; the logits, and a loss at least.
      #expect(result.tensors.count > (network.activations == .fp32 ? 50 : 4))
    }
  }

  @Test(.enabled(if: ProcessInfo.processInfo.environment["GLOMSEG_LARGE"] != nil, "large cases: set GLOMSEG_LARGE"))
  func largeCasesOnEveryDevice() throws {
    for backend in try Devices.all() { try checkConformance(of: Catalogue.large, on: backend) }
  }

  @Test func randomCasesOnEveryDevice() throws {
    let environment = ProcessInfo.processInfo.environment
    let count = environment["GLOMSEG_FUZZ"].flatMap { Int($0) } ?? 40
    let seed = environment["GLOMSEG_SEED"].flatMap { UInt64($0) } ?? 2026
    for backend in try Devices.all() { try checkConformance(of: Catalogue.fuzz(count: count, seed: seed), on: backend) }
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

  /// For whoever promises devices: their names, one a line, in the file that GLOMSEG_DEVICES_FILE names.
  private func recordDevices(_ backends: [any Backend]) throws {
    guard let path = ProcessInfo.processInfo.environment["GLOMSEG_DEVICES_FILE"] else { return }
    try backends.map { $0.name + "\n" }.joined().write(toFile: path, atomically: true, encoding: .utf8)
  }
}
