import Randomness

/// Which patches of a data set a run uses: groups by name, and a share of the training patches drawn from a seed.
public struct PatchSelection: Sendable, Equatable {
  /// Empty for all.
  public var trainingGroups: [String]
  public var validationGroups: [String]
  /// Of each group's training patches, at least one.
  public var share: Double
  public var seed: UInt64

  public init(trainingGroups: [String] = [], validationGroups: [String] = [], share: Double = 1, seed: UInt64 = 0) {
    self.trainingGroups = trainingGroups
    self.validationGroups = validationGroups
    self.share = share
    self.seed = seed
  }

  /// The training patches, in the data set's order.
  ///
  /// - Throws: `.option` for a group that the split does not have, `.empty` where there are no patches.
  public func training(_ data: PatchDataset) throws(DatasetError) -> [PatchPair] {
    let pairs = try Self.choose(trainingGroups, of: data.requirePairs(in: .train), split: .train)
    guard share < 1 else { return pairs }
    var random = RandomSource(state: seed)
    var kept: Set<Int> = []
    for group in Set(pairs.map(\.group)).sorted() {
      let members = pairs.indices.filter { pairs[$0].group == group }
      let count = max(1, Int((Double(members.count) * share).rounded()))
      for place in random.permutation(members.count).prefix(count) { kept.insert(members[place]) }
    }
    return pairs.indices.filter(kept.contains).map { pairs[$0] }
  }

  /// The validation patches; may be empty.
  public func validation(_ data: PatchDataset) throws(DatasetError) -> [PatchPair] {
    try Self.choose(validationGroups, of: data.pairs(in: .validation), split: .validation)
  }

  private static func choose(
    _ groups: [String], of pairs: [PatchPair], split: Split
  ) throws(DatasetError) -> [PatchPair] {
    guard !groups.isEmpty else { return pairs }
    let known = Set(pairs.map(\.group))
    let wanted = Set(groups.map { $0.lowercased() })
    if let unknown = groups.first(where: { name in !known.contains { $0.lowercased() == name.lowercased() } }) {
      throw .option(
        "the split '\(split.rawValue)' has no group \(unknown); it has \(known.sorted().joined(separator: ", "))")
    }
    return pairs.filter { wanted.contains($0.group.lowercased()) }
  }
}
