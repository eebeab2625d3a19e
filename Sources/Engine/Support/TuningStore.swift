import Foundation
import Randomness

/// Tables of tiles that `glomseg tune` found, one file of JSON each.
///
/// A file is believed only where its whole key is that of the device at hand and its table is one that the kernels can take.
/// None is needed: without one a device has the tiles of its class.
public struct TuningStore: Sendable {
  public let folder: String

  public init(folder: String) { self.folder = folder }

  /// The user's: `$XDG_CACHE_HOME/glomseg/tuning`, else `~/.cache/glomseg/tuning`; nil where `GLOMSEG_TUNING` is `off`, or
  /// there is no home.
  public static func ofUser() -> TuningStore? {
    let environment = ProcessInfo.processInfo.environment
    func variable(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
    guard variable("GLOMSEG_TUNING") != "off" else { return nil }
    guard let caches = variable("XDG_CACHE_HOME") ?? variable("HOME").map({ $0 + "/.cache" }) else { return nil }
    return TuningStore(folder: caches + "/glomseg/tuning")
  }

  /// What tiles were found for.
  public struct Key: Sendable, Equatable {
    public let device: String
    public let platform: String
    public let driver: String
    public let deviceClass: DeviceClass
    /// What convolutions compute in; on matrix units each precision has tiles of its own.
    public let arithmetic: Precision
    /// A hash of the kernels' text.
    public let kernels: String
  }

  /// A table and how it was found.
  public struct Entry: Sendable {
    public let key: Key
    public let tiles: TileTable
    /// Date, size, seconds of the class's tiles as a multiple of these: for people.
    public let found: [String: String]

    public init(key: Key, tiles: TileTable, found: [String: String]) {
      self.key = key
      self.tiles = tiles
      self.found = found
    }
  }

  enum Found {
    case none
    case found(Entry, path: String)
    case damaged(path: String, problem: String)
  }

  private struct File: Codable {
    var device: String
    var platform: String
    var driver: String
    var kernels_for: String
    var arithmetic: String
    var kernels: String
    var tiles: [String: Int]
    var found: [String: String]
  }

  /// The device's name and a hash of the whole key.
  public func path(_ key: Key) -> String {
    let words = [key.device, key.platform, key.driver, key.deviceClass.rawValue, key.arithmetic.rawValue, key.kernels]
    let digits = StableHash(words.joined(separator: "\n").utf8).digits
    let name = key.device.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "-" }
    return "\(folder)/\(String(name.prefix(40)))-\(key.deviceClass.rawValue)-\(digits).json"
  }

  func find(_ key: Key) -> Found {
    let path = path(key)
    guard FileManager.default.fileExists(atPath: path) else { return .none }
    guard let data = FileManager.default.contents(atPath: path), let file = try? JSONDecoder().decode(File.self, from: data)
    else { return .damaged(path: path, problem: "is no tuned table that can be read") }
    guard
      file.device == key.device, file.platform == key.platform, file.driver == key.driver, file.kernels == key.kernels,
      file.kernels_for == key.deviceClass.rawValue, file.arithmetic == key.arithmetic.rawValue
    else { return .damaged(path: path, problem: "is of another device, driver or version") }
    guard let tiles = TileTable(key.deviceClass, sizes: file.tiles) else {
      return .damaged(path: path, problem: "has tiles that the kernels cannot take")
    }
    return .found(Entry(key: key, tiles: tiles, found: file.found), path: path)
  }

  /// Keeps a table in place of an older one: under another name until it is whole.
  ///
  /// - Returns: the file's path.
  /// - Throws: `.file` where it cannot be written.
  public func keep(_ entry: Entry) throws(EngineError) -> String {
    let path = path(entry.key)
    let file = File(
      device: entry.key.device, platform: entry.key.platform, driver: entry.key.driver,
      kernels_for: entry.key.deviceClass.rawValue, arithmetic: entry.key.arithmetic.rawValue, kernels: entry.key.kernels,
      tiles: entry.tiles.sizes, found: entry.found)
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      try encoder.encode(file).write(to: URL(fileURLWithPath: path), options: .atomic)
    } catch { throw .file(path: path, problem: "cannot be written: \(error.localizedDescription)") }
    return path
  }

  /// The table that is kept for a device, damaged ones as nil.
  public func entry(_ key: Key) -> Entry? {
    if case .found(let entry, _) = find(key) { entry } else { nil }
  }

  /// Deletes a device's table.
  ///
  /// - Returns: whether there was one.
  /// - Throws: `.file` where it cannot be deleted.
  public func remove(_ key: Key) throws(EngineError) -> Bool {
    let path = path(key)
    guard FileManager.default.fileExists(atPath: path) else { return false }
    do { try FileManager.default.removeItem(atPath: path) } catch {
      throw .file(path: path, problem: "cannot be deleted: \(error.localizedDescription)")
    }
    return true
  }
}
