public import Datasets
public import Engine

/// Every setting of a training run, checked.
public struct RunConfiguration: Sendable, Equatable {
  public let patch: Int
  public let base: Int
  public let batch: Int
  /// Patches on the device at one time, at most `batch`.
  public let microBatch: Int
  public let memoryLimit: MemoryLimit
  public let epochs: Int
  public let learningRate: Double
  public let schedule: Schedule.Kind
  /// Epochs over which the learning rate rises; may be a fraction.
  public let warmupEpochs: Double
  public let weightDecay: Double
  /// Training batches over which running statistics are re-estimated before validation and saving; 0 keeps training's own.
  public let recalibrate: Int
  public let bceWeight: Double
  public let positiveWeight: Double
  public let diceSmooth: Double
  /// Random changes of training patches.
  public let augmentation: Augmentation
  public let seed: UInt64
  public let device: String
  /// Decoding threads ahead of the device.
  public let threads: Int
  /// Decoded patches kept in memory, MiB.
  public let cacheMiB: Int

  /// Fills what is missing with the defaults.
  ///
  /// - Throws: `.setting` naming the first value that makes no sense.
  public init(_ options: RunOptions) throws(RunError) {
    patch = options.patch ?? 256
    base = options.base ?? VariableUNet.base(forPatch: patch)
    batch = options.batch ?? 1
    microBatch = min(options.micro_batch ?? batch, batch)
    do { memoryLimit = try MemoryLimit(options.memory_limit ?? "auto") } catch {
      throw .setting(name: "memory_limit", problem: error.description)
    }
    epochs = options.epochs ?? 20
    learningRate = options.learning_rate ?? 1e-4
    let scheduleName = options.schedule ?? Schedule.Kind.constant.rawValue
    guard let schedule = Schedule.Kind(rawValue: scheduleName) else {
      let known = Schedule.Kind.allCases.map(\.rawValue).joined(separator: ", ")
      throw .setting(name: "schedule", problem: "should be one of \(known), not \(scheduleName)")
    }
    self.schedule = schedule
    warmupEpochs = options.warmup_epochs ?? 0
    weightDecay = options.weight_decay ?? 0
    recalibrate = options.recalibrate ?? 0
    bceWeight = options.bce_weight ?? 0.8
    positiveWeight = options.pos_weight ?? 25
    diceSmooth = options.dice_smooth ?? 1e-6
    var augmentation = Augmentation(
      flips: options.flips ?? false, quarterTurns: options.turns ?? false, brightness: Float(options.brightness ?? 0),
      contrast: Float(options.contrast ?? 0))
    augmentation.warpProbability = options.warp_probability ?? 0
    augmentation.rotation = options.rotation ?? 0
    augmentation.scaling = options.scaling ?? 0
    augmentation.elastic = options.elastic ?? 0
    augmentation.stainProbability = options.stain_probability ?? 0
    augmentation.stain = options.stain ?? 0
    augmentation.blurProbability = options.blur_probability ?? 0
    augmentation.blur = Float(options.blur ?? 0)
    augmentation.noiseProbability = options.noise_probability ?? 0
    augmentation.noise = Float(options.noise ?? 0)
    self.augmentation = augmentation
    seed = options.seed ?? 0
    device = options.device ?? "auto"
    threads = options.threads ?? 1
    cacheMiB = options.cache_mib ?? 1024
    func check(_ holds: Bool, _ name: String, _ problem: String) throws(RunError) {
      if !holds { throw .setting(name: name, problem: problem) }
    }
    try check(
      patch >= 16 && patch % VariableUNet.sideMultiple == 0, "patch", "should be a multiple of 16, not \(patch)")
    try check(base >= 2 && base % 2 == 0, "base", "should be even and at least 2, not \(base)")
    try check(batch >= 1, "batch", "should be at least 1, not \(batch)")
    try check(microBatch >= 1, "micro_batch", "should be at least 1, not \(microBatch)")
    try check(epochs >= 1, "epochs", "should be at least 1, not \(epochs)")
    try check(learningRate > 0 && learningRate.isFinite, "learning_rate", "should be above 0, not \(learningRate)")
    try check(
      warmupEpochs >= 0 && warmupEpochs <= Double(epochs), "warmup_epochs",
      "should be from 0 to the epochs, \(epochs), not \(warmupEpochs)")
    try check(recalibrate >= 0, "recalibrate", "should be at least 0 batches, not \(recalibrate)")
    try check((0...1).contains(weightDecay), "weight_decay", "should be from 0 to 1, not \(weightDecay)")
    try check((0...1).contains(bceWeight), "bce_weight", "should be from 0 to 1, not \(bceWeight)")
    try check(positiveWeight > 0 && positiveWeight.isFinite, "pos_weight", "should be above 0, not \(positiveWeight)")
    try check(diceSmooth >= 0 && diceSmooth.isFinite, "dice_smooth", "should be at least 0, not \(diceSmooth)")
    for (name, value) in [("brightness", augmentation.brightness), ("contrast", augmentation.contrast)] {
      try check((0..<1).contains(value), name, "should be from 0 to below 1, not \(value)")
    }
    for (name, value) in [
      ("warp_probability", augmentation.warpProbability), ("stain_probability", augmentation.stainProbability),
      ("blur_probability", augmentation.blurProbability), ("noise_probability", augmentation.noiseProbability),
      ("scaling", augmentation.scaling), ("elastic", augmentation.elastic), ("stain", augmentation.stain),
      ("noise", Double(augmentation.noise)),
    ] {
      try check((0...1).contains(value), name, "should be from 0 to 1, not \(value)")
    }
    try check((0...180).contains(augmentation.rotation), "rotation", "should be from 0 to 180 degrees, not \(augmentation.rotation)")
    try check((0...20).contains(augmentation.blur), "blur", "should be from 0 to 20 pixels, not \(augmentation.blur)")
    try check(threads >= 1, "threads", "should be at least 1, not \(threads)")
    try check(cacheMiB >= 0, "cache_mib", "should be at least 0, not \(cacheMiB)")
  }

