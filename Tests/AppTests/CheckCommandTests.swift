import Engine
import Foundation
import Testing

@testable import App

#if canImport(FoundationXML)
  import FoundationXML
#endif

/// What `glomseg check` writes.
@Suite struct CheckCommandTests {
  private var report: CheckReport {
    var report = CheckReport()
    report.begin(.init(name: "opencl:0:0 A & B", platform: "P", driver: "1"))
    report.add(.init(name: "relu/a", operation: "relu", device: "opencl:0:0 A & B", outcome: .passed, error: 1, bound: 4))
    report.add(
      .init(
        name: "relu/b", operation: "relu", device: "opencl:0:0 A & B", outcome: .failed, error: .infinity, bound: 1,
        problems: ["y[3] is nan <\"'&\u{1}", "second"]))
    report.add(.init(name: "relu/c", operation: "relu", device: "opencl:0:0 A & B", outcome: .skipped, problems: ["late"]))
    return report
  }

  @Test func countsAndVerdict() {
    #expect(!report.passed)
    #expect(report.verdict == "FAILED: 1 passed, 1 failed, 1 skipped on opencl:0:0 A & B")
    #expect(report.summary().contains("not a number"))
    #expect(!CheckReport().passed, "a check of nothing must not pass")
  }

  /// One that answers is kept; one whose context a fault has taken is opened again, with the same kernels and precision.
  @Test func aDeviceThatNoLongerAnswersIsOpenedAgain() throws {
    let device = try #require(OpenCLDevice.all().first, "no OpenCL device was found")
    let healthy = try OpenCLBackend(device)
    #expect(try CheckCommand.answering(healthy) as AnyObject === healthy)
    let dead = try OpenCLBackend(
      device, as: .nvidia, precision: .tf32, faults: FaultPlan(call: "clFinish", number: 1, code: -36, lasts: true))
    #expect(!dead.responds && !dead.responds)
    let again = try #require(try CheckCommand.answering(dead) as? OpenCLBackend)
    #expect(again !== dead && again.responds && again.name == dead.name && again.traits.precision == .tf32)
    let cpu = CPUBackend()
    #expect(try CheckCommand.answering(cpu).name == cpu.name)
  }

  @Test func jsonHoldsInfinity() throws {
    let data = try JSONEncoder().encode(report.json)
    let object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    #expect(object["passed"] as? Int == 1 && object["failed"] as? Int == 1 && object["skipped"] as? Int == 1)
    #expect(object["devices"] as? [String] == ["opencl:0:0 A & B"])
    let results = try #require(object["results"] as? [[String: Any]])
    #expect(results.count == 3)
    #expect(results[1]["error"] == nil)
    #expect((results[1]["problem"] as? String)?.contains("nan") == true)
  }

  @Test func junitIsWellFormed() {
    let text = report.junit()
    let parser = XMLParser(data: Data(text.utf8))
    #expect(parser.parse(), "\(String(describing: parser.parserError))")
    #expect(text.contains("tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\""))
    #expect(text.contains("opencl:0:0 A &amp; B"))
    #expect(!text.contains("\u{1}"))
  }
}
