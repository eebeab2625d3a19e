import ArgumentParser
import Datasets
import Engine
import Foundation
import Logging
import Runs

/// `glomseg train`.
struct TrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train", abstract: "Train a model on a data set in the KPIs layout.",
    discussion: """
      DATA holds images and masks of the same names:
        {train,validation}/<group>/<case>/img/<prefix>_<index>_<x>_<y>_img.jpg
        {train,validation}/<group>/<case>/mask/<prefix>_<index>_<x>_<y>_mask.jpg

      The run's folder gets
        best.safetensors    the model of the epoch with the best validation F1
        last.safetensors    the model of the last epoch
        resume.safetensors  all that --resume needs
        history.csv         losses and scores, a line an epoch; groups.csv: by group
        run.jsonl           a line a step
        config.yaml         all settings
        curves.png          loss and scores, drawn at the end

      Ctrl-C finishes the step, saves and exits with 0. With --resume the run goes on \
      to the same bytes as if it had never stopped.

      Settings come from the command line, else from --config, else from the defaults shown.

      With --micro-batch, a step adds up the gradients of parts of its batch. Binary cross-entropy is then that of \
      the whole batch; Dice and batch norm's statistics are those of each part. With --memory-limit, or where the \
      device has not enough free, values are computed again instead of kept, with the same results to the bit: see \
      glomseg plan.

      Example: glomseg train data -o runs/first --patch 256 --batch 8 --lr 1e-3 --epochs 24 --flips --turns
      """)

  @Argument(help: "Folder of the data set.") var data: String
  @Option(
    name: [.customShort("o"), .long],
    help: "Folder of the run (default: runs/ and its settings, as ps256_po0_ep20_bs1_lr0p0001_bceW0p8_ds1e-06_posW25).")
  var output: String?
  @Option(help: "YAML file of settings, named as in a run's config.yaml.") var config: String?
  @OptionGroup var settings: TrainOptions
  @Flag(help: "Leave out images without a mask, broken files and the like, and list them.") var skipBad = false
  @Flag(help: "Go on with the run in the output folder.") var resume = false

  func run() throws { try failing { try train() } }

  private func train() throws {
    let configuration = try asked()
    // A wrong device is known at once; checking a large data set takes minutes.
    let backend = try chooseBackend(configuration.device, precision: configuration.precision)
    let data = try loadDataset(data, skipBad: skipBad)
    try data.requireForeground(in: .train)
    if let first = data.faintMasks.first {
      log.warning(
        "\(data.faintMasks.count) masks have values above 0 but none of 128 or more, and count as empty, such as \(first.maskPath)"
      )
    }
    let directory = try RunDirectory(output ?? "runs/" + RunName.of(configuration))
    let lock = try claim(directory)
    defer { lock.release() }
    Interrupt.install()
    let run = try TrainingRun(
      configuration, data: data, directory: directory, backend: backend, resuming: resume)
    announce(run, configuration, backend)
    let progress = Progress(epochs: configuration.epochs)
    defer { progress.clear() }
    let outcome: TrainingRun.Outcome
    do {
      outcome = try run.run(shouldStop: { Interrupt.isRequested }, report: progress.show)
    } catch let error as EngineError {
      guard case .notFinite = error else { throw error }
      let kept = FileManager.default.fileExists(atPath: directory.last) ? "; the last epoch's model is kept" : ""
      throw RunError.request(
        "\(error): try a lower --lr than \(configuration.learningRate), or --clip-norm 1\(kept)")
    }
    progress.clear()
    conclude(outcome, run, configuration, directory)
  }

  /// The command line's settings, over the file's, over those of the run to resume.
  private func asked() throws -> RunConfiguration {
    var given = settings.options
    if let config { given = try given.over(RunOptions.parse(RunDirectory.read(config), path: config)) }
    if resume {
      guard let output else { throw RunError.request("--resume needs the run's folder: -o RUN") }
      if let missing = RunDirectory(output).missingToResume {
        throw RunError.file(
          path: output, problem: "holds no run to resume: there is no \(URL(fileURLWithPath: missing).lastPathComponent)")
      }
      let saved = RunDirectory(output).configuration
      given = try given.over(RunOptions.parse(RunDirectory.read(saved), path: saved))
    }
    if settings.inputScale != nil, settings.patch != nil {
      throw RunError.request("--patch and --input-scale both give the size: use one")
    }
    return try RunConfiguration(given)
  }

  /// Makes the run's folder and keeps other processes out of it, and out of one that holds a run already.
  private func claim(_ directory: RunDirectory) throws -> RunLock {
    if !resume, directory.holdsRun {
      let wayOut = directory.canResume ? "go on with --resume" : "it cannot go on, so delete it"
      throw RunError.file(path: directory.path, problem: "holds a run already: \(wayOut), or choose another folder with -o")
    }
    try directory.create()
    guard let lock = try RunLock(directory) else {
      throw RunError.file(
        path: directory.path, problem: "belongs to another process now: wait for it, or choose another folder with -o")
    }
    return lock
  }

  /// What the run is made of, and what its user should know before it begins.
  private func announce(_ run: TrainingRun, _ configuration: RunConfiguration, _ backend: any Backend) {
    if let note = run.tilesNote { log.warning("\(note)") }
    if !run.changes.isEmpty {
      log.warning("goes on with other settings than it began with: \(run.changes.joined(separator: "; "))")
    }
    if !run.sharedCases.isEmpty {
      log.warning(
        """
        training and validation patches are of the same cases, so that scores are better than on new ones: \
        \(run.sharedCases.prefix(5).joined(separator: ", "))\(run.sharedCases.count > 5 ? " and others" : "")
        """)
    }
    let report = run.session.plan.report
    log.info(
      """
      \(run.trainingCount) training and \(run.validationCount) validation patches, \
      \(run.session.layout.trainableCount) parameters, \(formatBytes(report.peakBytes)) planned, on \(backend.name)
      """)
    if report.flopsRecomputed > 0 {
      let share = Double(report.flopsRecomputed) / Double(report.flopsForward + report.flopsBackward)
      log.info("\(percent(share)) of a step's work is done again to stay within \(formatBytes(run.session.limitBytes))")
    }
    if let transfer = run.transfer {
      log.info(
        """
        from \(configuration.startFrom): \(transfer.whole) tensors as they are, \(transfer.widened) fitted to another width, \
        \(transfer.left.count) left at their starting values
        """)
    }
    if !run.hasValidation {
      log.warning("there is no validation split: the best model is the one with the lowest training loss")
    }
  }

  private func conclude(
    _ outcome: TrainingRun.Outcome, _ run: TrainingRun, _ configuration: RunConfiguration, _ directory: RunDirectory
  ) {
    switch outcome {
    case .interrupted(let epoch):
      log.notice(
        """
        stopped in epoch \(epoch), all saved; go on with: glomseg train \(quoted(self.data)) -o \(quoted(directory.path)) --resume\
        \(skipBad ? " --skip-bad" : "")
        """)
    case .finished, .stoppedEarly:
      if case .stoppedEarly(let epoch) = outcome {
        log.notice("stopped after epoch \(epoch): \(configuration.earlyStop) epochs without a better score")
      }
      var files = "best.safetensors, last.safetensors, history.csv, groups.csv, run.jsonl, config.yaml"
      if let problem = Curves.draw(directory, hasValidation: run.hasValidation) {
        log.warning("\(problem)")
      } else {
        files += ", curves.png"
      }
      print("\(directory.path): \(files)")
    }
  }
}

/// A path as a shell takes it.
private func quoted(_ path: String) -> String {
  let isPlain = path.unicodeScalars.allSatisfy {
    CharacterSet.alphanumerics.contains($0) || "/._-+,:@".unicodeScalars.contains($0)
  }
  return isPlain && !path.isEmpty ? path : "'" + path.replacing("'", with: "'\\''") + "'"
}

/// Scans and decodes a data set; faults end the command, or with `skipBad` are listed and left out.
func loadDataset(_ root: String, skipBad: Bool) throws -> PatchDataset {
  let terminal = isatty(2) == 1
  let data = try PatchDataset.scan(root: root).verified { done, all in
    if terminal, done % 16 == 0 || done == all { writeError("\r\u{1B}[Kchecking \(done) of \(all) patches") }
  }
  if terminal { writeError("\r\u{1B}[K") }
  if skipBad {
    for fault in data.faults { log.warning("left out \(fault)") }
  } else {
    try data.requireFaultless()
  }
  return data
}
