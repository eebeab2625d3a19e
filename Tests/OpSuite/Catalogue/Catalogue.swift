public import Engine

/// The cases. Each operation has a list in its own file; a new one adds a line to ``all``.
public enum Catalogue {
  /// Sizes around the edges of every tile: 16 lanes, tiles of 8 and 16 rows, of 16, 32 and 64 columns.
  static let edges = [1, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 130]

  /// Every case but the large ones; the convolutions last, whose kernels take a slow compiler longest.
  public static let all: [OpCase] =
    batchNorms + groupNorms + materializations + halves + activations + pools + concatenations + groupSums + losses + optimizers
    + averages + sums + roofs + matrixProducts
    + transposedConvolutions + convolutions

  /// What breaks only at size: gigabytes of memory and minutes each.
  public static let large: [OpCase] =
    [
      OpCase(ChannelSumCase(n: 1, c: 1, h: 8192, w: 8192), tier: .large),
      OpCase(ChannelSumCase(n: 4, c: 4, h: 2048, w: 2048), tier: .large),
      OpCase(SumOfSquaresCase(count: 1 << 26), tier: .large),
      OpCase(BCEDiceCase(n: 16, h: 2048, w: 2048), tier: .large),
      OpCase(BatchNormCase(n: 8, c: 2, h: 2048, w: 2048, relu: true, offset: 1000), tier: .large),
      OpCase(ConvolutionCase(n: 1, channels: [3], h: 2048, w: 2048, branches: [(4, 1)]), tier: .large),
    ] + LongIndexCase.Trained.allCases.map { OpCase(LongIndexCase(trained: $0), tier: .large) }

  /// Cases of seconds in all that reach every kernel function.
  public static let quick: [OpCase] = all.filter { $0.tier == .quick }

  /// The cases whose name contains `filter`.
  ///
  /// - Throws: `.request` where there are none: a check of nothing must not pass.
  public static func matching(_ filter: String, in cases: [OpCase] = all) throws(EngineError) -> [OpCase] {
    let found = cases.filter { $0.name.contains(filter) }
    guard !found.isEmpty else {
      let operations = Set(cases.map(\.operation)).sorted().joined(separator: ", ")
      throw .request("no case's name contains '\(filter)'; the operations are \(operations)")
    }
    return found
  }

  /// Random shapes and attributes of every operation, the same for the same seed.
  public static func fuzz(count: Int, seed: UInt64) -> [OpCase] {
    var random = ReferenceRandom(seed: seed)
    return (0..<count).map { _ in
      let opCase = randomCase(&random)
      guard isHalvable(opCase), Int.random(in: 0..<3, using: &random) == 0 else { return opCase }
      return opCase.halved([.activations, .gradients, .both][Int.random(in: 0..<3, using: &random)])
    }
  }

  /// Whether its inputs, rounded to 16 bits, keep away from the kinks of ReLUs that were chosen for them.
  private static func isHalvable(_ opCase: OpCase) -> Bool {
    if let convolution = opCase.definition as? ConvolutionCase { return convolution.tail == nil }
    return opCase.definition is TransposedConvolutionCase || opCase.definition is MaxPoolCase
      || opCase.definition is MaterializeCase
  }

  private static func randomCase(_ random: inout ReferenceRandom) -> OpCase {
    func pick<T>(_ items: [T]) -> T { items[Int.random(in: 0..<items.count, using: &random)] }
    func upTo(_ most: Int) -> Int { Int.random(in: 1...most, using: &random) }
    let chance = Int.random(in: 0..<3, using: &random) == 0
    let n = upTo(3)
    let (h, w) = (upTo(70), upTo(140))
    let view = pick(Operand.View.allCases)
    let seed = UInt64.random(in: 0..<1_000_000, using: &random)
    // A batch norm over a handful of elements has no statistics to speak of.
    let wide = n * h * w >= 16
    switch Int.random(in: 0..<14, using: &random) {
    case 0...5:
      var c = ConvolutionCase(n: n, channels: [upTo(20)], views: [wide ? view : .plain], h: h, w: w)
      if chance {
        c.channels.append(upTo(20))
        c.views.append(wide ? pick(Operand.View.allCases) : .plain)
      }
      c.kernel = pick([1, 3, 3, 3, 5])
      let dilation = c.kernel == 1 ? 1 : pick([1, 1, 1, 2, 3, 4, 8, 9])
      c.branches = [(upTo(24), dilation)]
      if c.kernel == 3, pick([false, false, true]) { c.branches += [(upTo(9), 2), (upTo(9), 4)] }
      let shrink = dilation * (c.kernel - 1)
      if c.branches.count == 1 {
        let padding = Int.random(in: 0...shrink + 2, using: &random)
        if min(h, w) + 2 * padding > shrink, pick([false, true]) { c.padding = padding }
        let plane = (h + 2 * (c.padding ?? shrink / 2) - shrink) * (w + 2 * (c.padding ?? shrink / 2) - shrink)
        if n * plane >= 16, pick([false, true]) { c.tail = Norm(prefix: "norm", relu: pick([false, true])) }
      }
      c.bias = pick([true, true, false])
      c.twice = pick([false, false, true])
      return OpCase(c, seed: seed)
    case 6...7:
      return OpCase(
        TransposedConvolutionCase(
          n: n, c: upTo(24), o: upTo(12), h: upTo(40), w: upTo(70), view: wide && h * w >= 16 ? view : .plain,
          twice: chance),
        seed: seed)
    case 8...9:
      return OpCase(
        BatchNormCase(
          n: n + 1, c: upTo(9), h: h + 3, w: w + 3, relu: chance, mode: pick([.training, .training, .inference]),
          offset: pick([0, 0, 30, 1000])), seed: seed)
    case 10 where chance:
      let size = upTo(4)
      return OpCase(
        GroupNormCase(
          n: n, c: size * upTo(3), h: h + 3, w: w + 3, channelsPerGroup: size, relu: pick([false, true]),
          offset: pick([0, 30]), twice: pick([false, true])), seed: seed)
    case 10:
      return OpCase(
        MaterializeCase(
          n: n, c: upTo(9), h: h + 3, w: w + 3, view: view,
          consumers: view.isTrained ? pick(MaterializeCase.Consumers.allCases) : .one),
        seed: seed)
    case 11:
      return OpCase(
        MaxPoolCase(n: n, c: upTo(9), h: h + 2, w: w + 2, view: view, twice: chance && view.isTrained), seed: seed)
    case 12: return OpCase(ConcatenationCase(n: n, a: upTo(9), b: upTo(9), h: h, w: w, twice: chance), seed: seed)
    default:
      return OpCase(
        BCEDiceCase(
          n: n, h: h, w: w, weight: pick([0, 0.3, 0.8, 1]), positive: pick([1, 25]), smooth: pick([1e-6, 1]),
          target: pick([.mask, .soft, .empty])), seed: seed)
    }
  }
}

extension Operand.View {
  /// Whether gradients pass it.
  var isTrained: Bool { self != .reluEval }
}
