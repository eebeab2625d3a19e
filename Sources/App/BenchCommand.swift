import ArgumentParser
import Benchmarks
import Engine

/// `glomseg bench`.
struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench", abstract: "Measure speed and memory on a device.", subcommands: [StepCommand.self])

  struct StepCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "step", abstract: "Time whole training steps.",
      discussion: "Prints one line of JSON. Example: glomseg bench step --patch 256 --base 16 --batch 16 --device cpu")

    @Option(help: "Side of the square input, a multiple of 16.") var patch = 256
    @Option(help: "Channels of the first level (default: max(16, 64*patch/2048)).") var base: Int?
    @Option(help: "Images per step.") var batch = 1
    @Option(help: "Steps to time, after one to warm up.") var steps = 5
    @Option(help: "auto, cpu, opencl, opencl:P:D, or part of a device's name.") var device = "auto"
    @Flag(help: "Also print where a step's time goes, by operation, from device events.") var profile = false
    @Flag(help: "Answer each line 'step' on standard input with one timed step, as JSON.") var serve = false

    func run() throws { try failing { try measure() } }

    private func measure() throws {
      let backend = try chooseBackend(device)
      let benchmark = try StepBenchmark(patch: patch, base: base, batch: batch, backend: backend)
      if serve {
        _ = try benchmark.step()
        print("ready")
        flushOutput()
        while let line = readLine() {
          guard line == "step" else { continue }
          print("{\"seconds\": \(try benchmark.step()), \"device\": \"\(backend.name)\"}")
          flushOutput()
        }
        return
      }
      let first = try benchmark.step()
      var seconds: [Double] = []
      for _ in 0..<max(1, steps) { seconds.append(try benchmark.step()) }
      let sorted = seconds.sorted()
      let median = sorted[sorted.count / 2]
      print(
        """
        {"device": "\(backend.name)", "patch": \(patch), "base": \(benchmark.session.model.base), "batch": \(batch), \
        "seconds_first": \(first), "seconds_median": \(median), "seconds_min": \(sorted[0]), \
        "gflops": \(Double(benchmark.flops) / median / 1e9), "peak_bytes_planned": \(benchmark.plannedBytes), \
        "peak_bytes_measured": \(benchmark.measuredBytes)}
        """)
      if profile { try printProfile(benchmark) }
    }

    private func printProfile(_ benchmark: StepBenchmark) throws {
      let (parts, total) = try benchmark.profile()
      var byOperation: [String: (seconds: Double, flops: Int, bytes: Int)] = [:]
      for part in parts {
        let known = byOperation[part.operation] ?? (0, 0, 0)
        byOperation[part.operation] = (
          known.seconds + part.seconds, known.flops + part.cost.flops, known.bytes + part.cost.bytes)
      }
      for (name, sum) in byOperation.sorted(by: { $0.value.seconds > $1.value.seconds }) {
        print(line(name, sum.seconds, sum.flops, sum.bytes))
      }
      let device = parts.reduce(0) { $0 + $1.seconds }
      print("device \(milliseconds(device)) of \(milliseconds(total)) a step")
      for part in parts.sorted(by: { $0.seconds > $1.seconds }).prefix(40) {
        print(line(part.operation + "  " + part.label, part.seconds, part.cost.flops, part.cost.bytes))
      }
    }

    private func line(_ name: String, _ seconds: Double, _ flops: Int, _ bytes: Int) -> String {
      let rate = seconds > 0 ? Int(Double(flops) / seconds / 1e9) : 0
      let bandwidth = seconds > 0 ? Int(Double(bytes) / seconds / 1e9) : 0
      return "\(milliseconds(seconds))  \(rate) GFLOP/s  \(bandwidth) GB/s  \(name)"
    }

    private func milliseconds(_ seconds: Double) -> String { "\((seconds * 1e5).rounded() / 100) ms" }
  }
}
