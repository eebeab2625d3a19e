import Randomness

/// How often an epoch shows each patch. An epoch is as long as there are patches, whatever the balance.
public enum PatchBalance: String, Sendable, CaseIterable {
  /// Each patch once.
  case none
  /// Each group as often as any other.
  case group
  /// Patches with and without foreground equally often.
  case foreground
  /// Both.
  case both

  /// The pairs in classes that an epoch shows equally often.
  private func strata(_ pairs: [PatchPair]) -> [[Int]] {
    var members: [String: [Int]] = [:]
    for (index, pair) in pairs.enumerated() {
      let group = self == .group || self == .both ? pair.group : ""
      let hasForeground = self == .foreground || self == .both ? "\((pair.foregroundCount ?? 1) > 0)" : ""
      members[group + "\n" + hasForeground, default: []].append(index)
    }
    return members.sorted { $0.key < $1.key }.map(\.value)
  }

  /// An epoch's order: places in `pairs`, as many as there are pairs. Within a class each patch comes as often as any
  /// other, to within once.
  func order(_ pairs: [PatchPair], random: inout RandomSource) -> [Int] {
    if self == .none { return random.permutation(pairs.count) }
    let strata = strata(pairs)
    var chosen: [Int] = []
    for (number, members) in strata.enumerated() {
      var wanted = pairs.count * (number + 1) / strata.count - pairs.count * number / strata.count
      while wanted > 0 {
        let turn = random.permutation(members.count).prefix(wanted)
        chosen += turn.map { members[$0] }
        wanted -= turn.count
      }
    }
    return random.permutation(chosen.count).map { chosen[$0] }
  }
}
