import Randomness
import Testing

@testable import Datasets

@Suite struct PatchBalanceTests {
  /// Nine patches of A, two of them with foreground; three of B, two with.
  private let pairs: [PatchPair] = (0..<12).map { index in
    PatchPair(
      split: .train, group: index < 9 ? "A" : "B", caseName: "c", prefix: "p", index: index, x: 0, y: 0, imagePath: "",
      maskPath: "", width: 8, height: 8, foregroundCount: [0, 5, 9, 10].contains(index) ? 3 : 0)
  }

  private func counts(_ balance: PatchBalance, seed: UInt64) -> [Int] {
    var random = RandomSource(state: seed)
    let order = balance.order(pairs, random: &random)
    #expect(order.count == pairs.count)
    return order.reduce(into: Array(repeating: 0, count: pairs.count)) { $0[$1] += 1 }
  }

  @Test(arguments: 0..<5 as Range<UInt64>) func eachClassIsShownAsOften(_ seed: UInt64) {
    #expect(counts(.none, seed: seed) == Array(repeating: 1, count: 12))
    let byGroup = counts(.group, seed: seed)
    #expect(byGroup[0..<9].reduce(0, +) == 6 && byGroup[9...].reduce(0, +) == 6)
    #expect(byGroup[0..<9].max() == 1, "none twice before each was shown once")
    #expect(Array(byGroup[9...]) == [2, 2, 2])
    let byForeground = counts(.foreground, seed: seed)
    #expect([0, 5, 9, 10].map { byForeground[$0] }.reduce(0, +) == 6)
    let both = counts(.both, seed: seed)
    #expect(both[0] + both[5] == 3 && both[9] + both[10] == 3 && both[11] == 3)
  }
}