  /// As options, every one present: for `config.yaml` and for resuming.
  public var options: RunOptions {
    var options = RunOptions()
    options.patch = patch
    options.base = base
    options.batch = batch
    options.micro_batch = microBatch
    options.memory_limit = memoryLimit.description
    options.epochs = epochs
    options.learning_rate = learningRate
    options.schedule = schedule.rawValue
    options.warmup_epochs = warmupEpochs
    options.weight_decay = weightDecay
    options.recalibrate = recalibrate
    options.bce_weight = bceWeight
    options.pos_weight = positiveWeight
    options.dice_smooth = diceSmooth
    options.flips = augmentation.flips
    options.turns = augmentation.quarterTurns
    options.brightness = Self.written(augmentation.brightness)
    options.contrast = Self.written(augmentation.contrast)
    options.warp_probability = augmentation.warpProbability
    options.rotation = augmentation.rotation
    options.scaling = augmentation.scaling
    options.elastic = augmentation.elastic
    options.stain_probability = augmentation.stainProbability
    options.stain = augmentation.stain
    options.blur_probability = augmentation.blurProbability
    options.blur = Self.written(augmentation.blur)
    options.noise_probability = augmentation.noiseProbability
    options.noise = Self.written(augmentation.noise)
    options.seed = seed
    options.device = device
    options.threads = threads
    options.cache_mib = cacheMiB
    return options
  }

  /// The text of `config.yaml`: every setting.
  public func yaml() throws(RunError) -> String { try options.yaml() }

  /// The shortest decimal that is the same fp32 number: 0.2, not 0.200000003.
  private static func written(_ value: Float) -> Double { Double("\(value)") ?? Double(value) }

  var loss: BCEDiceLoss {
    BCEDiceLoss(bceWeight: Float(bceWeight), positiveWeight: Float(positiveWeight), smooth: Float(diceSmooth))
  }
}
