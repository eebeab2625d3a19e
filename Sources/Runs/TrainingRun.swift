public import Datasets
public import Engine
import Foundation
import Host
import Randomness

/// A training run: epochs over a data set, validation, checkpoints, a log, and exact resumption.
public final class TrainingRun {
  /// What happens, for a progress display.
  public enum Event {
    /// A batch of the epoch, counted from 1, was left out; the text says why. It is no step: the next batch takes its number.
    case skipped(String, epoch: Int, batch: Int, of: Int)
    case step(StepReport, epoch: Int, images: Int, imagesDone: Int, imagesInEpoch: Int, meanLoss: Double)
    case validating(done: Int, of: Int)
    case epoch(EpochRecord, isBest: Bool)
  }

  public enum Outcome: Sendable, Equatable {
    case finished
    /// After `early_stop` epochs without a better score.
    case stoppedEarly(epoch: Int)
    /// The step was finished and everything saved.
    case interrupted(epoch: Int)
  }

  public let configuration: RunConfiguration
  public let directory: RunDirectory
  public private(set) var session: TrainingSession
  public private(set) var history = History()
  private let training: [PatchPair]
  private let validation: [PatchPair]
  private var position = Position()
  /// What is to be said of the tiles of a run that goes on; nil where they are what the device would have taken.
  public private(set) var tilesNote: String?
  /// What a new run took from the model that it starts from.
  public private(set) var transfer: Checkpoint.Transfer?

  /// Where a run is. Numbers are kept as exact text in the resume file.
  struct Position: Codable, Equatable {
    /// From 1.
    var epoch = 1
    /// Batches of the epoch that are done.
    var batch = 0
    /// Of the epoch so far, over images.
    var lossSum = 0.0
    var imagesDone = 0
    /// Validation F1, or minus the training loss where there is no validation.
    var bestScore: Double?
    var secondsInEpoch = 0.0
    /// Epochs since the best; nil in older files.
    var epochsSinceBest: Int?
  }

  /// Of the files when the run was begun or taken up.
  private let filesDigest: String
  /// The last epoch's, for the share that changes.
  private var decisions = Decisions()
  /// Batches left out one after the other; this many end the run, because the parameters are then beyond help.
  private static let mostSkipped = 10
  private var skipped = 0

  /// Plans and allocates; with `resuming`, goes on from the directory's resume file.
  public init(
    _ configuration: RunConfiguration, data: PatchDataset, directory: RunDirectory, backend: any Backend, resuming: Bool
  ) throws {
    let configuration = try configuration.sized(for: data)
    self.configuration = configuration
    self.directory = directory
    training = try configuration.selection.training(data)
    validation = try configuration.selection.validation(data)
    filesDigest = Self.filesDigest(training + validation)
    backend.use(nil)
    if resuming {
      let metadata = try Checkpoint.open(directory.resume).metadata
      changes = try Self.requireSame(metadata, configuration, training, validation, file: directory.resume)
      tilesNote = Self.resumeTiles(metadata, on: backend)
    }
    session = try TrainingSession(
      configuration.model, batch: min(configuration.batch, training.count),
      microBatch: configuration.microBatch, height: configuration.patch, width: configuration.patch, on: backend,
      activations: configuration.activations, gradients: configuration.gradients, averages: configuration.average > 0,
      memoryLimit: configuration.memoryLimit, seed: configuration.seed, loss: configuration.loss)
    if !resuming, !configuration.startFrom.isEmpty {
      transfer = try Checkpoint.transfer(RunDirectory.modelFile(configuration.startFrom), into: session.state)
      if session.shape.averages { try session.state.write(session.state.read(.parameters), to: .averaged) }
    }
    if resuming {
      let (steps, metadata) = try Checkpoint.resume(
        directory.resume, into: session.state, averages: configuration.average > 0)
      session.stepsTaken = steps
      guard let text = metadata["position"], let data = text.data(using: .utf8),
        let position = try? JSONDecoder().decode(Position.self, from: data)
      else { throw RunError.file(path: directory.resume, problem: "does not say where the run was") }
      self.position = position
      history = try History.read(directory, before: position.epoch)
      let words = try Checkpoint.integers(Self.decisionsName, in: directory.resume)
      if let count = Int(metadata["decisions"] ?? "") { decisions = Decisions(words: words, count: count) ?? Decisions() }
    }
  }

