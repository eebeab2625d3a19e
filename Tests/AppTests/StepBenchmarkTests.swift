import Benchmarks
import Testing

@testable import App
@testable import Engine

/// `glomseg bench step --largest-batch` where a device has less memory than it says.
struct LargestBatchTests {
  private func refusal(_ code: Int32) -> EngineError {
    .device(status: CLStatus(code: code, name: "a status"), call: "clCreateBuffer", device: "a device")
  }

  @Test(arguments: [Int32(-4), -5, -6])
  func takesAnEighthLessWhereMemoryIsAtAnEnd(_ code: Int32) {
    #expect(BenchStepCommand.fewer(than: 17, after: refusal(code)) == 15)
    #expect(BenchStepCommand.fewer(than: 2, after: refusal(code)) == 1)
    #expect(BenchStepCommand.fewer(than: 1, after: refusal(code)) == nil)
    #expect("\(refusal(code))".contains("--memory-limit"))
  }

  @Test func takesNoLessAfterAnotherError() {
    #expect(BenchStepCommand.fewer(than: 17, after: refusal(-54)) == nil)
    #expect(BenchStepCommand.fewer(than: 17, after: .request("nonsense")) == nil)
    #expect(!"\(refusal(-54))".contains("--memory-limit"))
    #expect(BenchStepCommand.fewer(than: 17, after: .memory(neededBytes: 2, availableBytes: 1, purpose: "a step")) == 15)
  }
}

/// What a benchmark does to the device between its runs.
struct TimingTests {
  /// A queue that keeps times makes each launch slower: a step that is not broken down has none.
  @Test func stepsAreTimedWithoutTheDevicesClock() throws {
    let backend = try OpenCLBackend(try #require(OpenCLDevice.all().first, "no OpenCL device was found"))
    let benchmark = try StepBenchmark(patch: 32, base: 4, batch: 1, backend: backend)
    #expect(!backend.keepsTimes)
    #expect(try benchmark.sample().nodes.reduce(0, +) > 0)
    #expect(!backend.keepsTimes)
    let cpu = try StepBenchmark(patch: 32, base: 4, batch: 1, backend: CPUBackend())
    #expect(try cpu.sample().nodes.reduce(0, +) > 0)
  }
}
