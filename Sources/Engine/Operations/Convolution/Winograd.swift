/// Winograd's minimal filtering F(2×2, 3×3): when it pays, and the tiles of its kernels.
///
/// - Source: Lavin & Gray 2015, "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308. Its rounding error is
///   within twice that of the direct sum, unlike that of larger squares.
enum Winograd {
  /// Points of a transformed square: POINTS in conv2d_winograd.clh.
  static let points = 16

  /// Whether the transforms cost less than the products they save. Vector operations for 2 × 2 outputs of all channels:
  /// 36 products for each pair of channels directly; 16, and about 100 for each input channel's transform and 90 for each
  /// output channel's (fitted to times on PoCL).
  ///
  /// - Parameter percent: of the direct form's operations that it may need.
  static func pays(kernel: Int, dilation: Int, width: Int, in channels: Int, out: Int, percent: Int) -> Bool {
    guard kernel == 3, dilation == 1 else { return false }
    // A vector has 16 squares, 32 columns: half empty, it saves nothing.
    guard width > 16 else { return false }
    return 100 * (16 * channels * out + 100 * channels + 90 * out) < percent * 36 * channels * out
  }

  /// Whether the weight gradient's transforms cost less than the products they save, counted as above: its vectors hold
  /// 16 output channels, and x is transformed again for every 64.
  static func paysForWeights(kernel: Int, dilation: Int, width: Int, in channels: Int, out: Int, percent: Int) -> Bool {
    guard kernel == 3, dilation == 1, width > 16 else { return false }
    let padded = (out + 15) / 16 * 16
    let groups = (out + 63) / 64
    return 100 * (16 * channels * padded + 120 * channels * groups + 250 * padded) < percent * 36 * channels * out
  }

  /// A tile of conv2d_winograd.cl.
  struct Tile {
    let height: Int
    /// Input channels staged at a time.
    let chunk: Int
    /// Output channels whose products wait for the inverse transform at a time.
    let sumChannels: Int
    private let pairs: Int

    /// Nil where the device's local memory is too small for a tile that pays.
    init?(plane: (h: Int, w: Int), channels: Int, device: DeviceTraits) {
      let tiles = device.tiles
      // Narrow planes have taller tiles of as many squares; many channels lower ones, to be summed in one go.
      height = tiles[.winogradHeight] * (plane.w <= 32 ? 2 : 1) / (channels > 32 ? 2 : 1)
      pairs = (height / 2 * ((min(plane.w, ConvolutionTile.width) + 31) / 32) + 1) / 2
      sumChannels = device.localBytes < 512 << 10 ? min(32, tiles[.winogradSums]) : tiles[.winogradSums]
      let rest = device.localBytes - Self.rawBytes(height) - Self.sumBytes(sumChannels) - pairs * Winograd.points * 16 * 4
      // What stays in a core's second-level cache beside the weights: by default 64 channels of two pairs.
      let most = min(rest, tiles[.winogradKiB] << 10) / (pairs * Winograd.points * 32 * 4)
      if most < min(channels, 16) { return nil }
      // Chunks of one size: a last one of few channels would cost its inverse transform as a full one does.
      let chunks = (channels + most - 1) / most
      chunk = (channels + chunks - 1) / chunks
    }

    var rawBytes: Int { Self.rawBytes(height) }
    var stageBytes: Int { pairs * Winograd.points * (chunk * 32 + 16) * 4 }
    var sumBytes: Int { Self.sumBytes(sumChannels) }

    /// One channel's rows, ``ConvolutionTile/width`` + 2 columns rounded up to vectors.
    private static func rawBytes(_ height: Int) -> Int { (height + 2) * 80 * 4 }
    /// SUM_STEP in conv2d_winograd.cl for each channel.
    private static func sumBytes(_ channels: Int) -> Int { channels * (Winograd.points * 32 + 16) * 4 }
  }
}
