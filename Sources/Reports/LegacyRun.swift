import Foundation
public import Runs

/// Result files of the PyTorch project: JSON with a `config` and a `history`.
///
/// The history is a list of values for each name (`{"train_loss": [0.9, 0.7], …}`) or a list of epochs
/// (`[{"epoch": 1, "train_loss": 0.9, …}, …]`). Names are compared without case and signs, in the spellings that scripts use;
/// numbers under other names keep theirs, and settings that the config lacks are taken from the file's name.
public enum LegacyRun {
  /// Spellings, as letters and digits alone, of a setting here.
  private static let settings: [String: [String]] = [
    "patch": ["patchsize", "ps", "patch", "imagesize", "imgsize", "inputsize"],
    "overlap": ["patchoverlap", "po", "overlap"],
    "epochs": ["epochs", "numepochs", "nepochs", "ep", "maxepochs"],
    "batch": ["batchsize", "bs", "batch"],
    "learning_rate": ["learningrate", "lr"],
    "bce_weight": ["bceweight", "bcew", "bceratio", "bce", "wbce", "alpha"],
    "dice_smooth": ["dicesmooth", "ds", "smooth", "dicesmoothing", "smoothing"],
    "pos_weight": ["posweight", "posw", "positiveweight", "bceposweight"],
    "seed": ["seed", "randomseed"],
  ]

  /// Spellings of a column here. The first that a file has is taken.
  private static let columns: [(name: String, spellings: [String])] = [
    ("epoch", ["epoch", "epochs"]),
    ("train_loss", ["trainloss", "trainingloss", "losstrain", "loss"]),
    ("val_loss", ["valloss", "validationloss", "lossval", "validloss"]),
    ("val_accuracy", ["valaccuracy", "valacc", "validationaccuracy", "accuracy", "acc"]),
    ("val_precision", ["valprecision", "validationprecision", "precision", "valprec"]),
    ("val_recall", ["valrecall", "validationrecall", "recall", "sensitivity", "valsensitivity"]),
    ("val_f1", ["valf1", "valf1score", "validationf1", "validationf1score", "f1", "f1score"]),
    ("val_dice_mean", ["valdice", "valdicescore", "validationdice", "dice", "dicescore", "valdicemean", "dicemean"]),
    ("learning_rate", ["lr", "learningrate"]),
    ("seconds", ["seconds", "epochtime", "time", "epochseconds"]),
    ("val_changed", ["valchanged", "flipflop", "valflipflop", "flipfloprate", "flips"]),
  ]

  /// Whether a JSON file is a result: it says so with its two names, and may be damaged otherwise.
  static func isResult(_ path: String) -> Bool {
    guard let text = FileManager.default.contents(atPath: path).map({ String(decoding: $0, as: UTF8.self) }) else { return false }
    return text.contains("\"config\"") && text.contains("\"history\"")
  }

  /// - Throws: `.file` for a file that is no JSON object or has no history.
  public static func read(_ path: String) throws(RunError) -> RunRecord {
    guard let bytes = FileManager.default.contents(atPath: path) else { throw .file(path: path, problem: "cannot be read") }
    let object: Any
    do { object = try JSONSerialization.jsonObject(with: plain(bytes)) } catch { throw .file(path: path, problem: "is not JSON") }
    guard let object = object as? [String: Any], let history = object["history"] else {
      throw .file(path: path, problem: "has no 'history': it is no result of the PyTorch project")
    }
    guard let table = table(history), table.count > 0 else {
      throw .file(path: path, problem: "its 'history' holds no numbers by epoch")
    }
    let name = URL(fileURLWithPath: path).deletingPathExtension().lastPathComponent
    var found = settingsOf(object["config"] as? [String: Any] ?? [:])
    let named = RunName.settings((object["name"] as? String) ?? (object["run_name"] as? String) ?? name)
    for (setting, value) in named.sorted(by: { $0.key < $1.key }) where !found.contains(where: { $0.name == setting }) {
      found.append(.init(name: setting, value: value))
    }
    return RunRecord(name: name, path: path, settings: found, status: .finished, history: table)
  }

