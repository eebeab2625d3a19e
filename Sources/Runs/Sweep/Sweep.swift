public import Datasets
public import Engine
import Foundation
import Yams

/// Trains the runs of a sweep one after the other, each in a folder of its own.
///
/// A run's folder is what counts: one that is finished is left as it is, one that was interrupted goes on, one that failed is
/// tried again from where it was. `results.csv` is made of the folders and can be made again at any time.
public struct Sweep {
  public enum Event {
    case starting(SweepPlan.Job, number: Int, of: Int)
    case training(SweepPlan.Job, TrainingRun.Event)
    case done(SweepPlan.Job, Outcome)
  }

  public enum Outcome: Sendable, Equatable {
    case finished
    /// By an earlier sweep.
    case wasFinished
    case failed(String)
    /// Another process trains it.
    case busy
    case interrupted
  }

  public struct Tally: Sendable, Equatable {
    public var finished = 0
    public var failed: [String] = []
    public var busy = 0
    public var wasStopped = false
  }

  public let plan: SweepPlan
  public let folder: String
  public let shard: Shard

  public init(_ plan: SweepPlan, folder: String, shard: Shard = .whole) {
    (self.plan, self.folder, self.shard) = (plan, folder, shard)
  }

  public var jobs: [SweepPlan.Job] { shard.of(plan.jobs) }
  public var results: String { folder + "/" + shard.resultsName }

  public func directory(_ job: SweepPlan.Job) -> RunDirectory { RunDirectory(folder + "/" + job.name) }

  /// - Parameters:
  ///   - dataset: the data set of a folder; asked for once a folder.
  ///   - backend: for a run's `device` and `precision`; asked for once for both.
  ///   - finished: after a run that was trained to its end here, to draw its curves.
  public func run(
    dataset: (String) throws -> PatchDataset, backend: (RunConfiguration) throws -> any Backend, shouldStop: () -> Bool,
    report: (Event) -> Void, finished: (RunDirectory) -> Void = { _ in }
  ) throws -> Tally {
    var tally = Tally()
    var datasets: [String: PatchDataset] = [:]
    var backends: [String: any Backend] = [:]
    let jobs = jobs
    func data(_ job: SweepPlan.Job) throws -> PatchDataset {
      let data = try datasets[job.data] ?? dataset(job.data)
      datasets[job.data] = data
      return data
    }
    var listed: [String: PatchDataset] = [:]
    for job in jobs where directory(job).holdsRun {
      guard let files = listed[job.data] ?? (try? PatchDataset.scan(root: job.data)) else { continue }
      listed[job.data] = files
      try requireSameData(job, listed: files) { try data(job) }
    }
    // A device that is not there would fail each run by itself: where there is no other, that is said at once.
    var missing: (any Error)?
    for job in jobs where (try? RunRecord(folder: directory(job).path).status) != .finished {
      let key = "\(job.configuration.device) \(job.configuration.precision.rawValue)"
      guard backends[key] == nil else { continue }
      do { backends[key] = try backend(job.configuration) } catch { missing = missing ?? error }
    }
    if backends.isEmpty, let missing { throw missing }
    for (index, job) in jobs.enumerated() {
      if shouldStop() {
        tally.wasStopped = true
        break
      }
      let directory = directory(job)
      try directory.create()
      report(.starting(job, number: index + 1, of: jobs.count))
      let outcome: Outcome
      if let lock = try RunLock(directory) {
        defer { lock.release() }
        if try RunRecord(folder: directory.path).status == .finished {
          outcome = .wasFinished
        } else {
          try? FileManager.default.removeItem(atPath: directory.failure)
          // Before the run, so that one that fails at its start has its settings in the tables.
          try RunDirectory.write(job.configuration.yaml(), to: directory.configuration)
          try RunDirectory.write("data: \(quoted(job.data))\noverlap: \(job.overlap)\n", to: directory.job)
          do {
            let data = try data(job)
            let key = "\(job.configuration.device) \(job.configuration.precision.rawValue)"
            let device = try backends[key] ?? backend(job.configuration)
            backends[key] = device
            outcome = try train(job, in: directory, data: data, backend: device, shouldStop: shouldStop) {
              report(.training(job, $0))
            }
            if outcome == .finished { finished(directory) }
          } catch {
            outcome = .failed("\(error)")
            try RunDirectory.write("\(error)\n", to: directory.failure)
          }
        }
      } else {
        outcome = .busy
      }
      report(.done(job, outcome))
      switch outcome {
      case .finished, .wasFinished: tally.finished += 1
      case .failed: tally.failed.append(job.name)
      case .busy: tally.busy += 1
      case .interrupted: tally.wasStopped = true
      }
      try table().write(to: results)
      if tally.wasStopped { break }
    }
    return tally
  }

  /// - Parameters:
  ///   - listed: the job's data set as its files are named.
  ///   - verified: the same as it is trained on, which takes longer.
  /// - Throws: where a folder's run was made of other data: its scores would pass for those of this one.
  private func requireSameData(_ job: SweepPlan.Job, listed: PatchDataset, verified: () throws -> PatchDataset) throws {
    let directory = directory(job)
    // Older runs do not say what they were made of.
    guard let file = try? RunDirectory.modelFile(directory.path),
      let made = try Checkpoint.open(file).metadata[TrainingRun.filesKey]
    else { return }
    func digest(_ data: PatchDataset) throws -> String { try TrainingRun.filesDigest(job.configuration.selection, of: data) }
    // Broken pairs may have been left out.
    if (try? digest(listed)) == made { return }
    if try digest(verified()) == made { return }
    let before =
      (try? Yams.compose(yaml: RunDirectory.read(directory.job))?.mapping?["data"]?.string).flatMap { $0 } ?? "another one"
    throw RunError.file(
      path: directory.path,
      problem: "holds a run of other patches (of \(before)) than those of \(job.data) now: choose another folder with -o")
  }

  /// What the folders of this shard's runs say now.
  public func table() throws(RunError) -> ResultsTable {
    var records: [RunRecord] = []
    for job in jobs {
      let path = directory(job).path
      if RunRecord.isRun(path) {
        records.append(try RunRecord(folder: path))
      } else {
        records.append(try waiting(job))
      }
    }
    return ResultsTable(records, varied: plan.varied)
  }

  private func waiting(_ job: SweepPlan.Job) throws(RunError) -> RunRecord {
    let settings = try job.configuration.options.scalars().map { RunRecord.Setting(name: $0.key, value: $0.value) }
    return RunRecord(
      name: job.name, path: directory(job).path, settings: settings + [.init(name: "overlap", value: job.overlap)],
      status: .waiting, history: HistoryTable())
  }

  private func train(
    _ job: SweepPlan.Job, in directory: RunDirectory, data: PatchDataset, backend: any Backend, shouldStop: () -> Bool,
    report: (TrainingRun.Event) -> Void
  ) throws -> Outcome {
    let run = try TrainingRun(
      job.configuration, data: data, directory: directory, backend: backend, resuming: directory.canResume)
    return switch try run.run(shouldStop: shouldStop, report: report) {
    case .finished, .stoppedEarly: .finished
    case .interrupted: .interrupted
    }
  }

  private func quoted(_ text: String) -> String { "'" + text.replacing("'", with: "''") + "'" }
}
