import Foundation
public import Runs

/// Runs found under paths: a run's folder, folders of runs, result files of the PyTorch project.
public struct RunCollection: Sendable {
  public private(set) var records: [RunRecord] = []
  /// What could not be read, a sentence each.
  public private(set) var problems: [String] = []

  /// Folders below a path that are looked into.
  private static let depth = 3

  /// - Throws: `.file` for a path that does not exist or under which there is no run.
  public init(_ paths: [String]) throws(RunError) {
    for path in paths {
      var isFolder: ObjCBool = false
      guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
        throw .file(path: path, problem: "there is no such run, folder of runs or result file")
      }
      let before = records.count + problems.count
      if isFolder.boolValue {
        search(path, depth: Self.depth)
      } else {
        records.append(try LegacyRun.read(path))
      }
      if records.count + problems.count == before {
        throw .file(
          path: path, problem: "holds no run: no folder with config.yaml and history.csv, no JSON of config and history")
      }
    }
    // A path that was given twice, inside another, or by way of a link.
    var seen: Set<String> = []
    records = records.filter {
      seen.insert(URL(fileURLWithPath: $0.path).resolvingSymlinksInPath().standardizedFileURL.path).inserted
    }
    // Runs of two sweeps may have one name.
    let counts = Dictionary(grouping: records, by: \.name).mapValues(\.count)
    records = records.map { record in
      guard counts[record.name, default: 1] > 1 else { return record }
      let folder = URL(fileURLWithPath: record.path).standardizedFileURL.deletingLastPathComponent().lastPathComponent
      return record.named(folder + "/" + record.name)
    }
  }

  private mutating func search(_ folder: String, depth: Int) {
    if RunRecord.isRun(folder) {
      do throws(RunError) { records.append(try RunRecord(folder: folder)) } catch { problems.append("\(error)") }
      return
    }
    guard depth > 0 else { return }
    let names: [String]
    do { names = try FileManager.default.contentsOfDirectory(atPath: folder) } catch {
      problems.append("\(folder): cannot be listed: \(systemReason(error))")
      return
    }
    for name in names.sorted() where !name.hasPrefix(".") {
      let path = folder + "/" + name
      var isFolder: ObjCBool = false
      guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else { continue }
      if isFolder.boolValue {
        search(path, depth: depth - 1)
      } else if name.lowercased().hasSuffix(".json"), LegacyRun.isResult(path) {
        do throws(RunError) { records.append(try LegacyRun.read(path)) } catch { problems.append("\(error)") }
      }
    }
  }
}