  /// Python writes NaN and Infinity, which are no JSON.
  private static func plain(_ bytes: Data) -> Data {
    let text = String(decoding: bytes, as: UTF8.self)
    guard text.contains("NaN") || text.contains("Infinity") else { return bytes }
    return Data(text.replacing(/(?<before>[\[:,]\s*)-?(?:NaN|Infinity)(?=\s*[,\]}])/, with: { String($0.before) + "null" }).utf8)
  }

  private static func letters(_ name: String) -> String { name.lowercased().filter { $0.isLetter || $0.isNumber } }

  private static func settingsOf(_ config: [String: Any]) -> [RunRecord.Setting] {
    var known: [RunRecord.Setting] = []
    var other: [RunRecord.Setting] = []
    for (key, value) in flattened(config).sorted(by: { $0.key < $1.key }) {
      let last = letters(key.split(separator: ".").last.map(String.init) ?? key)
      if let name = settings.first(where: { $0.value.contains(last) })?.key, !known.contains(where: { $0.name == name }) {
        known.append(.init(name: name, value: value))
      } else {
        other.append(.init(name: key, value: value))
      }
    }
    let order = ["patch", "overlap", "epochs", "batch", "learning_rate", "bce_weight", "dice_smooth", "pos_weight", "seed"]
    return known.sorted { order.firstIndex(of: $0.name) ?? 99 < order.firstIndex(of: $1.name) ?? 99 } + other
  }

  /// Nested objects by names with points between.
  private static func flattened(_ object: [String: Any], _ prefix: String = "") -> [String: String] {
    var flat: [String: String] = [:]
    for (key, value) in object {
      if let inner = value as? [String: Any] {
        flat.merge(flattened(inner, prefix + key + ".")) { first, _ in first }
      } else {
        flat[prefix + key] = text(value)
      }
    }
    return flat
  }

  private static func text(_ value: Any) -> String {
    if let number = value as? NSNumber {
      // A Boolean is a number too, of the C type char.
      if String(cString: number.objCType) == "c" { return "\(number.boolValue)" }
      return decimal(number.doubleValue)
    }
    if let list = value as? [Any] { return list.map(text).joined(separator: ", ") }
    if value is NSNull { return "" }
    return "\(value)"
  }

  private static func table(_ history: Any) -> HistoryTable? {
    var series: [(name: String, values: [Double?])] = []
    func number(_ value: Any?) -> Double? { (value as? NSNumber).map(\.doubleValue).flatMap { $0.isFinite ? $0 : nil } }
    if let lists = history as? [String: Any] {
      for (name, value) in lists.sorted(by: { $0.key < $1.key }) {
        if let list = value as? [Any] {
          series.append((name, list.map { number($0) }))
        } else if let inner = value as? [String: Any] {
          // {"train": {"loss": […]}, "val": {"f1": […]}}
          for (second, list) in inner.sorted(by: { $0.key < $1.key }) {
            if let list = list as? [Any] { series.append((name + "_" + second, list.map { number($0) })) }
          }
        }
      }
    } else if let epochs = history as? [[String: Any]] {
      let flat = epochs.map { epoch -> [String: Any] in
        var flat = epoch
        for (name, value) in epoch { for (second, inner) in value as? [String: Any] ?? [:] { flat[name + "_" + second] = inner } }
        return flat
      }
      for name in Set(flat.flatMap(\.keys)).sorted() { series.append((name, flat.map { number($0[name]) })) }
    }
    series = series.filter { $0.values.contains { $0 != nil } }
    guard !series.isEmpty else { return nil }
    var result: [(name: String, values: [Double?])] = []
    var used: Set<String> = []
    for (name, spellings) in columns {
      guard let spelling = spellings.first(where: { spelling in series.contains { letters($0.name) == spelling } }),
        let found = series.first(where: { letters($0.name) == spelling })
      else { continue }
      used.insert(found.name)
      result.append((name, found.values))
    }
    let count = series.map(\.values.count).max() ?? 0
    if !result.contains(where: { $0.name == "epoch" }) { result.insert(("epoch", (1...max(1, count)).map { Double($0) }), at: 0) }
    for (name, values) in series where !used.contains(name) { result.append((name, values)) }
    return HistoryTable(result)
  }
}