  /// A run goes on exactly only over the same patches in the same order; what does not change them may change.
  ///
  /// - Returns: settings that differ and may, each "name: now instead of then".
  /// - Throws: naming what differs and may not.
  private static func requireSame(
    _ metadata: [String: String], _ configuration: RunConfiguration, _ training: [PatchPair], _ validation: [PatchPair],
    file: String
  ) throws -> [String] {
    guard metadata["patches"] == "\(training.count)" else {
      throw RunError.file(
        path: file,
        problem: "was made with \(metadata["patches"] ?? "?") training patches and the data set now has \(training.count)")
    }
    // Files of version 0.1.0's first days have no digest.
    if let made = metadata["patches_digest"], made != digest(training) {
      throw RunError.file(path: file, problem: "was made with other training patches than those of the data set now")
    }
    // Nor do older ones have one of the files: names stay where pictures are drawn anew, and scores of other validation patches compare
    // with nothing.
    if let made = metadata[filesKey], made != filesDigest(training + validation) {
      throw RunError.file(
        path: file,
        problem: "was made with other pictures of these names, or other validation patches, than those of the data set now")
    }
    let made = try RunConfiguration(RunOptions.parse(metadata["config"] ?? "", path: file))
    for (name, then, now) in [
      ("patch", "\(made.patch)", "\(configuration.patch)"), ("base", "\(made.base)", "\(configuration.base)"),
      ("bottleneck", made.bottleneck.rawValue, configuration.bottleneck.rawValue),
      ("norm", made.norm.rawValue, configuration.norm.rawValue),
      ("batch", "\(made.batch)", "\(configuration.batch)"),
      ("micro_batch", "\(made.microBatch)", "\(configuration.microBatch)"),
      ("activations", made.activations.rawValue, configuration.activations.rawValue),
      ("gradients", made.gradients.rawValue, configuration.gradients.rawValue),
      ("balance", made.balance.rawValue, configuration.balance.rawValue),
      ("average", made.average > 0 ? "an average" : "none", configuration.average > 0 ? "an average" : "none"),
      ("seed", "\(made.seed)", "\(configuration.seed)"), ("start_from", made.startFrom, configuration.startFrom),
    ] where then != now {
      throw RunError.setting(name: name, problem: "the run was started with \(then) and cannot go on with \(now)")
    }
    func settings(_ configuration: RunConfiguration) throws -> [String: String] {
      let lines = try configuration.yaml().split(separator: "\n").map { $0.split(separator: ":", maxSplits: 1).map(String.init) }
      return Dictionary(lines.filter { $0.count == 2 }.map { ($0[0], $0[1].trimmingCharacters(in: .whitespaces)) }) { $1 }
    }
    // More epochs are what a run is mostly resumed for, and threads and devices change no setting of the training.
    let (then, now) = (try settings(made), try settings(configuration))
    return Set(then.keys).union(now.keys).subtracting(["epochs", "threads", "cache_mib", "device"]).sorted().compactMap { name in
      then[name] == now[name] ? nil : "\(name): \(now[name] ?? "none") instead of \(then[name] ?? "none")"
    }
  }

  /// Gives the backend the tiles that the run began with: others add up in another order.
  ///
  /// - Returns: what a user should know.
  private static func resumeTiles(_ metadata: [String: String], on backend: any Backend) -> String? {
    // None on the CPU path, and in older files.
    guard let text = metadata["tiles"], backend.traits.kind == .openCL else { return nil }
    guard let tiles = TileTable(text) else {
      return "the run began with tiles that this version does not have: it goes on, but not to the same bytes"
    }
    let own = backend.traits.tiles
    guard tiles.deviceClass == own.deviceClass else {
      return "the run began with kernels for \(tiles.deviceClass.rawValue): it goes on with those for "
        + "\(own.deviceClass.rawValue), not to the same bytes"
    }
    guard tiles != own else { return nil }
    backend.use(tiles)
    return "the run goes on with the tiles that it began with (\(tiles.fingerprint)), not with the device's (\(own.fingerprint))"
  }

