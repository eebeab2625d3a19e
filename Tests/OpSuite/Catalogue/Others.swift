import Engine

extension Catalogue {
  static let batchNorms: [OpCase] = {
    var cases = [
      OpCase(BatchNormCase(), tier: .quick),
      OpCase(BatchNormCase(relu: true), tier: .quick),
      OpCase(BatchNormCase(relu: true, mode: .inference), tier: .quick),
      OpCase(BatchNormCase(relu: true, mode: .frozen), tier: .quick),
      OpCase(BatchNormCase(relu: true, shared: true), tier: .quick),
    ]
    for (index, edge) in edges.enumerated() {
      let definition = BatchNormCase(
        n: index % 5 + 1, c: [1, 3, 5, 17][index % 4], h: max(3, edges[(index * 5 + 3) % edges.count]), w: max(3, edge),
        relu: index % 2 == 0)
      cases.append(OpCase(definition, seed: UInt64(index + 1)))
    }
    for offset in [30.0, 1000] {
      for relu in [false, true] {
        cases.append(OpCase(BatchNormCase(n: 2, c: 3, h: 33, w: 31, relu: relu, offset: offset), seed: 2))
        // Several runs an image.
        cases.append(OpCase(BatchNormCase(n: 2, c: 2, h: 130, w: 127, relu: relu, offset: offset), seed: 2))
      }
    }
    // Planes at the end of a run of 8192 pixels, and beyond it by one.
    for width in [8191, 8192, 8193] {
      cases.append(OpCase(BatchNormCase(n: 1, c: 2, h: 1, w: width, relu: true), seed: 2))
    }
    for offset in [0, 30.0, 1000] {
      cases.append(OpCase(BatchNormCase(n: 1, c: 1, h: 2048, w: 2048, relu: true, offset: offset), seed: 2))
    }
    cases.append(OpCase(BatchNormCase(n: 3, c: 130, h: 3, w: 5, relu: true), seed: 2))
    cases.append(OpCase(BatchNormCase(n: 3, c: 5, h: 17, w: 16, mode: .inference), seed: 2))
    cases.append(OpCase(BatchNormCase(n: 2, c: 5, h: 17, w: 16, shared: true), seed: 2))
    cases.append(OpCase(BatchNormCase(n: 2, c: 5, h: 130, w: 127, mode: .frozen), seed: 2))
    cases.append(OpCase(BatchNormCase(n: 3, c: 17, h: 16, w: 33, relu: true, mode: .frozen), seed: 2))
    return cases
  }()

  static let groupNorms: [OpCase] = {
    var cases = [
      OpCase(GroupNormCase(), tier: .quick),
      OpCase(GroupNormCase(c: 4, channelsPerGroup: 2, relu: false, twice: true), tier: .quick),
    ]
    for (index, edge) in edges.enumerated() {
      let size = [1, 3, 2, 8][index % 4]
      cases.append(
        OpCase(
          GroupNormCase(
            n: index % 4 + 1, c: size * (index % 3 + 1), h: max(3, edges[(index * 5 + 3) % edges.count]), w: max(3, edge),
            channelsPerGroup: size, relu: index % 2 == 0, twice: index % 5 == 0), seed: UInt64(index + 1)))
    }
    for offset in [30.0, 1000] {
      // Several runs a group and a channel.
      cases.append(OpCase(GroupNormCase(n: 2, c: 4, h: 130, w: 127, channelsPerGroup: 2, offset: offset), seed: 2))
    }
    cases.append(OpCase(GroupNormCase(n: 1, c: 2, h: 1, w: 8193, channelsPerGroup: 1), seed: 2))
    cases.append(OpCase(GroupNormCase(n: 1, c: 8, h: 32, w: 32, channelsPerGroup: 8), seed: 2))
    // More channels of all images than a device has groups across.
    cases.append(OpCase(GroupNormCase(n: 66, c: 1000, h: 1, w: 2, channelsPerGroup: 2), seed: 2))
    return cases
  }()

  static let materializations: [OpCase] = {
    var cases = Operand.View.allCases.map { OpCase(MaterializeCase(h: 6, w: 7, view: $0), tier: .quick) }
    cases += MaterializeCase.Consumers.allCases.dropFirst().map {
      OpCase(MaterializeCase(view: .relu, consumers: $0), tier: .quick)
    }
    for view in Operand.View.allCases {
      for (index, (h, w)) in [(1, 130), (17, 1), (16, 16), (127, 65)].enumerated() {
        cases.append(OpCase(MaterializeCase(n: index + 1, c: 3 + index, h: h, w: w, view: view), seed: 9))
      }
    }
    for consumers in MaterializeCase.Consumers.allCases.dropFirst() {
      cases.append(OpCase(MaterializeCase(n: 2, c: 3, h: 17, w: 33, view: .norm, consumers: consumers), seed: 9))
    }
    cases.append(OpCase(MaterializeCase(n: 2, c: 3, h: 17, w: 33, view: .plain, consumers: .twice), seed: 9))
    return cases
  }()

