public import Datasets
public import Engine

/// Every setting of a training run, checked.
public struct RunConfiguration: Sendable, Equatable {
  /// Side that patches are resized to; with an input scale, what comes of it once the data set is known: `sized(for:)`.
  public let patch: Int
  /// `patch` as a share of the patches' own side; 0 where `patch` itself is given.
  public let inputScale: Double
  public let base: Int
  public let bottleneck: Bottleneck
  public let norm: Normalization
  /// A model file whose parameters training starts from; empty for random ones.
  public let startFrom: String
  public let batch: Int
  /// Patches on the device at one time, at most `batch`.
  public let microBatch: Int
  public let activations: ActivationStorage
  public let gradients: GradientStorage
  public let memoryLimit: MemoryLimit
  public let epochs: Int
  public let learningRate: Double
  public let schedule: Schedule.Kind
  /// Epochs over which the learning rate rises; may be a fraction.
  public let warmupEpochs: Double
  public let weightDecay: Double
  /// The largest norm of a step's gradient; a longer one is scaled down to it. 0 leaves gradients as they are.
  public let clipNorm: Double
  /// Decay a step of the moving average of the parameters, which is then what is validated and saved; 0 keeps none.
  public let average: Double
  /// Training batches over which running statistics are re-estimated before validation and saving; 0 keeps training's own.
  public let recalibrate: Int
  /// Epochs without a better validation score after which training stops; 0 trains to the end.
  public let earlyStop: Int
  /// What a loss or gradient that is not finite does to a run.
  public let onNonFinite: OnNonFinite
  public let bceWeight: Double
  public let positiveWeight: Double
  public let diceSmooth: Double
  /// Random changes of training patches.
  public let augmentation: Augmentation
  /// Which patches of the data set are used.
  public let selection: PatchSelection
  public let balance: PatchBalance
  public let seed: UInt64
  public let device: String
  /// What the device's convolutions may round their operands to.
  public let precision: Precision
  /// Decoding threads ahead of the device.
  public let threads: Int
  /// Decoded patches kept in memory, MiB.
  public let cacheMiB: Int

  /// As it was given, to be filled anew once the patches' size is known.
  private let given: RunOptions

  /// Whether `patch` is known, and with it what depends on it.
  public var isSized: Bool { inputScale == 0 || given.patch != nil }

  public enum OnNonFinite: String, Sendable, CaseIterable {
    case stop
    /// The batch is left out: parameters, moments and running statistics stay as they were.
    case skip
  }

