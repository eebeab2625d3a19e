import ArgumentParser
import Benchmarks
import Engine
import Foundation

/// `glomseg bench memory`.
struct BenchMemoryCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "memory", abstract: "Compare the planned peak of memory with the measured one.",
    discussion: """
      Runs steps in a process of their own and takes its high-water mark, less what was resident before the plan was made: \
      once to compile the kernels, then once more to measure, because a compiler takes memory too. Without a size: \
      256 x 256, base 16, batch 16, then 2048 x 2048, base 64, batch 1. Example: glomseg bench memory --patch 256 --batch 16
      """)

  @OptionGroup var size: BenchSize
  @Option(help: "auto, gpu, cpu, opencl, opencl:P:D, or part of a device's name.") var device = "auto"
  @Flag(help: "Forward alone, with running statistics, instead of a training step.") var inference = false
  @Option(help: "Write JSON to a file, or to standard output with '-'.") var json: String?

  func run() throws {
    try failing {
      let output = try JSONOutput(path: json)
      var lines: [BenchMemory] = []
      for size in size.asked.map({ [$0] }) ?? BenchSize.standard {
        // The CPU path compiles nothing.
        if device != "cpu" { _ = try measure(size, steps: 1) }
        let line = try measure(size, steps: 2)
        guard let measured = line.peak_bytes_measured else {
          throw EngineError.request(
            "\(line.device) has memory of its own, which OpenCL does not count: use --device cpu or an OpenCL CPU device")
        }
        let difference = Double(measured - line.peak_bytes_planned) / Double(line.peak_bytes_planned)
        output.say(
          "\(line.work), \(size.description), on \(line.device): \(formatBytes(line.peak_bytes_planned)) planned, "
            + "\(formatBytes(measured)) measured, \(String(format: "%+.1f%%", 100 * difference))")
        lines.append(line)
      }
      try output.writeLines(lines)
    }
  }

  /// Runs `glomseg bench step` in a process of its own.
  private func measure(_ size: BenchSize.Values, steps: Int) throws -> BenchMemory {
    let command =
      [
        URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().path, "bench", "step", "--patch", "\(size.patch)",
        "--base", "\(size.base)", "--batch", "\(size.batch)", "--steps", "\(steps)",
        "--device", device, "--json", "-",
      ] + (inference ? ["--inference"] : [])
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("glomseg-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let child = try ChildProcess.run(command, in: folder.path, seconds: .infinity)
    guard child.end == .exited(0) else {
      let reason = child.said.split(separator: "\n").last ?? "it did not end well: \(child.end)"
      throw EngineError.request(String(reason.trimmingPrefix("glomseg: ")))
    }
    var line = try JSONDecoder().decode(BenchMemory.self, from: Data(child.out.utf8))
    line.benchmark = "memory"
    return line
  }
}

/// A line of JSON: the parts of `bench step`'s that are about memory.
struct BenchMemory: Codable {
  var benchmark: String
  let device: String
  let driver: String
  let work: String
  let patch: Int
  let base: Int
  let batch: Int
  let peak_bytes_planned: Int
  let peak_bytes_measured: Int?
}
