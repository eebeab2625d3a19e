public import Datasets
public import Engine
import Foundation

/// A training run: epochs over a data set, validation, checkpoints, a log, and exact resumption.
public final class TrainingRun {
  /// What happens, for a progress display.
  public enum Event {
    case step(StepReport, epoch: Int, images: Int, imagesDone: Int, imagesInEpoch: Int, meanLoss: Double)
    case validating(done: Int, of: Int)
    case epoch(EpochRecord, isBest: Bool)
  }

  public enum Outcome: Sendable, Equatable {
    case finished
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
  }

  /// Plans and allocates; with `resuming`, goes on from the directory's resume file.
  public init(
    _ configuration: RunConfiguration, data: PatchDataset, directory: RunDirectory, backend: any Backend, resuming: Bool
  ) throws {
    self.configuration = configuration
    self.directory = directory
    training = try data.requirePairs(in: .train)
    validation = data.pairs(in: .validation)
    if resuming {
      let metadata = try Checkpoint.open(directory.resume).metadata
      try Self.requireSame(metadata, configuration, training, file: directory.resume)
    }
    session = try TrainingSession(
      VariableUNet(base: configuration.base), batch: min(configuration.batch, training.count),
      microBatch: configuration.microBatch, height: configuration.patch, width: configuration.patch, on: backend,
      memoryLimit: configuration.memoryLimit, seed: configuration.seed, loss: configuration.loss)
    if resuming {
      let (steps, metadata) = try Checkpoint.resume(directory.resume, into: session.state)
      session.stepsTaken = steps
      guard let text = metadata["position"], let data = text.data(using: .utf8),
        let position = try? JSONDecoder().decode(Position.self, from: data)
      else { throw RunError.file(path: directory.resume, problem: "does not say where the run was") }
      self.position = position
      history = try History.read(directory, before: position.epoch)
    }
  }

  /// A run goes on exactly only over the same patches in the same order; what does not change them may change.
  ///
  /// - Throws: naming what differs.
  private static func requireSame(
    _ metadata: [String: String], _ configuration: RunConfiguration, _ training: [PatchPair], file: String
  ) throws(RunError) {
    guard metadata["patches"] == "\(training.count)" else {
      throw .file(
        path: file,
        problem: "was made with \(metadata["patches"] ?? "?") training patches and the data set now has \(training.count)")
    }
    // Files of version 0.1.0's first days have no digest.
    if let made = metadata["patches_digest"], made != digest(training) {
      throw .file(path: file, problem: "was made with other training patches than those of the data set now")
    }
    let made = try RunConfiguration(RunOptions.parse(metadata["config"] ?? "", path: file))
    for (name, then, now) in [
      ("patch", "\(made.patch)", "\(configuration.patch)"), ("base", "\(made.base)", "\(configuration.base)"),
      ("batch", "\(made.batch)", "\(configuration.batch)"),
      ("micro_batch", "\(made.microBatch)", "\(configuration.microBatch)"), ("seed", "\(made.seed)", "\(configuration.seed)"),
    ] where then != now {
      throw .setting(name: name, problem: "the run was started with \(then) and cannot go on with \(now)")
    }
  }

  /// FNV-1a of the patches' names in their order.
  private static func digest(_ pairs: [PatchPair]) -> String {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for pair in pairs {
      for byte in "\(pair.group)/\(pair.caseName)/\(pair.prefix)_\(pair.index)_\(pair.x)_\(pair.y)\n".utf8 {
        hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3
      }
    }
    return String(hash, radix: 16)
  }

  public var hasValidation: Bool { !validation.isEmpty }
  public var trainingCount: Int { training.count }
  public var validationCount: Int { validation.count }

