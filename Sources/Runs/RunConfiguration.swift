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
  let given: RunOptions

  /// Whether `patch` is known, and with it what depends on it.
  public var isSized: Bool { inputScale == 0 || given.patch != nil }

  public enum OnNonFinite: String, Sendable, CaseIterable {
    case stop
    /// The batch is left out: parameters, moments and running statistics stay as they were.
    case skip
  }

  /// Batches that statistics are estimated over where nothing is said.
  static func usualRecalibration(_ options: RunOptions) -> Int {
    (options.average ?? 0) > 0 && (options.norm ?? Normalization.batch.rawValue) == Normalization.batch.rawValue ? 16 : 0
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
    recalibrate = options.recalibrate ?? Self.usualRecalibration(options)
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
    try check()
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

  var model: VariableUNet { VariableUNet(base: base, bottleneck: bottleneck, norm: norm) }

  var loss: BCEDiceLoss {
    BCEDiceLoss(bceWeight: Float(bceWeight), positiveWeight: Float(positiveWeight), smooth: Float(diceSmooth))
  }
}
