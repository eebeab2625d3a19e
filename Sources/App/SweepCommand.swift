public import ArgumentParser
import Datasets
import Engine
import Foundation
import Logging
public import Runs

/// `glomseg sweep`.
struct SweepCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sweep", abstract: "Train a grid of settings, or random ones, each as a run of its own.",
    discussion: """
      SWEEP is a YAML file:
        data: patches                    # folder of the data set
        base: {epochs: 20, batch: 16}    # settings of all runs, or config: FILE
        grid:                            # every combination
          bce_weight: [0.6, 0.8, 1]
        random:                          # and as many draws as count says
          learning_rate: {min: 1.0e-5, max: 1.0e-3, log: true}
          pos_weight: [1, 5, 25]
        count: 10
        seed: 0                          # of the draws

      Settings are named as in a run's config.yaml, and any may be varied. 'overlap' may be too: the data set's folder then has \
      {overlap} in its name, or {patch} and the like. The runs' folders, named by \
      their settings, stand in the output folder beside results.csv, a line a run. A failed run does not stop the others. The \
      same command again goes on: finished runs stay, interrupted ones go on, failed ones are tried again. With --shard, \
      jobs of an array share one folder, and each writes a results file of its own.

      'glomseg report' makes a page of a sweep's folder. configs/ has examples.

      Example: glomseg sweep configs/sweep-coarse.yaml --data patches -o sweeps/coarse --shard 1/8
      """)

  @Argument(help: "YAML file of the sweep.") var sweep: String
  @Option(name: [.customShort("o"), .long], help: "Folder of the runs (default: sweeps/ and the file's name).") var output:
    String?
  @Option(help: "Folder of the data set, instead of the file's.") var data: String?
  @Option(help: "Train only the i-th of n parts of the runs: i/n, from 1/n.") var shard: Shard = .whole
  @Option(help: "Device of all runs, instead of the file's: auto, gpu, cpu, opencl, opencl:P:D, or part of a name.") var device:
    String?
  @Flag(help: "Leave out images without a mask, broken files and the like, and list them.") var skipBad = false
  @Flag(help: "Name the runs and how far they are, and train nothing.") var list = false

  func run() throws { try failing { try sweepRuns() } }

  private func sweepRuns() throws {
    let text = try RunDirectory.read(sweep)
    let plan = try SweepPlan(text, path: sweep, data: data)
    let name = URL(fileURLWithPath: sweep).deletingPathExtension().lastPathComponent
    let job = Sweep(plan, folder: output ?? "sweeps/" + name, shard: shard)
    let part = shard == .whole ? "" : " in part \(shard.number) of \(shard.count)"
    if list {
      let rows = try job.table().records.map { record in
        [record.name, record.status.word] + (record.best("val_f1").map { [decimals($0)] } ?? ["-"])
      }
      print(table(["run", "status", "best F1"], rows))
      print("\(rows.count) of \(plan.jobs.count) runs\(part)")
      return
    }
    for folder in Set(job.jobs.map(\.data)).sorted() where !FileManager.default.fileExists(atPath: folder) {
      throw RunError.file(path: folder, problem: "there is no such folder; it should be the data set")
    }
    try makeFolder(job.folder)
    do { try text.write(toFile: job.folder + "/sweep.yaml", atomically: true, encoding: .utf8) } catch {
      throw RunError.file(path: job.folder + "/sweep.yaml", problem: "cannot be written: \(systemReason(error))")
    }
    log.info("\(job.jobs.count) runs\(part), in \(job.folder)")
    Interrupt.install()
    var progress: Progress?
    let tally = try job.run(
      dataset: { try loadDataset($0, skipBad: skipBad) },
      backend: { try chooseBackend(device ?? $0.device, precision: $0.precision) },
      shouldStop: { Interrupt.isRequested }
    ) { event in
      switch event {
      case .starting(let run, let number, let count):
        printError("run \(number) of \(count): \(run.name)")
        progress = Progress(epochs: run.configuration.epochs)
      case .training(_, let event): progress?.show(event)
      case .done(let run, let outcome):
        progress?.clear()
        switch outcome {
        case .failed(let reason): log.warning("\(run.name) failed: \(reason)")
        case .busy: log.warning("\(run.name): another process is training it; left to that one")
        case .wasFinished: printError("finished before")
        case .finished, .interrupted: break
        }
      }
    } finished: { directory in
      _ = Curves.draw(directory, hasValidation: true)
    }
    if tally.wasStopped {
      log.notice("stopped, all saved; the same command goes on")
      return
    }
    print("\(tally.finished) of \(job.jobs.count) runs are finished: \(job.results)")
    if !tally.failed.isEmpty {
      let some = tally.failed.prefix(3).joined(separator: ", ")
      throw RunError.request(
        "\(tally.failed.count) of \(job.jobs.count) runs failed: \(some)\(tally.failed.count > 3 ? " and others" : ""); "
          + "\(job.results) says why, and the same command tries them again")
    }
  }
}

extension Shard: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
  public var defaultValueDescription: String { "all" }
}
