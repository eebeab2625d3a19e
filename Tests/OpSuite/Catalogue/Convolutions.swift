extension Catalogue {
  static let convolutions: [OpCase] =
    quickConvolutions + edgeConvolutions + channelConvolutions + dilatedConvolutions + kernelConvolutions
    + winogradConvolutions + viewedConvolutions + branchedConvolutions + normalizedConvolutions + repeatedConvolutions + chains

  /// Channels and planes for which Winograd's form is taken, around the edges of its tiles: squares of 2, vectors of 32
  /// columns, tiles of 64 columns and 4, 8 or 16 rows, 64 output channels a group, 32 and 64 channels a chunk.
  static let winogradConvolutions: [OpCase] = [
    ConvolutionCase(n: 2, channels: [16], h: 17, w: 17, branches: [(16, 1)]),
    ConvolutionCase(channels: [17], h: 1, w: 31, branches: [(48, 1)]),
    ConvolutionCase(channels: [32], h: 2, w: 32, branches: [(33, 1)]),
    ConvolutionCase(n: 3, channels: [31], h: 16, w: 33, branches: [(32, 1)]),
    ConvolutionCase(channels: [33], h: 7, w: 63, branches: [(65, 1)]),
    ConvolutionCase(channels: [64], h: 8, w: 64, branches: [(64, 1)]),
    ConvolutionCase(channels: [65], h: 9, w: 65, branches: [(63, 1)]),
    ConvolutionCase(channels: [130], h: 5, w: 130, branches: [(70, 1)]),
    ConvolutionCase(channels: [20, 29], views: [.relu, .plain], h: 15, w: 66, branches: [(40, 1)]),
    ConvolutionCase(channels: [40, 20], views: [.plain, .norm], h: 15, w: 40, branches: [(24, 1)], twice: true),
    ConvolutionCase(
      n: 2, channels: [36], views: [.relu], h: 19, w: 34, branches: [(33, 1)], tail: Norm(prefix: "norm", relu: true)),
    // Several tiles for each slice of the weight gradient.
    ConvolutionCase(n: 2, channels: [20], h: 70, w: 66, branches: [(32, 1)]),
    ConvolutionCase(channels: [32], h: 12, w: 34, branches: [(35, 1)], padding: 0),
    ConvolutionCase(channels: [32], h: 12, w: 34, branches: [(35, 1)], padding: 2, bias: false),
  ].map { OpCase($0) }

  /// The large cases' reference, at a size at which it is held against central differences.
  private static let chains: [OpCase] = LongIndexCase.Trained.allCases.map {
    OpCase(LongIndexCase(channels: 5, h: 9, w: 7, trained: $0))
  }

  /// One of each kind, small.
  static let quickConvolutions: [OpCase] = [
    ConvolutionCase(n: 2, channels: [5], h: 17, w: 33, branches: [(9, 1)]),
    ConvolutionCase(n: 1, channels: [3], h: 9, w: 7, branches: [(8, 2)]),
    ConvolutionCase(n: 1, channels: [2], h: 20, w: 21, branches: [(3, 9)]),
    ConvolutionCase(n: 1, channels: [9], h: 6, w: 10, kernel: 1, branches: [(1, 1)]),
    ConvolutionCase(n: 1, channels: [4, 3], views: [.relu, .plain], h: 11, w: 18, branches: [(5, 1)]),
    ConvolutionCase(
      n: 1, channels: [6], views: [.relu], h: 9, w: 10, branches: [(3, 1), (5, 2), (2, 4)],
      tail: Norm(prefix: "norm", relu: true)),
    ConvolutionCase(n: 1, channels: [3], h: 8, w: 12, branches: [(4, 1)], twice: true),
    // By Winograd, forward and both gradients.
    ConvolutionCase(n: 1, channels: [33], h: 9, w: 35, branches: [(32, 1)]),
    // On matrix units, forward and both gradients: two sources, branches, several groups of output channels, single taps.
    ConvolutionCase(
      n: 3, channels: [9, 20], views: [.relu, .plain], h: 10, w: 19, branches: [(17, 1), (9, 2)],
      tail: Norm(prefix: "norm", relu: true)),
    ConvolutionCase(n: 2, channels: [40], views: [.relu], h: 5, w: 9, kernel: 1, branches: [(70, 1)]),
    ConvolutionCase(n: 1, channels: [10], h: 13, w: 12, branches: [(8, 9)], twice: true),
    // Images of narrow planes below each other in a tile: four and one, two and one.
    ConvolutionCase(n: 5, channels: [9], views: [.relu], h: 16, w: 16, branches: [(10, 2)]),
    ConvolutionCase(n: 3, channels: [5], h: 13, w: 19, branches: [(9, 4)], twice: true),
  ].map { OpCase($0, tier: .quick) }

  /// Both sides of the plane around every tile edge, with channels, images and outputs that no tile divides.
  static let edgeConvolutions: [OpCase] = edges.indices.map { index in
    let odd = [1, 3, 5, 7, 9, 13, 2]
    return OpCase(
      ConvolutionCase(
        n: index % 5 + 1, channels: [odd[index % odd.count]], h: edges[index],
        w: edges[(index * 5 + 3) % edges.count], branches: [(odd[(index + 3) % odd.count], 1)]),
      seed: UInt64(index + 1))
  }

  private static let channelConvolutions: [OpCase] = {
    let counts = [1, 3, 4, 5, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 130]
    return counts.indices.map { index in
      OpCase(
        ConvolutionCase(
          n: 1 + index % 2, channels: [counts[index]], h: 10, w: 17,
          branches: [(counts[(index * 7 + 5) % counts.count], 1)]),
        seed: UInt64(index + 1))
    } + [
      // The network's widest layers, on a small plane.
      OpCase(ConvolutionCase(channels: [256], h: 7, w: 8, branches: [(130, 1)])),
      OpCase(ConvolutionCase(channels: [7], h: 5, w: 6, branches: [(257, 1)])),
      // Many slices of the weight gradient.
      OpCase(ConvolutionCase(n: 5, channels: [3], h: 130, w: 127, branches: [(8, 1)])),
    ]
  }()

  /// Planes above, at and below the dilated kernel's reach; 9 and 12 are staged tap by tap.
  private static let dilatedConvolutions: [OpCase] = [2, 3, 4, 8, 9, 12].flatMap { dilation in
    // Each width is a program of its own: the dilations between the network's have two.
    let planes =
      [2, 4, 9].contains(dilation)
      ? [(1, 1), (3, 5), (dilation, 2 * dilation), (33, 17), (31, 65)] : [(1, 1), (3, 5), (dilation, 16), (33, 17)]
    return planes.map { h, w in
      OpCase(
        ConvolutionCase(
          n: h < 10 ? 3 : 1, channels: [5], h: h, w: w, branches: [(7, dilation)]), seed: UInt64(dilation))
    }
  }

  /// Other kernels, and padding beside "same".
  private static let kernelConvolutions: [OpCase] = [
    ConvolutionCase(channels: [5], h: 17, w: 33, branches: [(7, 1)], padding: 0),
    ConvolutionCase(n: 2, channels: [5], h: 3, w: 3, branches: [(7, 1)], padding: 0),
    ConvolutionCase(channels: [5], h: 17, w: 33, branches: [(7, 1)], padding: 2),
    ConvolutionCase(channels: [5], h: 15, w: 31, branches: [(7, 1)], padding: 3),
    ConvolutionCase(channels: [5], h: 17, w: 33, branches: [(7, 2)], padding: 0),
    ConvolutionCase(channels: [5], h: 17, w: 33, branches: [(7, 2)], padding: 5),
    ConvolutionCase(channels: [3], h: 25, w: 21, branches: [(4, 9)], padding: 2),
    ConvolutionCase(channels: [5], h: 17, w: 33, kernel: 1, branches: [(7, 1)]),
    ConvolutionCase(channels: [64], h: 33, w: 65, kernel: 1, branches: [(1, 1)]),
    ConvolutionCase(n: 2, channels: [65], h: 16, w: 16, kernel: 1, branches: [(33, 1)]),
    ConvolutionCase(channels: [5], h: 7, w: 5, kernel: 1, branches: [(7, 1)], padding: 2),
    ConvolutionCase(channels: [3], h: 1, w: 1, kernel: 1, branches: [(1, 1)]),
    ConvolutionCase(channels: [3], h: 17, w: 20, kernel: 5, branches: [(6, 1)]),
    ConvolutionCase(channels: [3], h: 17, w: 35, kernel: 5, branches: [(6, 2)], padding: 1),
    ConvolutionCase(channels: [3], h: 30, w: 29, kernel: 5, branches: [(6, 5)]),
    ConvolutionCase(channels: [2], h: 18, w: 19, kernel: 7, branches: [(3, 1)]),
    ConvolutionCase(channels: [3], h: 16, w: 18, kernel: 2, branches: [(6, 1)], padding: 0),
    ConvolutionCase(channels: [3], h: 16, w: 18, kernel: 4, branches: [(6, 3)], padding: 2),
    ConvolutionCase(channels: [5], h: 17, w: 33, branches: [(7, 1)], bias: false),
    ConvolutionCase(n: 2, channels: [5], h: 65, w: 64, branches: [(7, 1)], bias: false),
  ].map { OpCase($0, seed: 3) }

  /// Batch norms in front, read as views, of one and of two sources.
  static let viewedConvolutions: [OpCase] = {
    var cases: [ConvolutionCase] = []
    for view in [Operand.View.norm, .relu, .reluEval] {
      cases.append(ConvolutionCase(n: 2, channels: [5], views: [view], h: 15, w: 17, branches: [(9, 1)]))
      cases.append(ConvolutionCase(n: 1, channels: [17], views: [view], h: 9, w: 65, branches: [(3, 1)]))
    }
    cases.append(ConvolutionCase(n: 1, channels: [5], views: [.relu], h: 33, w: 31, branches: [(9, 4)]))
    cases.append(ConvolutionCase(n: 1, channels: [5], views: [.relu], h: 33, w: 31, branches: [(9, 9)]))
    cases.append(ConvolutionCase(n: 1, channels: [64], views: [.relu], h: 16, w: 32, kernel: 1, branches: [(1, 1)]))
    cases.append(ConvolutionCase(n: 2, channels: [5], views: [.relu], h: 7, w: 16, branches: [(9, 1)], padding: 0))
    let pairs: [[Operand.View]] = [
      [.plain, .plain], [.relu, .plain], [.plain, .relu], [.relu, .relu], [.norm, .relu], [.plain, .reluEval],
    ]
    for (index, pair) in pairs.enumerated() {
      cases.append(
        ConvolutionCase(
          n: 1 + index % 2, channels: [3 + index, 9 - index], views: pair, h: 16 + index, w: 31 + index,
          branches: [(8 + index, 1)]))
    }
    cases.append(ConvolutionCase(channels: [32, 33], views: [.relu, .plain], h: 8, w: 17, branches: [(17, 1)]))
    cases.append(
      ConvolutionCase(channels: [1, 1], views: [.plain, .relu], h: 17, w: 15, kernel: 1, branches: [(1, 1)]))
    cases.append(ConvolutionCase(channels: [4, 5], views: [.relu, .plain], h: 17, w: 15, branches: [(3, 2), (9, 4)]))
    return cases.map { OpCase($0, seed: 5) }
  }()

  /// The dilated bottleneck: branches of one convolution.
  private static let branchedConvolutions: [OpCase] = [
    ConvolutionCase(channels: [8], h: 16, w: 16, branches: [(8, 1), (8, 2), (8, 4)]),
    ConvolutionCase(n: 3, channels: [5], views: [.relu], h: 9, w: 13, branches: [(5, 1), (3, 2), (9, 4)]),
    ConvolutionCase(channels: [3], h: 4, w: 3, branches: [(1, 1), (1, 2), (1, 4), (1, 8), (1, 12)]),
    ConvolutionCase(channels: [33], views: [.relu], h: 17, w: 32, branches: [(17, 1), (16, 2), (17, 4)], bias: false),
    ConvolutionCase(channels: [5], h: 12, w: 13, branches: [(5, 1), (3, 2)], twice: true),
    // Branches of one channel and of many: the columns of the narrow one are the longer.
    ConvolutionCase(n: 2, channels: [8], h: 50, w: 57, branches: [(22, 1), (1, 2), (8, 4)], bias: false),
  ].map { OpCase($0, seed: 6) }

  /// A batch norm after the convolution: its gradient reaches the weights and the input as a view.
  private static let normalizedConvolutions: [OpCase] = {
    let relu = Norm(prefix: "norm", relu: true)
    let plain = Norm(prefix: "norm", relu: false)
    return [
      ConvolutionCase(n: 2, channels: [3], h: 15, w: 17, branches: [(9, 1)], tail: relu),
      ConvolutionCase(n: 2, channels: [3], h: 15, w: 17, branches: [(9, 1)], tail: plain),
      ConvolutionCase(n: 1, channels: [8], views: [.relu], h: 33, w: 65, branches: [(8, 1)], tail: relu),
      ConvolutionCase(n: 5, channels: [17], views: [.relu], h: 7, w: 16, branches: [(15, 1)], bias: false, tail: relu),
      ConvolutionCase(n: 1, channels: [5, 7], views: [.plain, .relu], h: 31, w: 32, branches: [(16, 1)], tail: relu),
      ConvolutionCase(
        n: 2, channels: [6], views: [.relu], h: 12, w: 13, branches: [(7, 1), (7, 2), (7, 4)], tail: relu),
      ConvolutionCase(n: 2, channels: [12], h: 9, w: 14, kernel: 1, branches: [(5, 1)], tail: relu),
      ConvolutionCase(n: 1, channels: [5], h: 27, w: 30, branches: [(6, 9)], tail: relu),
      ConvolutionCase(n: 1, channels: [3], h: 127, w: 130, branches: [(4, 1)], tail: relu),
      ConvolutionCase(n: 1, channels: [4], views: [.norm], h: 16, w: 15, branches: [(5, 1)], tail: plain, twice: true),
    ].map { OpCase($0, seed: 7) }
  }()

  /// Two consumers of the same inputs, so that every gradient is added to.
  private static let repeatedConvolutions: [OpCase] = [
    ConvolutionCase(n: 2, channels: [5], h: 17, w: 33, branches: [(9, 1)], twice: true),
    ConvolutionCase(n: 1, channels: [33], h: 9, w: 16, branches: [(17, 2)], twice: true),
    ConvolutionCase(n: 1, channels: [5, 4], views: [.relu, .plain], h: 17, w: 33, branches: [(9, 1)], twice: true),
    ConvolutionCase(n: 1, channels: [5], h: 17, w: 33, kernel: 1, branches: [(9, 1)], twice: true),
    ConvolutionCase(n: 1, channels: [3], h: 22, w: 18, branches: [(4, 10)], twice: true),
  ].map { OpCase($0, seed: 8) }

  static let transposedConvolutions: [OpCase] = {
    var cases = [
      OpCase(TransposedConvolutionCase(n: 2, c: 5, o: 3, h: 7, w: 9), tier: .quick),
      OpCase(TransposedConvolutionCase(n: 1, c: 3, o: 2, h: 6, w: 5, view: .relu), tier: .quick),
      OpCase(TransposedConvolutionCase(n: 1, c: 3, o: 2, h: 4, w: 5, twice: true), tier: .quick),
    ]
    let odd = [1, 3, 8, 9, 17, 33, 2]
    for index in edges.indices {
      let definition = TransposedConvolutionCase(
        n: index % 5 + 1, c: odd[index % odd.count], o: odd[(index + 2) % odd.count] / 2 + 1,
        h: edges[(index * 5 + 3) % 11],
        w: edges[index])
      cases.append(OpCase(definition, seed: UInt64(index + 1)))
    }
    for view in [Operand.View.norm, .relu, .reluEval] {
      cases.append(OpCase(TransposedConvolutionCase(n: 2, c: 9, o: 4, h: 15, w: 33, view: view), seed: 4))
    }
    cases.append(OpCase(TransposedConvolutionCase(n: 1, c: 130, o: 65, h: 5, w: 6, view: .relu), seed: 4))
    cases.append(OpCase(TransposedConvolutionCase(n: 2, c: 9, o: 4, h: 15, w: 17, view: .relu, twice: true), seed: 4))
    return cases
  }()
}
