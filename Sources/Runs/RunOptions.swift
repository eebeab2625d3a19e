import Yams

/// Settings of a training run as a config file or a command line gives them: each may be missing.
///
/// The names are the YAML keys. `RunConfiguration` fills what is missing.
public struct RunOptions: Codable, Sendable, Equatable {
  public var patch: Int?
  public var input_scale: Double?
  public var base: Int?
  public var bottleneck: String?
  public var norm: String?
  public var start_from: String?
  public var batch: Int?
  public var micro_batch: Int?
  public var activations: String?
  public var gradients: String?
  public var memory_limit: String?
  public var epochs: Int?
  public var learning_rate: Double?
  public var schedule: String?
  public var warmup_epochs: Double?
  public var weight_decay: Double?
  public var clip_norm: Double?
  public var average: Double?
  public var recalibrate: Int?
  public var early_stop: Int?
  public var on_nonfinite: String?
  public var bce_weight: Double?
  public var pos_weight: Double?
  public var dice_smooth: Double?
  public var flips: Bool?
  public var turns: Bool?
  public var flip_probability: Double?
  public var turn_probability: Double?
  public var brightness: Double?
  public var contrast: Double?
  public var light_probability: Double?
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
  public var train_groups: [String]?
  public var validation_groups: [String]?
  public var subset: Double?
  public var subset_seed: UInt64?
  public var balance: String?
  public var seed: UInt64?
  public var device: String?
  public var precision: String?
  public var threads: Int?
  public var cache_mib: Int?

  public init() {}

  /// The names of all settings, in their order.
  static let names = Mirror(reflecting: RunOptions()).children.compactMap(\.label)

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
      guard names.contains(name) else {
        throw .setting(
          name: "\(path): \(name)", problem: "there is no such setting; there are \(names.joined(separator: ", "))")
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

  /// These settings, with `other`'s where these are missing. `patch` and `input_scale` say the same thing: where only one of
  /// them is here, the other one there is not taken. What there only follows another setting, as in every run's `config.yaml`, follows it here.
  public func over(_ other: RunOptions) throws(RunError) -> RunOptions {
    var other = other
    if patch != nil { other.input_scale = nil }
    if input_scale != nil { other.patch = nil }
    if batch != nil, other.micro_batch == other.batch { other.micro_batch = nil }
    if average != nil || norm != nil, other.recalibrate == RunConfiguration.usualRecalibration(other) { other.recalibrate = nil }
    var merged = try other.mapping()
    for (name, value) in try mapping() { merged[name] = value }
    do { return try YAMLDecoder().decode(RunOptions.self, from: Node.mapping(merged)) } catch {
      throw .request("settings cannot be merged: \(error)")
    }
  }

  /// The settings that are present, by name.
  private func mapping() throws(RunError) -> Node.Mapping {
    do {
      let text = try YAMLEncoder().encode(self)
      return try Yams.compose(yaml: text)?.mapping ?? [:]
    } catch { throw .request("settings cannot be written: \(error)") }
  }

  /// The settings that are present, as texts by name: numbers as people write them, lists with commas.
  func scalars() throws(RunError) -> [String: String] {
    var texts: [String: String] = [:]
    for (name, value) in try mapping() { texts[name.string ?? ""] = value.settingText }
    return texts
  }

  /// YAML, a line a setting, below a comment with the program's version.
  public func yaml() throws(RunError) -> String {
    var mapping = try mapping()
    for (name, value) in mapping {
      // Yams writes 0.8 as 8e-1. YAML 1.1 readers (PyYAML) take 1e-06 for a text and 1.0e-06 for a number.
      if case .scalar(var scalar) = value, scalar.string.contains("e"), let number = Double(scalar.string) {
        let text = "\(number)"
        scalar.string = text.contains(".") ? text : text.replacing("e", with: ".0e")
        mapping[name] = .scalar(scalar)
      }
    }
    do { return "# glomseg \(glomsegVersion)\n" + (try Yams.serialize(node: .mapping(mapping))) } catch {
      throw .request("the settings cannot be written: \(error)")
    }
  }
}