  static let halves: [OpCase] = {
    var cases = [OpCase(StorageCase(), tier: .quick), OpCase(StorageCase(n: 1, c: 1, h: 3, w: 8193), seed: 2)]
    for (index, exponent) in [-26, -14, 0, 15, 20].enumerated() {
      cases.append(OpCase(StorageCase(n: index % 2 + 1, c: 3, h: 33, w: 31, exponent: exponent), seed: UInt64(index)))
    }
    cases.append(OpCase(StorageCase(storage: .bfloat16), tier: .quick))
    for (index, exponent) in [-100, 0, 120].enumerated() {
      cases.append(
        OpCase(StorageCase(n: index % 2 + 1, c: 3, h: 33, w: 31, exponent: exponent, storage: .bfloat16), seed: UInt64(index)))
    }
    // Gradients through a batch norm of 16 bits.
    let behindNorm = OpCase(
      ConvolutionCase(
        n: 2, channels: [9, 20], views: [.plain, .plain], h: 10, w: 19, branches: [(17, 1)],
        tail: Norm(prefix: "norm", relu: true), isWhole: true), tier: .quick)
    // Four neighbours at a time.
    let inFours = OpCase(
      ConvolutionCase(
        n: 2, channels: [9], h: 6, w: 20, branches: [(17, 1)], tail: Norm(prefix: "norm", relu: true), isWhole: true),
      tier: .quick)
    let transposed = OpCase(TransposedConvolutionCase(n: 2, c: 9, o: 17, h: 6, w: 16, view: .relu), tier: .quick)
    let small = [
      OpCase(BatchNormCase(relu: true), tier: .quick), OpCase(BatchNormCase(relu: true, mode: .frozen), tier: .quick),
      OpCase(GroupNormCase(), tier: .quick), OpCase(MaterializeCase(view: .relu), tier: .quick),
      OpCase(MaxPoolCase(h: 7, w: 9, view: .relu, twice: true), tier: .quick),
    ]
    cases += (small + [transposed, behindNorm]).map { $0.halved(.activations) }
    cases += (small + [transposed, inFours]).map { $0.halved(.both) }
    // By Winograd; of single taps; of few channels.
    let behindNorms = [
      ConvolutionCase(
        n: 2, channels: [36], h: 19, w: 34, branches: [(33, 1)], tail: Norm(prefix: "norm", relu: false), isWhole: true),
      ConvolutionCase(
        n: 2, channels: [40], h: 5, w: 9, kernel: 1, branches: [(70, 1)], tail: Norm(prefix: "norm", relu: true),
        isWhole: true),
      ConvolutionCase(channels: [3], h: 9, w: 7, branches: [(4, 2)], tail: Norm(prefix: "norm", relu: true), isWhole: true),
    ].map { OpCase($0) }
    let convolutions = behindNorms + quickConvolutions
    let someNorms = Array(batchNorms.prefix(12).dropFirst(4) + groupNorms.prefix(12).dropFirst())
    let somePools = [OpCase(MaxPoolCase(h: 5, w: 19, ties: true))] + pools.suffix(12)
    var others: [OpCase] = convolutions + winogradConvolutions + viewedConvolutions
    others += edgeConvolutions.prefix(6) + transposedConvolutions.suffix(10)
    others += someNorms + somePools + materializations.suffix(8)
    cases += others.map { $0.halved(.activations, tier: .standard) }
    let graded: [OpCase] = convolutions + winogradConvolutions + transposedConvolutions.suffix(10) + someNorms + somePools
    cases += graded.map { $0.halved(.gradients, tier: .standard) }
    return cases + (behindNorms + somePools).map { $0.halved(.both, tier: .standard) }
  }()

  static let activations: [OpCase] =
    [
      OpCase(ReLUCase(), tier: .quick), OpCase(ReLUCase(twice: true), tier: .quick),
    ]
    + edges.enumerated().map { index, edge in
      OpCase(
        ReLUCase(
          n: index % 3 + 1, c: index % 4 + 1, h: edges[(index * 5 + 3) % edges.count], w: edge, twice: index % 3 == 0),
        seed: UInt64(index + 1))
    }

  static let pools: [OpCase] = {
    var cases = [
      OpCase(MaxPoolCase(), tier: .quick), OpCase(MaxPoolCase(h: 7, w: 9, view: .relu, twice: true), tier: .quick),
      OpCase(MaxPoolCase(h: 5, w: 19, ties: true), tier: .quick),
    ]
    for (index, edge) in edges.enumerated() {
      let definition = MaxPoolCase(
        n: index % 5 + 1, c: index % 4 + 1, h: max(2, edges[(index * 5 + 3) % edges.count]), w: max(2, edge),
        ties: index % 2 == 0)
      cases.append(OpCase(definition, seed: UInt64(index + 1)))
    }
    for view in [Operand.View.norm, .relu, .reluEval] {
      cases.append(OpCase(MaxPoolCase(n: 2, c: 5, h: 33, w: 35, view: view), seed: 4))
      cases.append(OpCase(MaxPoolCase(n: 1, c: 2, h: 2, w: 65, view: view), seed: 4))
    }
    cases.append(OpCase(MaxPoolCase(n: 2, c: 3, h: 17, w: 33, ties: true, twice: true), seed: 4))
    return cases
  }()

