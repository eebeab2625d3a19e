import Foundation
import Randomness
import Yams

/// The runs of a sweep: a grid, random draws, or draws at each point of a grid.
///
/// ```yaml
/// data: patches            # a folder; {overlap}, {patch} and the like stand for a run's values
/// base: {epochs: 20, batch: 16}          # settings of all runs, or config: FILE, or both
/// grid:
///   bce_weight: [0.6, 0.8]               # every combination
/// random:
///   learning_rate: {min: 1e-5, max: 1e-3, log: true}   # or a list to choose from
/// count: 10                              # draws
/// seed: 0                                # of the draws
/// ```
public struct SweepPlan: Sendable {
  public struct Job: Sendable {
    public let name: String
    public let configuration: RunConfiguration
    /// Folder of the data set.
    public let data: String
    public let overlap: String
  }

  public let jobs: [Job]
  /// The varied settings, in the file's order: the grid's, then the random ones.
  public let varied: [String]

  /// A value to try, as it stands in the file; a list for settings that take several words.
  private typealias Point = [(name: String, value: Node)]

  /// Names that a sweep may vary beside a run's settings.
  private static let own: Set<String> = ["overlap"]
  private static let keys = ["data", "config", "base", "grid", "random", "count", "seed"]

  /// - Parameters:
  ///   - path: of the file, for errors, and for what `config` is relative to.
  ///   - data: instead of the file's `data`.
  /// - Throws: `.file` for text that is no YAML mapping; `.setting` naming the first thing that makes no sense, settings of
  ///   single runs included, so that nothing is trained before all of it can be.
  public init(_ text: String, path: String, data: String? = nil) throws(RunError) {
    let node: Node?
    do { node = try Yams.compose(yaml: text) } catch { throw .file(path: path, problem: "is not YAML: \(error)") }
    guard let mapping = node?.mapping else { throw .file(path: path, problem: "should be a list of 'name: value' lines") }
    func bad(_ name: String, _ problem: String) -> RunError { .setting(name: "\(path): \(name)", problem: problem) }
    for key in mapping.keys.compactMap(\.string) where !Self.keys.contains(key) {
      throw bad(key, "a sweep has no such key; there are \(Self.keys.joined(separator: ", "))")
    }
    guard let data = data ?? mapping["data"]?.string else {
      throw bad("data", "there is no data set: name its folder here or with --data")
    }

    var base = RunOptions()
    if let config = mapping["config"]?.string {
      let folder = path.contains("/") ? String(path[...(path.lastIndex(of: "/") ?? path.startIndex)]) : ""
      let file = config.hasPrefix("/") ? config : folder + config
      base = try RunOptions.parse(RunDirectory.read(file), path: file)
    }
    var overlap = "0"
    if let settings = mapping["base"] {
      guard let settings = settings.mapping else { throw bad("base", "should be a list of 'name: value' lines") }
      let (options, own) = try Self.options(Array(settings).map { ($0.key.string ?? "?", $0.value) }, path: path)
      base = try options.over(base)
      overlap = own ?? overlap
    }

    var grid: [Point] = [[]]
    var varied: [String] = []
    for (key, values) in try Self.section("grid", mapping, bad) {
      guard let values = values.sequence, !values.isEmpty else { throw bad("grid: \(key)", "should be a list of values: [1, 2]") }
      varied.append(key)
      grid = grid.flatMap { point in values.map { point + [(key, $0)] } }
    }
    let ranges = try Self.section("random", mapping, bad)
    var draws: [Point] = [[]]
    if !ranges.isEmpty {
      guard let count = mapping["count"]?.int, count >= 1 else {
        throw bad("count", "should say how many runs 'random' draws, at least 1")
      }
      var source = RandomSource(seed: UInt64(bitPattern: Int64(mapping["seed"]?.int ?? 0)))
      draws = []
      for _ in 0..<count {
        var point: Point = []
        for (key, range) in ranges { point.append((key, try Self.draw(key, range, from: &source) { bad("random: \(key)", $0) })) }
        draws.append(point)
      }
      for (key, _) in ranges {
        if varied.contains(key) { throw bad(key, "is in 'grid' and in 'random'; it can be in one") }
        varied.append(key)
      }
    }
    guard !varied.isEmpty else { throw bad("grid", "nothing is varied: give 'grid' or 'random'") }

    var planned:
      [(configuration: RunConfiguration, overlap: String, values: [String: String], named: [String: String], name: String)] = []
    for point in grid.flatMap({ start in draws.map { start + $0 } }) {
      let (options, own) = try Self.options(point, path: path)
      let overlap = own ?? overlap
      let configuration: RunConfiguration
      do throws(RunError) { configuration = try RunConfiguration(options.over(base)) } catch {
        let values = point.map { "\($0.name) \($0.value.settingText)" }.joined(separator: ", ")
        throw .setting(name: path, problem: "the run with \(values) cannot be: \(error)")
      }
      let values = try configuration.options.scalars().merging(["overlap": overlap]) { $1 }
      let named = values.filter { !RunName.leavesOut($0.key, configuration) }
      planned.append((configuration, overlap, values, named, try RunName.of(configuration, overlap: overlap)))
    }
    var jobs: [Job] = []
    var known: Set<[String: String]> = []
    let shared = Dictionary(grouping: planned, by: \.name).mapValues { Set($0.map(\.named)).count > 1 }
    for run in planned {
      // Draws of few values may meet, and so may settings of which one overrules the other.
      guard known.insert(run.named).inserted else { continue }
      var name = run.name
      if shared[name] == true {
        // Of two paths a name may be the same: it has letters, digits and hyphens alone. None of them gets it, whatever their order.
        name += "_" + StableHash(run.named.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)\n" }.joined().utf8).digits
      }
      var folder = data
      for (key, value) in run.values { folder = folder.replacing("{\(key)}", with: value) }
      if folder.contains("{") { throw bad("data", "\(folder): there is no setting of the name in braces") }
      jobs.append(Job(name: name, configuration: run.configuration, data: folder, overlap: run.overlap))
    }
    self.jobs = jobs
    self.varied = varied
  }

