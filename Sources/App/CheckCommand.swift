import ArgumentParser
import Engine
import Foundation
import OpSuite
import Runs

/// `glomseg check`.
struct CheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check", abstract: "Compare every operation on a device with a reference in double precision.",
    discussion: """
      Example: glomseg check --device all
      Example: glomseg check --device opencl --filter convolution/ --fuzz 50

      Prints how many cases passed for each operation and how near the worst error came to its bound, and each failure \
      in full. Exits with 1 when a case fails or nothing was compared. A case's name, or a part of it, given to \
      --filter runs it again.
      """)

  @Option(
    help: """
      auto, cpu, opencl, opencl:P:D, part of a device's name, or all: the CPU path and every OpenCL device. '@gpu' or \
      '@nvidia' behind one runs its kernels for GPUs, '@nvidia-emulated', '@nvidia-warpgroup-emulated', '@amd-emulated', '@amd-wmma-emulated' and '@intel-emulated' those for matrix units, emulated.
      """)
  var device = "auto"
  @Option(help: precisionHelp) var precision: Precision = .fp32
  @Option(parsing: .upToNextOption, help: "Golden files, or folders of them, to check as well.") var golden: [String] = []
  @Option(help: "Only cases whose name contains this, such as convolution/ or golden/.") var filter: String?
  @Flag(help: "A short check: small cases that reach every kernel.") var quick = false
  @Flag(help: "Also what breaks only at size: minutes, and gigabytes of memory.") var large = false
  @Option(help: "Also this many random cases.") var fuzz = 0
  @Option(help: "Seed of the random cases: the same seed gives the same cases.") var fuzzSeed: UInt64 = 2026
  @Option(help: "Begin no case after this many seconds on a device; those left count as skipped, and are listed.")
  var seconds: Double?
  @Option(help: "Write JSON to a file, or to standard output with '-' (tables then go to standard error).")
  var json: String?
  @Option(help: "Write JUnit XML to a file.") var junit: String?
  @Flag(name: .shortAndLong, help: "Name each case on standard error as it begins.") var verbose = false

  func validate() throws {
    if fuzz < 0 { throw ValidationError("--fuzz takes a number of cases, not \(fuzz).") }
    if quick && large { throw ValidationError("--quick and --large exclude each other.") }
    if let seconds, !(seconds > 0) { throw ValidationError("--seconds takes a positive number.") }
  }

  func run() throws {
    try failing {
      let output = try JSONOutput(path: json)
      try JSONOutput.requireWritable(junit)
      let jobs = try selectJobs()
      // Told to stop, it says what came of the cases until then.
      Interrupt.install()
      var report = CheckReport()
      for target in try targets() { check(jobs, on: target, &report) }
      for entry in report.entries where entry.outcome == .failed { output.say(entry.description + "\n") }
      output.say(report.summary())
      for line in report.skipped { output.say(line) }
      if fuzz > 0 { output.say("random cases: --fuzz \(fuzz) --fuzz-seed \(fuzzSeed)") }
      output.say(report.verdict)
      if let junit { try writeFile(report.junit().utf8, to: junit) }
      try output.write(report.json)
      guard report.passed, !Interrupt.isRequested else { throw ExitCode.failure }
    }
  }

  // MARK: What to run

  /// Something to run on each device.
  private enum Job {
    case catalogue(OpCase)
    case network(NetworkCase)
    case golden(GoldenCase)
    /// A golden file that could not be read.
    case broken(name: String, problem: String)

    var name: String {
      switch self {
      case .catalogue(let opCase): opCase.name
      case .network(let network): network.name
      case .golden(let golden): "golden/\(golden.name)"
      case .broken(let name, _): name
      }
    }

    var operation: String {
      switch self {
      case .catalogue(let opCase): opCase.operation
      case .network: NetworkCase.operation
      case .golden(let golden): "golden/\(golden.operation)"
      case .broken: "golden/unreadable"
      }
    }

    func run(on backend: any Backend) -> CheckReport.Entry {
      switch self {
      case .catalogue(let opCase): .init(CaseRunner.run(opCase, on: backend), operation: operation)
      case .network(let network): .init(network.run(on: backend), operation: operation)
      case .golden(let golden):
        .init(GoldenRunner().run(golden, on: backend), name: name, operation: operation)
      case .broken(let name, let problem):
        .init(name: name, operation: operation, device: backend.name, outcome: .failed, problems: [problem])
      }
    }
  }

  /// - Throws: `.request` where a filter leaves nothing, ``GoldenError`` where a path holds no golden files.
  private func selectJobs() throws -> [Job] {
    var jobs = (quick ? Catalogue.quick : large ? Catalogue.all + Catalogue.large : Catalogue.all).map(Job.catalogue)
    if !quick { jobs += NetworkCase.all.map(Job.network) }
    if fuzz > 0 { jobs += Catalogue.fuzz(count: fuzz, seed: fuzzSeed).map(Job.catalogue) }
    for path in golden {
      for file in try GoldenCase.files(at: path) {
        do throws(GoldenError) { jobs.append(.golden(try GoldenCase(path: file))) } catch {
          let name = URL(fileURLWithPath: file).lastPathComponent
          jobs.append(.broken(name: "golden/\(name)", problem: error.description))
        }
      }
    }
    guard let filter else { return jobs }
    let chosen = jobs.filter { $0.name.contains(filter) || $0.operation.contains(filter) }
    guard !chosen.isEmpty else {
      let operations = Set(jobs.map(\.operation)).sorted().joined(separator: ", ")
      throw EngineError.request("no case's name contains '\(filter)'; the operations are \(operations)")
    }
    return chosen
  }

  /// Cases whose programs are compiled at a time.
  private static let casesAhead = 16

  /// Has the programs of some cases compiled; a case that fails says why by itself.
  private func compileAhead(_ jobs: some Sequence<Job>, on backend: any Backend) {
    guard let backend = backend as? OpenCLBackend else { return }
    let graphs = jobs.compactMap { job in
      if case .catalogue(let opCase) = job { try? opCase.graph() } else { nil }
    }
    try? backend.compileAhead(graphs)
  }

  // MARK: Where to run it

  /// A device to check, or why it can't be opened.
  private struct Target {
    let device: CheckReport.Device
    let backend: Result<any Backend, EngineError>
  }

  private func targets() throws -> [Target] {
    let (selector, forced) = DeviceSelection.split(device)
    guard selector == "all" else {
      let backend = try chooseBackend(device, precision: precision)
      return [Target(device: .init(backend), backend: .success(backend))]
    }
    let cpu = CPUBackend(precision: precision)
    var targets = [Target(device: .init(cpu), backend: .success(cpu))]
    let found = OpenCLDevice.all()
    for device in found {
      do throws(EngineError) {
        let backend = try OpenCLBackend(device, as: forced, precision: precision)
        noteUnusedPrecision(backend)
        targets.append(Target(device: .init(backend), backend: .success(backend)))
      } catch {
        let name = "\(device.selector) \(device.name)"
        targets.append(Target(device: .init(name: name), backend: .failure(error)))
      }
    }
    if found.isEmpty {
      let error = EngineError.request(
        "no OpenCL device was found, although 'all' promises one: install a driver such as PoCL (pocl-opencl-icd), or "
          + "ask for --device cpu")
      targets.append(Target(device: .init(name: "opencl"), backend: .failure(error)))
    }
    return targets
  }

  private func check(_ jobs: [Job], on target: Target, _ report: inout CheckReport) {
    report.begin(target.device)
    var backend: any Backend
    switch target.backend {
    case .success(let opened): backend = opened
    case .failure(let error):
      printError("glomseg: \(error)")
      report.add(
        .init(
          name: "device/open", operation: "device", device: target.device.name, outcome: .failed,
          problems: [error.description]))
      return
    }
    let start = monotonicSeconds()
    var told = start
    printError("\(backend.name): \(jobs.count) cases")
    for (index, job) in jobs.enumerated() {
      let isLate = seconds.map { monotonicSeconds() - start > $0 } ?? false
      if isLate || Interrupt.isRequested {
        let reason = Interrupt.isRequested ? "it was interrupted" : "\(seconds ?? 0) seconds left no time"
        report.add(
          .init(name: job.name, operation: job.operation, device: backend.name, outcome: .skipped, problems: [reason]))
        continue
      }
      if index % Self.casesAhead == 0 { compileAhead(jobs[index...].prefix(Self.casesAhead), on: backend) }
      if verbose { printError("begin \(job.name)") }
      let entry = job.run(on: backend)
      report.add(entry)
      if entry.outcome == .failed {
        printError("failed: \(entry.name) on \(entry.device)")
        do { backend = try Self.answering(backend) } catch {
          printError("glomseg: \(error)")
          for rest in jobs[(index + 1)...] {
            report.add(
              .init(
                name: rest.name, operation: rest.operation, device: backend.name, outcome: .skipped,
                problems: ["the device cannot be opened again after \(job.name): \(error)"]))
          }
          return
        }
      }
      if monotonicSeconds() - told > 5 {
        told = monotonicSeconds()
        printError("\(backend.name): \(index + 1) of \(jobs.count) cases, \(Int(told - start)) s")
      }
    }
  }
}

extension CheckCommand {
  /// The backend as it is, or opened again where its device no longer answers: one fault would fail every case after it.
  static func answering(_ backend: any Backend) throws(EngineError) -> any Backend {
    guard let opened = backend as? OpenCLBackend, !opened.responds else { return backend }
    return try DeviceSelection.backend(String(backend.name.split(separator: " ")[0]), precision: backend.traits.precision).backend
  }
}

extension CheckReport {
  /// The last line.
  var verdict: String {
    let counts = "\(count(.passed)) passed, \(count(.failed)) failed, \(count(.skipped)) skipped"
    return "\(passed ? "passed" : "FAILED"): \(counts) on \(devices.map(\.name).joined(separator: ", "))"
  }
}

extension CheckReport.Device {
  init(_ backend: any Backend) {
    name = backend.name
    if let device = (backend as? OpenCLBackend)?.device {
      platform = "\(device.platformName), \(device.platformVersion)"
      driver = device.driverVersion
    } else {
      platform = backend.traits.name
    }
  }
}
