import Datasets
public import Engine
import Yams

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
  public let weightDecay: Double
  public let bceWeight: Double
  public let positiveWeight: Double
  public let diceSmooth: Double
  public let flips: Bool
  public let turns: Bool
  public let brightness: Double
  public let contrast: Double
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
    weightDecay = options.weight_decay ?? 0
    bceWeight = options.bce_weight ?? 0.8
    positiveWeight = options.pos_weight ?? 25
    diceSmooth = options.dice_smooth ?? 1e-6
    flips = options.flips ?? false
    turns = options.turns ?? false
    brightness = options.brightness ?? 0
    contrast = options.contrast ?? 0
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
    try check((0...1).contains(weightDecay), "weight_decay", "should be from 0 to 1, not \(weightDecay)")
    try check((0...1).contains(bceWeight), "bce_weight", "should be from 0 to 1, not \(bceWeight)")
    try check(positiveWeight > 0 && positiveWeight.isFinite, "pos_weight", "should be above 0, not \(positiveWeight)")
    try check(diceSmooth >= 0 && diceSmooth.isFinite, "dice_smooth", "should be at least 0, not \(diceSmooth)")
    try check((0..<1).contains(brightness), "brightness", "should be from 0 to below 1, not \(brightness)")
    try check((0..<1).contains(contrast), "contrast", "should be from 0 to below 1, not \(contrast)")
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
    options.weight_decay = weightDecay
    options.bce_weight = bceWeight
    options.pos_weight = positiveWeight
    options.dice_smooth = diceSmooth
    options.flips = flips
    options.turns = turns
    options.brightness = brightness
    options.contrast = contrast
    options.seed = seed
    options.device = device
    options.threads = threads
    options.cache_mib = cacheMiB
    return options
  }

  /// The text of `config.yaml`: every setting, below a comment with the program's version.
  public func yaml() throws(RunError) -> String {
    func number(_ value: Double) -> String {
      // YAML 1.1 readers (PyYAML) take 1e-06 for a text and 1.0e-06 for a number.
      let text = "\(value)"
      return text.contains(".") ? text : text.replacing("e", with: ".0e")
    }
    let settings: [(String, String)] = [
      ("patch", "\(patch)"), ("base", "\(base)"), ("batch", "\(batch)"),
      ("micro_batch", "\(microBatch)"), ("memory_limit", memoryLimit.description), ("epochs", "\(epochs)"),
      ("learning_rate", number(learningRate)), ("weight_decay", number(weightDecay)), ("bce_weight", number(bceWeight)),
      ("pos_weight", number(positiveWeight)), ("dice_smooth", number(diceSmooth)), ("flips", "\(flips)"),
      ("turns", "\(turns)"), ("brightness", number(brightness)), ("contrast", number(contrast)), ("seed", "\(seed)"),
      ("threads", "\(threads)"), ("cache_mib", "\(cacheMiB)"),
    ]
    var pairs = settings.map { (Node($0), Node($1)) }
    pairs.append((Node("device"), Node(device, Tag(.str), .doubleQuoted)))
    do { return "# glomseg \(glomsegVersion)\n" + (try Yams.serialize(node: Node(pairs))) } catch {
      throw .request("the settings cannot be written: \(error)")
    }
  }

  var augmentation: Augmentation {
    Augmentation(flips: flips, quarterTurns: turns, brightness: Float(brightness), contrast: Float(contrast))
  }

  var loss: BCEDiceLoss {
    BCEDiceLoss(bceWeight: Float(bceWeight), positiveWeight: Float(positiveWeight), smooth: Float(diceSmooth))
  }
}