  /// Of the patches' names in their order.
  private static func digest(_ pairs: [PatchPair]) -> String {
    var hash = StableHash([])
    for pair in pairs {
      hash.combine("\(pair.group)/\(pair.caseName)/\(pair.prefix)_\(pair.index)_\(pair.x)_\(pair.y)\n".utf8)
    }
    return hash.digits
  }

  /// What a model file's metadata say of the patches.
  static let filesKey = "files_digest"

  static func filesDigest(_ selection: PatchSelection, of data: PatchDataset) throws -> String {
    filesDigest(try selection.training(data) + selection.validation(data))
  }

  /// Of the patches' names and their files' sizes, in their order.
  private static func filesDigest(_ pairs: [PatchPair]) -> String {
    var hash = StableHash(digest(pairs).utf8)
    for pair in pairs {
      for path in [pair.imagePath, pair.maskPath] {
        var about = stat()
        hash.combine("\(stat(path, &about) == 0 ? Int(about.st_size) : -1) ".utf8)
      }
    }
    return hash.digits
  }

  private static let decisionsName = "validation_decisions"

  /// Settings that a resumed run was given anew: "name: now instead of then".
  public private(set) var changes: [String] = []

  /// Cases, "group/case", with patches of training and of validation.
  public var sharedCases: [String] {
    func cases(_ pairs: [PatchPair]) -> Set<String> { Set(pairs.map { "\($0.group)/\($0.caseName)" }) }
    return cases(training).intersection(cases(validation)).sorted()
  }

  public var hasValidation: Bool { !validation.isEmpty }
  public var trainingCount: Int { training.count }
  public var validationCount: Int { validation.count }

