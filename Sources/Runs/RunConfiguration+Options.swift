import Datasets
import Engine

extension RunConfiguration {
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
}
