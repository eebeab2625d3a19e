/// A verified data set by split, group and case, and what may be wrong with it without being a fault.
public struct DatasetInspection: Sendable {
  /// Patches that are counted together.
  public struct Row: Sendable, Equatable {
    public let split: Split
    public let group: String
    /// `nil` for a whole group.
    public let caseName: String?
    public var patches = 0
    /// Patches without foreground.
    public var emptyMasks = 0
    /// "384×384"; "mixed" where they differ.
    public var size = ""
    public var foreground = 0
    public var pixels = 0
    var diameters: [Double] = []

    public var positiveFraction: Double { pixels > 0 ? Double(foreground) / Double(pixels) : 0 }
    /// Background pixels to one of foreground: the weight of foreground in BCE that balances the two. `nil` without foreground.
    public var suggestedPositiveWeight: Double? {
      foreground > 0 ? Double(pixels - foreground) / Double(foreground) : nil
    }
    /// Of glomeruli that lie whole in their patch, in pixels.
    public var medianDiameter: Double? {
      diameters.isEmpty ? nil : diameters.sorted()[diameters.count / 2]
    }

    mutating func add(_ pair: PatchPair) {
      let own = "\(pair.width)×\(pair.height)"
      size = patches == 0 || size == own ? own : "mixed"
      patches += 1
      pixels += pair.width * pair.height
      foreground += pair.foregroundCount ?? 0
      if pair.foregroundCount == 0 { emptyMasks += 1 }
      diameters += pair.objectDiameters ?? []
    }
  }

  /// By split, group and case; each group's cases before the group.
  public let rows: [Row]
  /// Patches that are one picture, two or more each.
  public let duplicates: [[PatchPair]]
  /// Sentences about what a person should look at.
  public let notes: [String]

  /// - Parameter dataset: verified.
  public init(_ dataset: PatchDataset) {
    var groups: [Row] = []
    var rows: [Row] = []
    for pair in dataset.pairs {
      if let last = rows.indices.last, rows[last].caseName == pair.caseName, rows[last].group == pair.group,
        rows[last].split == pair.split
      {
        rows[last].add(pair)
      } else {
        rows.append(Row(split: pair.split, group: pair.group, caseName: pair.caseName))
        rows[rows.count - 1].add(pair)
      }
      if let last = groups.indices.last, groups[last].group == pair.group, groups[last].split == pair.split {
        groups[last].add(pair)
      } else {
        groups.append(Row(split: pair.split, group: pair.group, caseName: nil))
        groups[groups.count - 1].add(pair)
      }
    }
    self.rows = groups.flatMap { group in
      rows.filter { $0.group == group.group && $0.split == group.split } + [group]
    }

    var pictures: [UInt64: [PatchPair]] = [:]
    for pair in dataset.pairs { if let digest = pair.imageDigest { pictures[digest, default: []].append(pair) } }
    duplicates = pictures.values.filter { $0.count > 1 }.sorted { $0[0].imagePath < $1[0].imagePath }

    var notes: [String] = []
    let leaks = duplicates.filter { Set($0.map(\.split)).count > 1 }
    if !leaks.isEmpty {
      notes.append("\(leaks.count) pictures lie in more than one split: scores on them flatter a model")
    }
    let empty = groups.reduce(0) { $0 + $1.emptyMasks }
    if empty > 0 { notes.append("\(empty) patches have an empty mask") }
    let faint = dataset.faintMasks
    if let first = faint.first {
      notes.append(
        "\(faint.count) masks have no pixel of \(PatchSample.foregroundThreshold) or more but some above 0, and count as empty, such as "
          + first.maskPath)
    }
    let sized = groups.filter { $0.diameters.count >= 5 }.compactMap { row in
      row.medianDiameter.map { (name: "\(row.split.rawValue)/\(row.group)", diameter: $0) }
    }.sorted { $0.diameter < $1.diameter }
    if let small = sized.first, let large = sized.last, large.diameter > 1.6 * small.diameter {
      let factor = (large.diameter / small.diameter * 10).rounded() / 10
      notes.append(
        "glomeruli of \(large.name) are \(factor) times as wide as those of \(small.name): is one at another magnification?")
    }
    for row in groups {
      guard let diameter = row.medianDiameter, row.diameters.count >= 5, row.size != "mixed" else { continue }
      let side = (Double(row.pixels) / Double(row.patches)).squareRoot()
      if diameter < side / 24 {
        notes.append(
          "glomeruli of \(row.split.rawValue)/\(row.group) are \(Int(diameter)) pixels wide in patches of \(Int(side)): "
            + "cut smaller patches, or at a higher magnification")
      }
    }
    self.notes = notes
  }
}