  private func metadata() throws -> [String: String] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    let position = String(decoding: try encoder.encode(position), as: UTF8.self)
    let traits = session.backend.traits
    let tiles = traits.kind == .openCL ? ["tiles": traits.tiles.description] : [:]
    return tiles.merging([
      "patch": "\(configuration.patch)", "threshold": "0.5", "config": try configuration.yaml(), "position": position,
      "patches": "\(training.count)", "patches_digest": Self.digest(training),
      Self.filesKey: filesDigest, "source_patch": "\(sourcePatch)",
      "decisions": "\(decisions.count)",
      "version": glomsegVersion,
    ]) { $1 }
  }

  /// The side that most training patches had before they were resized: what a window on a slide should cover.
  private var sourcePatch: Int {
    var counts: [Int: Int] = [:]
    for pair in training { counts[max(pair.width, pair.height), default: 0] += 1 }
    return counts.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key ?? configuration.patch
  }

  private func saveModel(to path: String) throws {
    try Checkpoint.saveModel(
      session.state, model: session.model, stepsTaken: session.stepsTaken, metadata: metadata(), to: path)
  }

  private func saveResume() throws {
    try Checkpoint.saveResume(
      session.state, model: session.model, stepsTaken: session.stepsTaken, averages: session.shape.averages,
      metadata: metadata(), integers: decisions.words.isEmpty ? [:] : [Self.decisionsName: decisions.words],
      to: directory.resume)
  }

  /// Bytes for decoded patches: those asked for, but no more than half of what the plan leaves of the host's free memory.
  func cacheBytes(free: Int?) -> Int {
    let planned = session.backend.usesHostMemory ? session.plan.report.peakBytes : 0
    return min(configuration.cacheMiB << 20, free.map { max(0, $0 - planned) / 2 } ?? .max)
  }

  /// Trains to the last epoch, or until `shouldStop` after a step.
  public func run(shouldStop: () -> Bool, report: (Event) -> Void) throws -> Outcome {
    try RunDirectory.write(configuration.yaml(), to: directory.configuration)
    try history.write(to: directory)
    let log = try StepLog(directory.log, session.backend, keeping: session.stepsTaken)
    let loader = try BatchLoader(
      pairs: training,
      options: .init(
        batchSize: session.batch, patchSize: configuration.patch, seed: configuration.seed,
        balance: configuration.balance, augmentation: configuration.augmentation, threadCount: configuration.threads,
        depth: configuration.threads + 1,
        cacheByteLimit: cacheBytes(free: HostMemory.availableBytes())))
    let schedule = Schedule(
      kind: configuration.schedule, rate: configuration.learningRate, epochs: configuration.epochs,
      stepsPerEpoch: loader.batchCount, warmupEpochs: configuration.warmupEpochs)
    while position.epoch <= configuration.epochs {
      // Before an epoch, so that a run that ended so ends at once when it is resumed.
      if configuration.earlyStop > 0, position.batch == 0, position.epochsSinceBest ?? 0 >= configuration.earlyStop {
        return .stoppedEarly(epoch: position.epoch - 1)
      }
      let epoch = position.epoch
      let batches = loader.epoch(epoch, startBatch: position.batch)
      // What the session asked for while the device was at work.
      var asked: Result<Batch?, any Error>?
      while let batch = try asked?.get() ?? batches.next() {
        asked = nil
        let rate = schedule.rate(step: session.stepsTaken + 1)
        position.batch += 1
        let step = try take(batch, of: loader.batchCount, rate: rate, report) {
          let next = Result { try batches.next() }
          asked = next
          return try? next.get()
        }
        guard let step else { continue }
        position.lossSum += step.loss * Double(batch.count)
        position.imagesDone += batch.count
        position.secondsInEpoch += step.seconds
        try log.append(step, epoch: epoch, learningRate: rate)
        report(
          .step(
            step, epoch: epoch, images: batch.count, imagesDone: position.imagesDone, imagesInEpoch: training.count,
            meanLoss: position.lossSum / Double(position.imagesDone)))
        if shouldStop() {
          // In the middle of an epoch there is no average with statistics of its own: the trained parameters are saved.
          try saveModel(to: directory.last)
          try saveResume()
          return .interrupted(epoch: epoch)
        }
      }
      let isFinished = try finishEpoch(
        loader, report, learningRate: schedule.rate(step: session.stepsTaken), shouldStop: shouldStop)
      if !isFinished {
        // All of the epoch's steps are taken: what is resumed begins with its validation.
        position.batch = loader.batchCount
        try saveModel(to: directory.last)
        try saveResume()
        return .interrupted(epoch: epoch)
      }
      if shouldStop(), position.epoch <= configuration.epochs { return .interrupted(epoch: position.epoch) }
    }
    return .finished
  }

  /// One step; nil where its loss or gradient is not finite and such batches are left out.
  ///
  /// - Parameter next: gives the batch of the next step, once the device is at work.
  private func take(
    _ batch: Batch, of batchCount: Int, rate: Double, _ report: (Event) -> Void, next: () -> Batch?
  ) throws -> StepReport? {
    let skips = configuration.onNonFinite == .skip
    let running = skips ? try session.state.read(.running) : []
    do {
      let step = try withoutActuallyEscaping(next) { next in
        try session.step(
          images: batch.images, target: batch.masks, count: batch.count, learningRate: rate,
          weightDecay: configuration.weightDecay, gradientClip: configuration.clipNorm > 0 ? configuration.clipNorm : nil,
          averageDecay: configuration.average, next: { next().map { ($0.images, $0.masks, $0.count) } })
      }
      skipped = 0
      return step
    } catch let error as EngineError {
      guard case .notFinite(_, let value, let first) = error, skips, skipped < Self.mostSkipped else { throw error }
      try session.state.write(running, to: .running)
      skipped += 1
      let reason = "\(value) is not finite" + (first.map { " (first of all: \($0))" } ?? "")
      report(.skipped(reason, epoch: position.epoch, batch: position.batch, of: batchCount))
      return nil
    }
  }

  /// Re-estimates batch norm statistics over the first batches of the next epoch's order, changed as in training.
  private func recalibrate(_ loader: BatchLoader) throws {
    guard configuration.recalibrate > 0 else { return }
    let batches = loader.epoch(position.epoch + 1)
    var rest = configuration.recalibrate
    try session.recalibrate {
      guard rest > 0, let batch = try batches.next() else { return nil }
      rest -= 1
      return (batch.images, batch.count)
    }
  }

  /// Validates and saves: the moving average where one is kept, with statistics of its own, else what was trained.
  ///
  /// - Returns: false where it was stopped while it validated, and saved nothing.
  private func finishEpoch(
    _ loader: BatchLoader, _ report: (Event) -> Void, learningRate: Double, shouldStop: () -> Bool
  ) throws -> Bool {
    // An epoch of batches that were all left out has no loss, and is not the best of anything.
    let trainLoss = position.imagesDone > 0 ? position.lossSum / Double(position.imagesDone) : nil
    let start = monotonicSeconds()
    let finished: (record: EpochRecord, isBest: Bool)? = try session.withAveragedParameters {
      try recalibrate(loader)
      let (tally, changed): (ScoreTally?, Double?)
      if hasValidation {
        guard let found = try validate(report, shouldStop: shouldStop) else { return nil }
        (tally, changed) = found
      } else {
        (tally, changed) = (nil, nil)
      }
      let record = EpochRecord(
        epoch: position.epoch, trainLoss: trainLoss, validation: tally?.scores, changed: changed,
        learningRate: learningRate, seconds: position.secondsInEpoch + monotonicSeconds() - start)
      history.add(record, groups: tally?.groupScores ?? [:])
      let score = trainLoss == nil || (hasValidation && tally == nil) ? nil : record.validation?.f1 ?? trainLoss.map { -$0 }
      let isBest = score.map { score in position.bestScore.map { score > $0 } ?? true } ?? false
      position = Position(
        epoch: position.epoch + 1, bestScore: isBest ? score : position.bestScore,
        epochsSinceBest: isBest ? 0 : (position.epochsSinceBest ?? 0) + 1)
      if isBest { try saveModel(to: directory.best) }
      try saveModel(to: directory.last)
      return (record, isBest)
    }
    guard let (record, isBest) = finished else { return false }
    // The history before the resume file: a run killed between the two repeats the epoch and drops its line.
    try history.write(to: directory)
    try saveResume()
    report(.epoch(record, isBest: isBest))
    return true
  }

  /// Scores, and the share of pixels whose decision changed since the epoch before, none where a prediction is not finite; nil where it was
  /// stopped.
  private func validate(_ report: (Event) -> Void, shouldStop: () -> Bool) throws -> (ScoreTally?, Double?)? {
    struct Stopped: Error {}
    var isFinite = true
    var now = Decisions()
    var tally = ScoreTally(threshold: 0.5)
    do {
      try eachBatch(
        validation, patch: configuration.patch, batch: min(session.shape.microBatch, validation.count),
        threads: configuration.threads, cacheBytes: 0
      ) { batch, done in
        if shouldStop() { throw Stopped() }
        let shape = Shape(batch.count, VariableUNet.inputChannels, batch.height, batch.width)
        let logits = try session.predict(batch.images, shape: shape)
        isFinite = isFinite && logits.allSatisfy(\.isFinite)
        tally.add(batch, logits: logits, pairs: validation)
        now.add(logits)
        report(.validating(done: done, of: validation.count))
      }
    } catch is Stopped { return nil }
    // No threshold tells what a model finds that predicts no numbers: it would count as finding everything, or nothing.
    guard isFinite else { return (nil, nil) }
    let changed = now.changed(since: decisions)
    decisions = now
    return (tally, changed)
  }
}

/// The version of this program.
public let glomsegVersion = "0.1.0"
