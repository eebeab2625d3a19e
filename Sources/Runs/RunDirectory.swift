import Foundation
import Images

/// The files of a run.
public struct RunDirectory: Sendable {
  public let path: String

  public init(_ path: String) { self.path = path }

  /// By validation F1 (training loss where there is no validation split); a model file.
  public var best: String { path + "/best.safetensors" }
  /// Of the last finished epoch, or where the run was interrupted; a model file.
  public var last: String { path + "/last.safetensors" }
  /// Model, optimiser and position.
  public var resume: String { path + "/resume.safetensors" }
  /// A line a step, JSON.
  public var log: String { path + "/run.jsonl" }
  /// A line an epoch.
  public var history: String { path + "/history.csv" }
  /// A line an epoch and group.
  public var groupHistory: String { path + "/groups.csv" }
  public var configuration: String { path + "/config.yaml" }
  public var curves: String { path + "/curves.png" }

  /// Makes the folder, and tries whether it can be written, before any work is done.
  public func create() throws(RunError) {
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      let probe = path + "/.probe"
      try Data().write(to: URL(fileURLWithPath: probe))
      try FileManager.default.removeItem(atPath: probe)
    } catch {
      throw .file(path: path, problem: "cannot be written: \(systemReason(error))")
    }
  }

  public var holdsRun: Bool { FileManager.default.fileExists(atPath: resume) || FileManager.default.fileExists(atPath: last) }

  public var canResume: Bool { missingToResume == nil }

  /// The file without which a run cannot go on.
  public var missingToResume: String? { [resume, configuration].first { !Self.exists($0) } }

  static func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

  /// A text file, or what a pipe gives.
  package static func read(_ path: String) throws(RunError) -> String {
    var bytes: [UInt8]
    do { bytes = try FileBytes.read(path) } catch { throw .file(path: path, problem: error.reason) }
    // The mark that editors of some systems put before UTF-8.
    if bytes.starts(with: [0xef, 0xbb, 0xbf]) { bytes.removeFirst(3) }
    guard let text = String(validating: bytes, as: UTF8.self) else { throw .file(path: path, problem: "is no text in UTF-8") }
    return text
  }

  /// Writes a whole file: to a temporary name, then renamed.
  static func write(_ text: String, to path: String) throws(RunError) {
    do { try text.write(toFile: path, atomically: true, encoding: .utf8) } catch {
      throw .file(path: path, problem: "cannot be written: \(systemReason(error))")
    }
  }

  /// The model file that a path means: itself, or the best (else the last) of a run's folder.
  public static func modelFile(_ path: String) throws(RunError) -> String {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw .file(path: path, problem: "there is no such model file or run folder")
    }
    guard isFolder.boolValue else { return path }
    let run = RunDirectory(path)
    for candidate in [run.best, run.last] where exists(candidate) { return candidate }
    throw .file(path: path, problem: "this folder holds no best.safetensors or last.safetensors: it is no finished run")
  }
}
