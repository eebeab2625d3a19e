/// What a data set holds, counted.
public struct DatasetSummary: Sendable, Equatable, CustomStringConvertible {
  public struct Group: Sendable, Equatable {
    public let split: Split
    public let name: String
    /// Patches of each case, by the case's name.
    public let patchCounts: [String: Int]
    public var patchCount: Int { patchCounts.values.reduce(0, +) }
  }

  public struct Size: Sendable, Equatable {
    public let width: Int
    public let height: Int
    public let patchCount: Int
  }

  /// By split, then by name.
  public let groups: [Group]
  /// By patch count, the commonest first.
  public let sizes: [Size]
  /// Foreground pixels over all pixels; `nil` unless the data set was verified.
  public let foregroundFraction: Double?
  public let faultCount: Int
  /// Cases (group/case) whose patches lie in more than one split: scores on them flatter a model.
  public let casesInSeveralSplits: [String]

  public var patchCount: Int { groups.reduce(0) { $0 + $1.patchCount } }

  public func patchCount(in split: Split) -> Int {
    groups.reduce(0) { $0 + ($1.split == split ? $1.patchCount : 0) }
  }

  public func caseCount(in split: Split) -> Int {
    groups.reduce(0) { $0 + ($1.split == split ? $1.patchCounts.count : 0) }
  }

  /// A few lines for a person.
  public var description: String {
    var lines: [String] = []
    for split in Split.allCases where patchCount(in: split) > 0 {
      let parts = groups.filter { $0.split == split }.map { "\($0.name) \($0.patchCount)" }
      lines.append(
        "\(split.rawValue): \(counted(patchCount(in: split), "patch", "patches")) of "
          + "\(counted(caseCount(in: split), "case", "cases")) "
          + "(\(parts.joined(separator: ", ")))")
    }
    lines.append("sizes: " + sizes.map { "\($0.width) × \($0.height) (\($0.patchCount))" }.joined(separator: ", "))
    if let foregroundFraction {
      lines.append("foreground: \((foregroundFraction * 1000).rounded() / 10)% of the pixels")
    }
    if !casesInSeveralSplits.isEmpty {
      lines.append("in more than one split: " + casesInSeveralSplits.joined(separator: ", "))
    }
    if faultCount > 0 { lines.append("faults: \(faultCount)") }
    return lines.joined(separator: "\n")
  }
}

private func counted(_ count: Int, _ one: String, _ many: String) -> String {
  "\(count) \(count == 1 ? one : many)"
}

extension PatchDataset {
  /// The side of a square that most patches have when scaled by `scale`, to the nearest multiple.
  ///
  /// - Throws: `.option` for a scale outside (0, 1].
  public func patchSide(scale: Double, multiple: Int) throws(DatasetError) -> Int {
    guard scale > 0, scale <= 1 else { throw .option("the input scale is \(scale); it must be above 0 and at most 1") }
    let side = summary.sizes.first.map { max($0.width, $0.height) } ?? 0
    return max(multiple, Int((Double(side) * scale / Double(multiple)).rounded()) * multiple)
  }

  public var summary: DatasetSummary {
    var counts: [Split: [String: [String: Int]]] = [:]
    var sizes: [[Int]: Int] = [:]
    var splits: [String: Set<Split>] = [:]
    var foreground: Int? = 0
    var pixels = 0
    for pair in pairs {
      counts[pair.split, default: [:]][pair.group, default: [:]][pair.caseName, default: 0] += 1
      sizes[[pair.width, pair.height], default: 0] += 1
      splits["\(pair.group)/\(pair.caseName)", default: []].insert(pair.split)
      pixels += pair.width * pair.height
      if let sum = foreground { foreground = pair.foregroundCount.map { sum + $0 } }
    }
    var groups: [DatasetSummary.Group] = []
    for split in Split.allCases {
      for (name, cases) in (counts[split] ?? [:]).sorted(by: { $0.key < $1.key }) {
        groups.append(.init(split: split, name: name, patchCounts: cases))
      }
    }
    let ordered = sizes.sorted { $0.value == $1.value ? $0.key.lexicographicallyPrecedes($1.key) : $0.value > $1.value }
    return DatasetSummary(
      groups: groups,
      sizes: ordered.map { .init(width: $0.key[0], height: $0.key[1], patchCount: $0.value) },
      foregroundFraction: pixels > 0 ? foreground.map { Double($0) / Double(pixels) } : nil,
      faultCount: faults.count,
      casesInSeveralSplits: splits.filter { $0.value.count > 1 }.keys.sorted())
  }
}