  static let concatenations: [OpCase] =
    [
      OpCase(ConcatenationCase(n: 2), tier: .quick), OpCase(ConcatenationCase(twice: true), tier: .quick),
    ]
    + edges.enumerated().map { index, edge in
      OpCase(
        ConcatenationCase(
          n: index % 5 + 1, a: [1, 3, 7][index % 3], b: [5, 1, 2, 9][index % 4],
          h: edges[(index * 5 + 3) % edges.count],
          w: edge, twice: index % 4 == 0), seed: UInt64(index + 1))
    }

  static let groupSums: [OpCase] =
    [OpCase(ChannelGroupSumCase(n: 2), tier: .quick), OpCase(ChannelGroupSumCase(twice: true), tier: .quick)]
    + edges.enumerated().map { index, edge in
      OpCase(
        ChannelGroupSumCase(
          n: index % 3 + 1, c: [1, 5, 2][index % 3], groups: index % 4 + 1, h: edges[(index * 5 + 3) % edges.count], w: edge,
          twice: index % 4 == 0), seed: UInt64(index + 1))
    }

  static let losses: [OpCase] = {
    var cases = [OpCase(BCEDiceCase(), tier: .quick)]
    for weight: Float in [0, 0.5, 0.8, 1] {
      for target in [BCEDiceCase.Target.mask, .soft, .empty, .full] {
        cases.append(OpCase(BCEDiceCase(n: 2, h: 31, w: 33, weight: weight, target: target), seed: 2))
      }
    }
    cases += [
      BCEDiceCase(n: 1, h: 1, w: 1), BCEDiceCase(n: 1, h: 64, w: 63), BCEDiceCase(n: 1, h: 64, w: 64),
      BCEDiceCase(n: 1, h: 17, w: 241), BCEDiceCase(n: 5, h: 65, w: 130, positive: 1),
      BCEDiceCase(n: 3, h: 130, w: 127, positive: 100, smooth: 1),
      BCEDiceCase(n: 1, h: 33, w: 32, smooth: 0.5, target: .empty), BCEDiceCase(n: 1, h: 33, w: 32, reach: 80),
      BCEDiceCase(n: 1, h: 33, w: 32, weight: 0, positive: 1, target: .empty, reach: 30),
    ].map { OpCase($0, seed: 3) }
    return cases
  }()

  static let optimizers: [OpCase] =
    [OpCase(AdamCase(count: 37), tier: .quick), OpCase(MovingAverageCase(count: 37), tier: .quick)]
    + [
      AdamCase(count: 1), AdamCase(count: 15), AdamCase(count: 16), AdamCase(count: 17),
      AdamCase(count: 10_000, steps: 10),
      AdamCase(count: 100, decay: 0.01), AdamCase(count: 130, steps: 5, rate: 1e-3, decay: 0.1, gradientScale: 0.25),
      AdamCase(count: 65, rate: 0.01, gradientScale: 3, beta1: 0.5, beta2: 0.9, epsilon: 1e-3),
    ].map { OpCase($0, seed: 2) }

  static let averages: [OpCase] = [1, 15, 16, 17, 10_000].map {
    OpCase(MovingAverageCase(count: $0, steps: 5, decay: 0.3), seed: 2)
  }

  static let sums: [OpCase] =
    [OpCase(ChannelSumCase(), tier: .quick), OpCase(SumOfSquaresCase(), tier: .quick)]
    + edges.enumerated().map { index, edge in
      OpCase(
        ChannelSumCase(
          n: index % 5 + 1, c: [1, 3, 17, 130][index % 4], h: edges[(index * 5 + 3) % edges.count], w: edge),
        seed: UInt64(index + 1))
    }
    + [ChannelSumCase(n: 2, c: 2, h: 1, w: 8193), ChannelSumCase(n: 1, c: 1, h: 1024, w: 1024)].map {
      OpCase($0, seed: 2)
    }
    + [1, 15, 16, 17, 4095, 4096, 4097, 1_000_003].map { OpCase(SumOfSquaresCase(count: $0), seed: 2) }

  static let matrixProducts: [OpCase] =
    [OpCase(MatrixProductCase(), tier: .quick)] + [32, 48, 256].map { OpCase(MatrixProductCase(k: $0), seed: 2) }

  static let roofs: [OpCase] =
    [OpCase(RoofCase(count: 3, rounds: 100_000, counts: true), tier: .quick)]
    + [OpCase(RoofCase(), tier: .quick), OpCase(RoofCase(count: 300, rounds: 3), tier: .quick)]
    + [1, 127, 128, 129, 255, 256, 257, 4097].flatMap { count in
      [OpCase(RoofCase(count: count), seed: 2), OpCase(RoofCase(count: count, rounds: 40), seed: 2)]
    }
}