  private func metadata() throws -> [String: String] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    let position = String(decoding: try encoder.encode(position), as: UTF8.self)
    return [
      "patch": "\(configuration.patch)", "threshold": "0.5", "config": try configuration.yaml(), "position": position,
      "patches": "\(training.count)", "patches_digest": Self.digest(training), "source_patch": "\(sourcePatch)",
      "version": glomsegVersion,
    ]
  }

  /// The side that most training patches had before they were resized: what a window on a slide should cover.
  private var sourcePatch: Int {
    var counts: [Int: Int] = [:]
    for pair in training { counts[max(pair.width, pair.height), default: 0] += 1 }
    return counts.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key ?? configuration.patch
  }

  private func save() throws {
    let metadata = try metadata()
    try Checkpoint.saveModel(
      session.state, model: session.model, stepsTaken: session.stepsTaken, metadata: metadata, to: directory.last)
    try Checkpoint.saveResume(
      session.state, model: session.model, stepsTaken: session.stepsTaken, metadata: metadata, to: directory.resume)
  }

  /// Trains to the last epoch, or until `shouldStop` after a step.
  public func run(shouldStop: () -> Bool, report: (Event) -> Void) throws -> Outcome {
    try RunDirectory.write(configuration.yaml(), to: directory.configuration)
    try history.write(to: directory)
    let log = try StepLog(directory.log, device: session.backend.name, keeping: session.stepsTaken)
    let loader = try BatchLoader(
      pairs: training,
      options: .init(
        batchSize: session.batch, patchSize: configuration.patch, seed: configuration.seed,
        augmentation: configuration.augmentation, threadCount: configuration.threads, depth: configuration.threads + 1,
        cacheByteLimit: configuration.cacheMiB << 20))
    let schedule = Schedule(
      kind: configuration.schedule, rate: configuration.learningRate, epochs: configuration.epochs,
      stepsPerEpoch: loader.batchCount, warmupEpochs: configuration.warmupEpochs)
    while position.epoch <= configuration.epochs {
      let epoch = position.epoch
      let batches = try loader.epoch(epoch, startBatch: position.batch)
      while let batch = try batches.next() {
        let rate = schedule.rate(step: session.stepsTaken + 1)
        let step = try session.step(
          images: batch.images, target: batch.masks, count: batch.count, learningRate: rate,
          weightDecay: configuration.weightDecay)
        position.batch += 1
        position.lossSum += step.loss * Double(batch.count)
        position.imagesDone += batch.count
        position.secondsInEpoch += step.seconds
        try log.append(step, epoch: epoch, learningRate: rate)
        report(
          .step(
            step, epoch: epoch, images: batch.count, imagesDone: position.imagesDone, imagesInEpoch: training.count,
            meanLoss: position.lossSum / Double(position.imagesDone)))
        if shouldStop() {
          try save()
          return .interrupted(epoch: epoch)
        }
      }
      try recalibrate(loader)
      try finishEpoch(report, learningRate: schedule.rate(step: session.stepsTaken))
      if shouldStop(), position.epoch <= configuration.epochs { return .interrupted(epoch: position.epoch) }
    }
    return .finished
  }

  /// Re-estimates batch norm statistics over the first batches of the next epoch's order, changed as in training.
  private func recalibrate(_ loader: BatchLoader) throws {
    guard configuration.recalibrate > 0 else { return }
    let batches = try loader.epoch(position.epoch + 1)
    var rest = configuration.recalibrate
    try session.recalibrate {
      guard rest > 0, let batch = try batches.next() else { return nil }
      rest -= 1
      return (batch.images, batch.count)
    }
  }

  private func finishEpoch(_ report: (Event) -> Void, learningRate: Double) throws {
    let trainLoss = position.lossSum / Double(max(1, position.imagesDone))
    let start = monotonicSeconds()
    let tally = hasValidation ? try validate(report) : nil
    let scores = tally?.scores
    let record = EpochRecord(
      epoch: position.epoch, trainLoss: trainLoss, validation: scores, learningRate: learningRate,
      seconds: position.secondsInEpoch + monotonicSeconds() - start)
    history.add(record, groups: tally?.groupScores ?? [:])
    let score = scores?.f1 ?? -trainLoss
    let isBest = position.bestScore.map { score > $0 } ?? true
    if isBest { position.bestScore = score }
    position = Position(epoch: position.epoch + 1, bestScore: position.bestScore)
    if isBest {
      try Checkpoint.saveModel(
        session.state, model: session.model, stepsTaken: session.stepsTaken, metadata: metadata(), to: directory.best)
    }
    // The history before the resume file: a run killed between the two repeats the epoch and drops its line.
    try history.write(to: directory)
    try save()
    report(.epoch(record, isBest: isBest))
  }

  private func validate(_ report: (Event) -> Void) throws -> ScoreTally {
    var tally = ScoreTally(threshold: 0.5)
    try eachBatch(
      validation, patch: configuration.patch, batch: min(session.shape.microBatch, validation.count),
      threads: configuration.threads, cacheBytes: 0
    ) { batch, done in
      let shape = Shape(batch.count, VariableUNet.inputChannels, batch.height, batch.width)
      tally.add(batch, logits: try session.predict(batch.images, shape: shape), pairs: validation)
      report(.validating(done: done, of: validation.count))
    }
    return tally
  }
}

/// The version of this program.
public let glomsegVersion = "0.1.0"