  /// Fills what is missing with the defaults.
  ///
  /// - Throws: `.setting` naming the first value that makes no sense.
  public init(_ options: RunOptions) throws(RunError) {
    given = options
    inputScale = options.input_scale ?? 0
    patch = options.patch ?? 256
    base = options.base ?? VariableUNet.base(forPatch: patch)
    bottleneck = try Self.choice(options.bottleneck, "bottleneck", default: .split)
    norm = try Self.choice(options.norm, "norm", default: .batch)
    startFrom = options.start_from ?? ""
    batch = options.batch ?? 1
    microBatch = min(options.micro_batch ?? batch, batch)
    activations = try Self.choice(options.activations, "activations", default: .fp32)
    gradients = try Self.choice(options.gradients, "gradients", default: .fp32)
    do { memoryLimit = try MemoryLimit(options.memory_limit ?? "auto") } catch {
      throw .setting(name: "memory_limit", problem: error.description)
    }
    epochs = options.epochs ?? 20
    learningRate = options.learning_rate ?? 1e-4
    schedule = try Self.choice(options.schedule, "schedule", default: .constant)
    warmupEpochs = options.warmup_epochs ?? 0
    weightDecay = options.weight_decay ?? 0
    clipNorm = options.clip_norm ?? 0
    average = options.average ?? 0
    // The average's running statistics are nobody's until they are estimated.
    recalibrate = options.recalibrate ?? (average > 0 && norm == .batch ? 16 : 0)
    earlyStop = options.early_stop ?? 0
    onNonFinite = try Self.choice(options.on_nonfinite, "on_nonfinite", default: .stop)
    bceWeight = options.bce_weight ?? 0.8
    positiveWeight = options.pos_weight ?? 25
    diceSmooth = options.dice_smooth ?? 1e-6
    var augmentation = Augmentation(
      flips: options.flips ?? false, quarterTurns: options.turns ?? false, brightness: Float(options.brightness ?? 0),
      contrast: Float(options.contrast ?? 0))
    augmentation.flipProbability = options.flip_probability ?? 1
    augmentation.turnProbability = options.turn_probability ?? 1
    augmentation.lightProbability = options.light_probability ?? 1
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
    selection = PatchSelection(
      trainingGroups: options.train_groups ?? [], validationGroups: options.validation_groups ?? [],
      share: options.subset ?? 1, seed: options.subset_seed ?? 0)
    balance = try Self.choice(options.balance, "balance", default: .none)
    seed = options.seed ?? 0
    device = options.device ?? "auto"
    precision = try Self.choice(options.precision, "precision", default: .fp32)
    threads = options.threads ?? 1
    cacheMiB = options.cache_mib ?? 1024
    func check(_ holds: Bool, _ name: String, _ problem: String) throws(RunError) {
      if !holds { throw .setting(name: name, problem: problem) }
    }
    try check(
      VariableUNet.sides.contains(patch), "patch", "should be a multiple of 16, at most 65520, not \(patch)")
    try check(
      (0...1).contains(inputScale), "input_scale", "should be above 0 and at most 1, or 0 to go by patch, not \(inputScale)")
    try check(base >= 2 && base % 2 == 0, "base", "should be even and at least 2, not \(base)")
    try check(batch >= 1, "batch", "should be at least 1, not \(batch)")
    try check(microBatch >= 1, "micro_batch", "should be at least 1, not \(microBatch)")
    try check(epochs >= 1, "epochs", "should be at least 1, not \(epochs)")
    try check(learningRate > 0 && learningRate.isFinite, "learning_rate", "should be above 0, not \(learningRate)")
    try check(
      warmupEpochs >= 0 && warmupEpochs <= Double(epochs), "warmup_epochs",
      "should be from 0 to the epochs, \(epochs), not \(warmupEpochs)")
    try check(clipNorm >= 0 && clipNorm.isFinite, "clip_norm", "should be at least 0, not \(clipNorm)")
    try check((0..<1).contains(average), "average", "should be from 0 to below 1, not \(average)")
    try check(earlyStop >= 0, "early_stop", "should be at least 0 epochs, not \(earlyStop)")
    try check(
      selection.share > 0 && selection.share <= 1, "subset", "should be above 0 and at most 1, not \(selection.share)")
    try check(recalibrate >= 0, "recalibrate", "should be at least 0 batches, not \(recalibrate)")
    try check(
      recalibrate == 0 || norm == .batch, "recalibrate",
      "goes with norm batch: with \(norm.rawValue) there are no statistics to estimate")
    try check(
      norm != .batchFrozen || !startFrom.isEmpty, "norm",
      "batch-frozen keeps the statistics of the model that training starts from: give one with start_from")
    try check((0...1).contains(weightDecay), "weight_decay", "should be from 0 to 1, not \(weightDecay)")
    try check((0...1).contains(bceWeight), "bce_weight", "should be from 0 to 1, not \(bceWeight)")
    try check(positiveWeight > 0 && positiveWeight.isFinite, "pos_weight", "should be above 0, not \(positiveWeight)")
    try check(diceSmooth >= 0 && diceSmooth.isFinite, "dice_smooth", "should be at least 0, not \(diceSmooth)")
    for (name, value) in [("brightness", augmentation.brightness), ("contrast", augmentation.contrast)] {
      try check((0..<1).contains(value), name, "should be from 0 to below 1, not \(value)")
    }
    for (name, value) in [
      ("flip_probability", augmentation.flipProbability), ("turn_probability", augmentation.turnProbability),
      ("light_probability", augmentation.lightProbability),
      ("warp_probability", augmentation.warpProbability), ("stain_probability", augmentation.stainProbability),
      ("blur_probability", augmentation.blurProbability), ("noise_probability", augmentation.noiseProbability),
      ("scaling", augmentation.scaling), ("elastic", augmentation.elastic), ("stain", augmentation.stain),
      ("noise", Double(augmentation.noise)),
    ] {
      try check((0...1).contains(value), name, "should be from 0 to 1, not \(value)")
    }
    try check(
      (0...180).contains(augmentation.rotation), "rotation", "should be from 0 to 180 degrees, not \(augmentation.rotation)")
    try check((0...20).contains(augmentation.blur), "blur", "should be from 0 to 20 pixels, not \(augmentation.blur)")
    try check(threads >= 1, "threads", "should be at least 1, not \(threads)")
    try check(cacheMiB >= 0, "cache_mib", "should be at least 0, not \(cacheMiB)")
  }

