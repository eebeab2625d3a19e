import ArgumentParser
import Runs

/// A training run's settings on the command line.
struct TrainOptions: ParsableArguments {
  @Option(help: "Side that patches are resized to, a multiple of 16 (256).") var patch: Int?
  @Option(help: "Channels of the first level (max(16, 64*patch/2048)).") var base: Int?
  @Option(help: "Between encoder and decoder: split, sum or plain (split).") var bottleneck: String?
  @Option(help: "Of activations: batch, group or batch-frozen (batch).") var norm: String?
  @Option(help: "Model file or run to start from, of any width (random parameters).") var startFrom: String?
  @Option(help: "Side that patches are resized to as a share of their own, instead of --patch.") var inputScale: Double?
  @Option(help: "Patches per step (1).") var batch: Int?
  @Option(help: "Patches on the device at one time (all of the batch).") var microBatch: Int?
  @Option(help: "How activations are stored: fp32, or fp16 in half the memory (fp32).")
  var activations: String?
  @Option(help: "How gradients of activations are stored: fp32, or bf16 in half the memory (fp32).")
  var gradients: String?
  @Option(help: "Memory that the plan may take, such as 5GiB or 4800MB (auto: 90% of what is free).") var memoryLimit: String?
  @Option(help: "Passes over the training patches (20).") var epochs: Int?
  @Option(name: .customLong("lr"), help: "Adam's learning rate (1e-4).") var learningRate: Double?
  @Option(help: "Of the learning rate: constant, cosine or polynomial (constant).") var schedule: String?
  @Option(help: "Epochs over which the learning rate rises (0).") var warmupEpochs: Double?
  @Option(help: "Largest norm of a step's gradient; 0: any (0).") var clipNorm: Double?
  @Option(help: "Decay of a moving average of the parameters, which is then what is validated and saved; 0: none (0).")
  var average: Double?
  @Option(
    help:
      "Training batches over which batch norm statistics are re-estimated before validation and saving (0; with --average 16).")
  var recalibrate: Int?
  @Option(help: "Epochs without a better validation F1 after which training stops; 0: none (0).") var earlyStop: Int?
  @Option(name: .customLong("on-nonfinite"), help: "Where a loss or gradient is not finite: stop, or skip the batch (stop).")
  var onNonFinite: String?
  @Option(help: "Decoupled weight decay, as AdamW (0).") var weightDecay: Double?
  @Option(help: "Share of BCE in the loss; the rest is 1 - Dice (0.8).") var bceWeight: Double?
  @Option(help: "Weight of foreground pixels in BCE (25).") var posWeight: Double?
  @Option(help: "Smooth term of Dice (1e-6).") var diceSmooth: Double?
  @Flag(inversion: .prefixedNo, help: "Flip patches at random (no).") var flips: Bool?
  @Flag(inversion: .prefixedNo, help: "Turn patches by quarter turns at random (no).") var turns: Bool?
  @Option(help: "Random change of brightness, up to this share (0).") var brightness: Double?
  @Option(help: "Random change of contrast, up to this share (0).") var contrast: Double?
  @Option(parsing: .upToNextOption, help: "Groups to train on, such as DN,NEP25 (all).") var trainGroups: [String] = []
  @Option(parsing: .upToNextOption, help: "Groups to validate on, such as DN,NEP25 (all).") var validationGroups: [String] = []
  @Option(help: "Share of each group's training patches (1).") var subset: Double?
  @Option(help: "Seed of the subset (0).") var subsetSeed: UInt64?
  @Option(help: "What an epoch shows equally often: none, group, foreground or both (none).") var balance: String?
  @Option(help: "Seed of starting values, order and augmentation (0).") var seed: UInt64?
  @Option(help: "auto, gpu, cpu, opencl, opencl:P:D, or part of a device's name (auto).") var device: String?
  @Option(help: precisionHelp) var precision: String?
  @Option(help: "Threads that decode ahead of the device (1).") var threads: Int?
  @Option(help: "Memory for decoded patches, MiB; at most half of what the plan leaves free (1024).") var cacheMib: Int?

  /// Those that were given.
  var options: RunOptions {
    var options = RunOptions()
    options.patch = patch
    options.input_scale = inputScale
    options.base = base
    options.bottleneck = bottleneck
    options.norm = norm
    options.start_from = startFrom
    options.batch = batch
    options.micro_batch = microBatch
    options.activations = activations
    options.gradients = gradients
    options.memory_limit = memoryLimit
    options.epochs = epochs
    options.learning_rate = learningRate
    options.schedule = schedule
    options.warmup_epochs = warmupEpochs
    options.weight_decay = weightDecay
    options.clip_norm = clipNorm
    options.average = average
    options.recalibrate = recalibrate
    options.early_stop = earlyStop
    options.on_nonfinite = onNonFinite
    options.bce_weight = bceWeight
    options.pos_weight = posWeight
    options.dice_smooth = diceSmooth
    options.flips = flips
    options.turns = turns
    options.brightness = brightness
    options.contrast = contrast
    options.train_groups = Self.names(trainGroups)
    options.validation_groups = Self.names(validationGroups)
    options.subset = subset
    options.subset_seed = subsetSeed
    options.balance = balance
    options.seed = seed
    options.device = device
    options.precision = precision
    options.threads = threads
    options.cache_mib = cacheMib
    return options
  }

  /// Groups as given, apart or with commas between them; nil for none.
  private static func names(_ words: [String]) -> [String]? {
    let names = words.flatMap { $0.split(separator: ",").map(String.init) }
    return names.isEmpty ? nil : names
  }
}
