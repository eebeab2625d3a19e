/// What lies between encoder and decoder.
public enum Bottleneck: String, Sendable, CaseIterable {
  /// Three convolutions 3×3 of dilation 1, 2 and 4 with a third of the channels each, concatenated.
  case split
  /// Three of full width, added and mixed by a 1×1 convolution.
  /// Source: Li et al. 2021, J. Med. Imaging 8(6), the network that `split` was drawn from.
  case sum
  /// One convolution 3×3 without dilation.
  case plain
}

struct BottleneckLayer: Layer {
  let kind: Bottleneck
  let channels: Int

  func callAsFunction(_ x: [ValueID], _ b: inout ModelBuilder) throws(EngineError) -> ValueID {
    switch kind {
    case .split: try DilatedBottleneck(channels: channels)(x, &b)
    case .sum: try SummedBottleneck(channels: channels)(x, &b)
    case .plain: try PlainBottleneck(channels: channels)(x, &b)
    }
  }
}

/// Three convolutions 3×3 of dilation 1, 2 and 4, each with norm and ReLU, added; then a 1×1 convolution, norm and ReLU.
struct SummedBottleneck: Layer {
  let channels: Int

  func callAsFunction(_ x: [ValueID], _ b: inout ModelBuilder) throws(EngineError) -> ValueID {
    let rates = [1, 2, 4]
    let z = try b.convolution(
      rates.map { "dilated\($0)" }, x,
      ConvolutionShape(kernel: 3, branches: rates.map { .init(channels: channels, dilation: $0, padding: $0) }))
    var branches = try b.normReLU(rates.map { ("bn\($0)", channels) }, z)
    if case .view = b.graph[branches].residence { branches = try b.graph.apply(Materialize(), [branches])[0] }
    let sum = try b.graph.apply(ChannelGroupSum(groups: rates.count), [branches], named: "bottleneck sum")[0]
    return try b.normReLU(
      [("bn_mix", channels)], b.convolution(["mix"], [sum], ConvolutionShape(channels: channels, kernel: 1)))
  }
}

/// A convolution 3×3, norm, ReLU.
struct PlainBottleneck: Layer {
  let channels: Int

  func callAsFunction(_ x: [ValueID], _ b: inout ModelBuilder) throws(EngineError) -> ValueID {
    try b.normReLU([("bn", channels)], b.convolution(["conv"], x, ConvolutionShape(channels: channels, kernel: 3)))
  }
}

/// Three convolutions 3×3 of dilation 1, 2 and 4 side by side, each with norm and ReLU, concatenated.
struct DilatedBottleneck: Layer {
  let channels: Int

  func callAsFunction(_ x: [ValueID], _ b: inout ModelBuilder) throws(EngineError) -> ValueID {
    let third = channels / 3
    let widths = [third, third, channels - 2 * third]
    let rates = [1, 2, 4]
    let z = try b.convolution(
      rates.map { "dilated\($0)" }, x,
      ConvolutionShape(
        kernel: 3, branches: zip(widths, rates).map { .init(channels: $0, dilation: $1, padding: $1) }))
    return try b.normReLU(zip(rates, widths).map { ("bn\($0)", $1) }, z)
  }
}
