import Randomness

/// Names of runs that carry their hyper-parameters, as the PyTorch project's did:
/// `ps256_po0_ep20_bs16_lr0p0001_bceW0p8_ds1e-06_posW25`, and behind that whatever else is not as by default.
public enum RunName {
  /// The parts that every name has: the letters and the setting behind them, in the order of a name.
  static let parts: [(letters: String, setting: String)] = [
    ("ps", "patch"), ("po", "overlap"), ("ep", "epochs"), ("bs", "batch"), ("lr", "learning_rate"), ("bceW", "bce_weight"),
    ("ds", "dice_smooth"), ("posW", "pos_weight"),
  ]

  /// What changes how fast a run is, or where, but not what comes out.
  static let unnamed: Set<String> = ["device", "threads", "cache_mib", "memory_limit"]

  /// Whether two runs that differ in this setting alone have one name: their results are the same.
  static func leavesOut(_ setting: String, _ configuration: RunConfiguration) -> Bool {
    unnamed.contains(setting) || (setting == "patch" && configuration.inputScale > 0)
  }

  private static let longest = 200

  /// - Parameter overlap: of the patches when they were cut from slides, as the data set's folder was made; training does not know it.
  public static func of(_ configuration: RunConfiguration, overlap: String = "0") throws(RunError) -> String {
    let own = try configuration.options.scalars()
    // What a setting's default is may depend on others (base on patch), so: the defaults beside this run's main settings.
    var main = RunOptions()
    if configuration.isSized { main.patch = configuration.patch }
    main.epochs = configuration.epochs
    main.batch = configuration.batch
    let usual = try RunConfiguration(main).options.scalars()
    let named = Set(parts.map(\.setting))
    // With an input scale the side comes of the data set, and the scale names the run.
    let parts = parts.filter { !leavesOut($0.setting, configuration) }
    var words = parts.map { $0.letters + text($0.setting == "overlap" ? overlap : own[$0.setting] ?? "") }
    for setting in RunOptions.names where !named.contains(setting) && !leavesOut(setting, configuration) {
      guard let value = own[setting], value != usual[setting] else { continue }
      let word = setting.replacing("_", with: "-")
      words.append(value == "true" ? word : word + text(value))
    }
    let name = words.joined(separator: "_")
    guard name.utf8.count > longest else { return name }
    // Too long for a folder: cut, and told apart by a number.
    return String(name.prefix(longest - 17)) + "_" + StableHash(name.utf8).digits
  }

  /// The settings in a name, by their names here; empty for a name of another form.
  public static func settings(_ name: String) -> [String: String] {
    var found: [String: String] = [:]
    for word in name.split(separator: "_") {
      // "posW25" begins with the letters of "po0" too, but then no number follows.
      for part in parts where word.hasPrefix(part.letters) {
        let number = word.dropFirst(part.letters.count).replacing("p", with: ".")
        if let value = Double(number) { found[part.setting] = decimal(value) }
      }
    }
    return found.count >= 3 ? found : [:]
  }

  /// A setting's letters in names; nil where it has none.
  package static func letters(_ setting: String) -> String? { parts.first { $0.setting == setting }?.letters }

  /// 0.0001 → 0p0001; whatever does not belong in a file name becomes a hyphen.
  private static func text(_ value: String) -> String {
    let short = Double(value).map(decimal) ?? value
    return String(
      short.replacing(".", with: "p").map { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-") ? $0 : "-" })
  }
}

/// A number as people write it, and Python: 25, 0.0001, 1e-06.
package func decimal(_ value: Double) -> String {
  let text = "\(value)"
  return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
}