  /// A mapping of the file, with names that exist.
  private static func section(
    _ name: String, _ mapping: Node.Mapping, _ bad: (String, String) -> RunError
  ) throws(RunError) -> [(String, Node)] {
    guard let node = mapping[name] else { return [] }
    guard let entries = node.mapping else { throw bad(name, "should be a list of 'setting: values' lines") }
    return entries.map { ($0.key.string ?? "?", $0.value) }
  }

  /// Values as a run's options; the overlap apart.
  private static func options(_ point: Point, path: String) throws(RunError) -> (RunOptions, overlap: String?) {
    var mapping = Node.Mapping([])
    var overlap: String?
    for (name, value) in point {
      if own.contains(name) { overlap = value.settingText } else { mapping[Node(name)] = value }
    }
    let text: String
    do { text = try Yams.serialize(node: .mapping(mapping)) } catch {
      throw .request("a run's settings cannot be written: \(error)")
    }
    return (try RunOptions.parse(text, path: path), overlap)
  }

  private static func draw(
    _ setting: String, _ range: Node, from source: inout RandomSource, bad: (String) -> RunError
  ) throws(RunError) -> Node {
    if let values = range.sequence, !values.isEmpty { return values[source.below(values.count)] }
    guard let range = range.mapping, let low = range["min"]?.float, let high = range["max"]?.float, low <= high else {
      throw bad("should be a list of values or {min: a, max: b}, with log: true for even shares of each magnitude")
    }
    if let other = range.keys.compactMap(\.string).first(where: { !["min", "max", "log", "step"].contains($0) }) {
      throw bad("has no '\(other)': there are min, max, step and log")
    }
    let isLog = range["log"]?.bool ?? false
    if isLog, low <= 0 { throw bad("should have a min above 0 to be drawn by magnitude") }
    // From 0 to 1 a share may be anything between, a number of epochs not.
    let isWhole =
      range["min"]?.int != nil && range["max"]?.int != nil && (try? RunOptions.parse("\(setting): 0.5", path: "")) == nil
    var value = isLog ? exp(source.uniform(log(low), log(high))) : source.uniform(low, high)
    if let step = range["step"]?.float ?? (isWhole ? 1 : nil), step > 0 {
      // The last step may lie beyond the range's end. Every step is as likely as another, but by magnitude.
      let last = ((high - low) / step + 1e-9).rounded(.down)
      guard last < 0x1p53 else { throw bad("has more steps than there are whole numbers") }
      value = low + (isLog ? min(((value - low) / step).rounded(), last) : Double(source.below(Int(last) + 1))) * step
    } else {
      // Four digits tell runs apart, and their names stay short.
      let unit = pow(10, floor(log10(abs(value))) - 3)
      if unit.isFinite, unit > 0 { value = (value / unit).rounded() * unit }
      value = Double(formatted(value)) ?? value
    }
    return Node(decimal(value), Tag(.implicit))
  }

  /// Four significant digits: 0.30000000000000004 is 0.3.
  private static func formatted(_ value: Double) -> String { String(format: "%.4g", value) }
}

/// A part of a sweep's runs for one job of an array: the i-th of n, from 1.
public struct Shard: Sendable, Equatable {
  public let number: Int
  public let count: Int

  public static let whole = Shard(number: 1, count: 1)

  public init(number: Int, count: Int) { (self.number, self.count) = (number, count) }

  /// "2/8"; nil for anything else.
  public init?(_ text: String) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) }
    guard parts.count == 2, let number = parts[0], let count = parts[1], count >= 1, (1...count).contains(number) else {
      return nil
    }
    self.init(number: number, count: count)
  }

  /// Neighbours in a grid go to different shards, so that each gets of the long runs.
  public func of<Element>(_ all: [Element]) -> [Element] {
    all.enumerated().filter { $0.offset % count == number - 1 }.map(\.element)
  }

  public var resultsName: String { count == 1 ? "results.csv" : "results-\(number)-of-\(count).csv" }
}
