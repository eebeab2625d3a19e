import Yams

/// Settings of a training run as a config file or a command line gives them: each may be missing.
///
/// The names are the YAML keys. `RunConfiguration` fills what is missing.
public struct RunOptions: Codable, Sendable, Equatable {
  public var patch: Int?
  public var base: Int?
  public var batch: Int?
  public var micro_batch: Int?
  public var memory_limit: String?
  public var epochs: Int?
  public var learning_rate: Double?
  public var schedule: String?
  public var warmup_epochs: Double?
  public var weight_decay: Double?
  public var recalibrate: Int?
  public var bce_weight: Double?
  public var pos_weight: Double?
  public var dice_smooth: Double?
  public var flips: Bool?
  public var turns: Bool?
  public var brightness: Double?
  public var contrast: Double?
  public var warp_probability: Double?
  public var rotation: Double?
  public var scaling: Double?
  public var elastic: Double?
  public var stain_probability: Double?
  public var stain: Double?
  public var blur_probability: Double?
  public var blur: Double?
  public var noise_probability: Double?
  public var noise: Double?
  public var seed: UInt64?
  public var device: String?
  public var threads: Int?
  public var cache_mib: Int?

  public init() {}

  enum CodingKeys: String, CodingKey, CaseIterable {
    case patch, base, batch, micro_batch, memory_limit, epochs, learning_rate, schedule, warmup_epochs, weight_decay
    case recalibrate, bce_weight, pos_weight, dice_smooth, flips, turns, brightness, contrast, warp_probability, rotation
    case scaling, elastic, stain_probability, stain, blur_probability, blur, noise_probability, noise, seed, device, threads
    case cache_mib
  }

  /// Reads YAML.
  ///
  /// - Throws: `.file` for text that is no YAML mapping, `.setting` for a key that does not exist or a value of the wrong kind.
  public static func parse(_ text: String, path: String) throws(RunError) -> RunOptions {
    let node: Node?
    do { node = try Yams.compose(yaml: text) } catch let error as YamlError {
      throw .file(path: path, problem: "is not YAML: \(sentence(error))")
    } catch {
      throw .file(path: path, problem: "is not YAML: \(error)")
    }
    guard let node else { return RunOptions() }
    guard let mapping = node.mapping else { throw .file(path: path, problem: "should be a list of 'name: value' lines") }
    for key in mapping.keys {
      let name = key.string ?? "?"
      guard CodingKeys(rawValue: name) != nil else {
        let known = CodingKeys.allCases.map(\.rawValue).joined(separator: ", ")
        throw .setting(name: "\(path): \(name)", problem: "there is no such setting; there are \(known)")
      }
    }
    do { return try YAMLDecoder().decode(RunOptions.self, from: text) } catch DecodingError.typeMismatch(_, let context) {
      let name = context.codingPath.last?.stringValue ?? "a setting"
      throw .setting(name: "\(path): \(name)", problem: "has a value of the wrong kind")
    } catch {
      throw .file(path: path, problem: "cannot be read as settings: \(error)")
    }
  }

  /// Yams's own description shows the place in the text over several lines.
  private static func sentence(_ error: YamlError) -> String {
    switch error {
    case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _), .composer(_, let problem, let mark, _):
      "\(problem) in line \(mark.line)"
    case .duplicatedKeysInMapping(let keys, _): "\(keys.joined(separator: ", ")) is there twice"
    case .reader(let problem, _, _, _): problem
    default: "\(error)".split(separator: "\n").joined(separator: " ")
    }
  }

  /// These settings, with `other`'s where these are missing.
  public func over(_ other: RunOptions) -> RunOptions {
    var merged = RunOptions()
    merged.patch = patch ?? other.patch
    merged.base = base ?? other.base
    merged.batch = batch ?? other.batch
    merged.micro_batch = micro_batch ?? other.micro_batch
    merged.memory_limit = memory_limit ?? other.memory_limit
    merged.epochs = epochs ?? other.epochs
    merged.learning_rate = learning_rate ?? other.learning_rate
    merged.schedule = schedule ?? other.schedule
    merged.warmup_epochs = warmup_epochs ?? other.warmup_epochs
    merged.weight_decay = weight_decay ?? other.weight_decay
    merged.recalibrate = recalibrate ?? other.recalibrate
    merged.bce_weight = bce_weight ?? other.bce_weight
    merged.pos_weight = pos_weight ?? other.pos_weight
    merged.dice_smooth = dice_smooth ?? other.dice_smooth
    merged.flips = flips ?? other.flips
    merged.turns = turns ?? other.turns
    merged.brightness = brightness ?? other.brightness
    merged.contrast = contrast ?? other.contrast
    merged.warp_probability = warp_probability ?? other.warp_probability
    merged.rotation = rotation ?? other.rotation
    merged.scaling = scaling ?? other.scaling
    merged.elastic = elastic ?? other.elastic
    merged.stain_probability = stain_probability ?? other.stain_probability
    merged.stain = stain ?? other.stain
    merged.blur_probability = blur_probability ?? other.blur_probability
    merged.blur = blur ?? other.blur
    merged.noise_probability = noise_probability ?? other.noise_probability
    merged.noise = noise ?? other.noise
    merged.seed = seed ?? other.seed
    merged.device = device ?? other.device
    merged.threads = threads ?? other.threads
    merged.cache_mib = cache_mib ?? other.cache_mib
    return merged
  }
}
