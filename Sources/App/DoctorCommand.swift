import ArgumentParser
import Benchmarks
import Engine
import Foundation
import OpSuite

/// `glomseg doctor`.
struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor", abstract: "Say in seconds whether a device can be trusted, and whether it is worth it.",
    discussion: """
      Example: glomseg doctor

      Compiles the kernels, compares a few cases with the reference, times a small training step against the CPU path, \
      and gives each device a verdict. Exits with 1 when a device is wrong. 'glomseg check' looks at every case.
      """)

  @Option(help: "all: the CPU path and every OpenCL device; or auto, gpu, cpu, opencl, opencl:P:D, part of a device's name.")
  var device = "all"

  /// The operations to look at, one quick case each but for the convolution, which has a form for each dilation.
  private static let operations = [
    "convolution": 3, "transposed_convolution": 1, "batch_norm": 2, "max_pool": 1, "bce_dice_loss": 1, "adam": 1,
    // A long loop.
    "roof": 1,
  ]
  private static let (patch, base, batch) = (64, 16, 4)

  func run() throws {
    try failing {
      let cases = Self.cases
      let cpu = CPUBackend()
      let cpuStep = try Self.stepSeconds(cpu)
      var wrong = false
      func examine(_ backend: any Backend, _ lines: [String]) {
        let (verdict, right) = Self.examine(backend, cases, cpuStep: cpuStep, lines)
        if !right { wrong = true }
        print(verdict + "\n")
        flushOutput()
      }
      if device == "all" {
        let found = OpenCLDevice.all()
        for driver in OpenCLDevice.addedDrivers { print("added driver \(driver.library): \(driver.reason)\n") }
        examine(cpu, ["CPU path: \(cpu.traits.name), \(cpu.traits.computeUnits) threads"])
        for device in found {
          let lines = Self.describe(device)
          do throws(EngineError) { examine(try OpenCLBackend(device), lines) } catch {
            wrong = true
            print((lines + ["  verdict   do not use: \(error)"]).joined(separator: "\n") + "\n")
          }
        }
        for driver in IdleDriver.all() { print("driver \(driver.library) \(driver.reason)\n") }
        if found.isEmpty { print("no OpenCL device was found: only the CPU path is there to use") }
      } else {
        let backend = try chooseBackend(device)
        examine(backend, (backend as? OpenCLBackend).map { Self.describe($0.device) } ?? ["CPU path: \(cpu.traits.name)"])
      }
      if wrong { throw ExitCode.failure }
    }
  }

  private static var cases: [OpCase] {
    operations.sorted { $0.key < $1.key }.flatMap { name, count in
      Catalogue.quick.filter { $0.operation == name }.prefix(count)
    }
  }

  private static func describe(_ device: OpenCLDevice) -> [String] {
    [
      "\(device.selector) \(device.name) (\(device.kind.rawValue))",
      "  driver    \(device.platformName), \(device.driverVersion), \(device.deviceVersion)",
      "  memory    \(formatBytes(device.memoryBytes)), local \(formatBytes(device.localBytes))",
      "  matrix    \(device.findMatrixUnits().described)",
    ]
  }

  /// Compiles, checks and times; never throws.
  private static func examine(
    _ backend: any Backend, _ cases: [OpCase], cpuStep: Double, _ lines: [String]
  ) -> (text: String, right: Bool) {
    var lines = lines
    func end(_ verdict: String, right: Bool) -> (text: String, right: Bool) {
      ((lines + ["  verdict   \(verdict)"]).joined(separator: "\n"), right)
    }
    let start = monotonicSeconds()
    var worst = 0.0
    var wrong: [String] = []
    for opCase in cases {
      let result = CaseRunner.run(opCase, on: backend)
      worst = max(worst, result.worst?.ratio ?? 0)
      guard !result.passed else { continue }
      wrong.append("\(opCase.operation) \(fault(result))")
    }
    let checked = String(
      format: "  check     %d of %d cases right, worst error %.2f of its bound, %.1f s with compiling", cases.count - wrong.count,
      cases.count, worst, monotonicSeconds() - start)
    lines.append(checked)
    if let first = wrong.first {
      return end("do not use: \(first)\(wrong.count > 1 ? "; \(wrong.count - 1) more cases fail" : "")", right: false)
    }
    do throws(EngineError) {
      let seconds = backend is CPUBackend ? cpuStep : try stepSeconds(backend)
      lines.append(
        String(
          format: "  speed     %.1f ms for a training step of %d images of %d pixels square, CPU path %.1f ms", seconds * 1000,
          batch, patch, cpuStep * 1000))
      if backend is CPUBackend { return end("use it where no OpenCL device is faster", right: true) }
      let ratio = seconds / cpuStep
      if ratio > 1.1 { return end(String(format: "right, but %.1f times slower than the CPU path", ratio), right: true) }
      return end(String(format: "use it: right, and %.1f times as fast as the CPU path", 1 / ratio), right: true)
    } catch {
      return end("do not use: a training step fails: \(error)", right: false)
    }
  }

  private static func fault(_ result: CaseResult) -> String {
    if let problem = result.problems.first { return "fails: \(problem)" }
    guard let worst = result.worst else { return "compares nothing" }
    return "is wrong by \(worst.error) in \(worst.name), where \(worst.bound) is allowed (\(result.name))"
  }

  /// Seconds of a small training step: the least of as many as a second has, one at least, after one that compiles.
  private static func stepSeconds(_ backend: any Backend) throws(EngineError) -> Double {
    let benchmark = try StepBenchmark(patch: patch, base: base, batch: batch, backend: backend)
    _ = try benchmark.step()
    let start = monotonicSeconds()
    var least = Double.infinity
    repeat { least = min(least, try benchmark.step()) } while monotonicSeconds() - start < 1
    return least
  }
}