  /// The same settings with the side that the input scale makes of a data set's patches.
  public func sized(for data: PatchDataset) throws -> RunConfiguration {
    guard inputScale > 0 else { return self }
    var options = given
    options.patch = try data.patchSide(scale: inputScale, multiple: VariableUNet.sideMultiple)
    return try RunConfiguration(options)
  }

  public static func == (a: RunConfiguration, b: RunConfiguration) -> Bool { a.options == b.options }

  private static func choice<Choice: RawRepresentable<String> & CaseIterable>(
    _ word: String?, _ name: String, default usual: Choice
  ) throws(RunError) -> Choice {
    guard let word else { return usual }
    guard let choice = Choice(rawValue: word) else {
      let known = Choice.allCases.map(\.rawValue).joined(separator: ", ")
      throw .setting(name: name, problem: "should be one of \(known), not \(word)")
    }
    return choice
  }

  /// As options, every one present: for `config.yaml` and for resuming. Only what an input scale leaves open is missing.
  public var options: RunOptions {
    var options = RunOptions()
    options.patch = isSized ? patch : nil
    options.input_scale = inputScale
    options.base = isSized ? base : given.base
    options.bottleneck = bottleneck.rawValue
    options.norm = norm.rawValue
    options.start_from = startFrom
    options.batch = batch
    options.micro_batch = microBatch
    options.activations = activations.rawValue
    options.gradients = gradients.rawValue
    options.memory_limit = memoryLimit.description
    options.epochs = epochs
    options.learning_rate = learningRate
    options.schedule = schedule.rawValue
    options.warmup_epochs = warmupEpochs
    options.weight_decay = weightDecay
    options.clip_norm = clipNorm
    options.average = average
    options.recalibrate = recalibrate
    options.early_stop = earlyStop
    options.on_nonfinite = onNonFinite.rawValue
    options.bce_weight = bceWeight
    options.pos_weight = positiveWeight
    options.dice_smooth = diceSmooth
    options.flips = augmentation.flips
    options.turns = augmentation.quarterTurns
    options.flip_probability = augmentation.flipProbability
    options.turn_probability = augmentation.turnProbability
    options.light_probability = augmentation.lightProbability
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
    options.train_groups = selection.trainingGroups
    options.validation_groups = selection.validationGroups
    options.subset = selection.share
    options.subset_seed = selection.seed
    options.balance = balance.rawValue
    options.seed = seed
    options.device = device
    options.precision = precision.rawValue
    options.threads = threads
    options.cache_mib = cacheMiB
    return options
  }

  /// The text of `config.yaml`: every setting.
  public func yaml() throws(RunError) -> String { try options.yaml() }

  /// The shortest decimal that is the same fp32 number: 0.2, not 0.200000003.
  private static func written(_ value: Float) -> Double { Double("\(value)") ?? Double(value) }

  var model: VariableUNet { VariableUNet(base: base, bottleneck: bottleneck, norm: norm) }

  var loss: BCEDiceLoss {
    BCEDiceLoss(bceWeight: Float(bceWeight), positiveWeight: Float(positiveWeight), smooth: Float(diceSmooth))
  }
}
