/// The launches of conv2d_winograd_weight_gradient.cl.
struct WinogradWeightGradient {
  let kernel: WeightGradientKernel

  /// Squares of a tile at most: SQUARES in the kernel.
  private var squares = 128
  /// Output channels staged at a time.
  private var group = 64

  /// Nil where the direct form is taken: it costs less, or the device's local memory is too small.
  init?(_ kernel: WeightGradientKernel) {
    guard kernel.device.deviceClass == .cpu,
      Winograd.paysForWeights(
        kernel: kernel.kernel, dilation: kernel.dilation, width: kernel.outPlane.w, in: kernel.inChannels,
        out: kernel.z.used, percent: kernel.device.tiles[.gradientWinogradPercent])
    else { return nil }
    self.kernel = kernel
    let lanes = Self.lanes(kernel)
    let all = (kernel.z.used + lanes - 1) / lanes * lanes
    // Large tiles and groups first; 64 channels of 128 squares and what goes with them are 700 KiB.
    let tiles = kernel.device.tiles
    for squares in Self.squares.reversed() where squares <= tiles[.gradientSquares] {
      for group in [64, 32, 16] where group % lanes == 0 && group <= max(lanes, tiles[.gradientGroup]) {
        self.squares = squares
        self.group = min(group, all)
        if localBytes.reduce(0, +) <= kernel.device.localBytes { return }
      }
    }
    return nil
  }

  /// Squares that a tile can have, the fewest first.
  private static let squares = TileSize.gradientSquares.candidates(.cpu)

  private static func lanes(_ kernel: WeightGradientKernel) -> Int { (kernel.z.used + 15) / 16 % 2 == 0 ? 32 : 16 }

  /// Output channels side by side in registers: two vectors where that leaves no more lanes empty than one.
  private var zLanes: Int { Self.lanes(kernel) }
  /// Input channels that share the registers.
  private var xBlock: Int { 256 / zLanes }
  private var outAll: Int { (kernel.z.used + zLanes - 1) / zLanes * zLanes }
  private var inAll: Int { (kernel.inChannels + xBlock - 1) / xBlock * xBlock }
  /// Input channels staged at a time.
  private var chunk: Int { min(inAll, 2 * xBlock) }
  /// Rows of a tile; narrow planes have taller ones of as many squares.
  private var height: Int { squares / (kernel.outPlane.w <= 32 ? 8 : 16) }

  /// Sixteen channels of dz, or one of x with its halo; their turned points; the two operands.
  private var localBytes: [Int] {
    [
      16 * height * ConvolutionTile.width * 4, Winograd.points * 256 * 4, Winograd.points * (group * squares + 16) * 4,
      Winograd.points * (chunk * squares + 16) * 4,
    ]
  }

  private var tiles: (across: Int, down: Int, all: Int) {
    let across = (kernel.outPlane.w + ConvolutionTile.width - 1) / ConvolutionTile.width
    let down = (kernel.outPlane.h + height - 1) / height
    return (across, down, across * down * kernel.images)
  }

  private var groups: Int { (kernel.z.used + group - 1) / group }
  /// Each has sums of its own, so a slice is no less than the largest tile: small ones would double that memory for small planes.
  private var slices: Int {
    let most = Self.squares.last ?? squares
    return max(1, min((tiles.all * squares + most - 1) / most, kernel.device.gradientGroupsWanted / groups))
  }

  var partialBytes: Int { slices * Winograd.points * inAll * outAll * 4 }

  func launches(accumulates: Bool) -> [Launch] {
    let sources = kernel.sources
    return [
      Launch(
        "conv2d_winograd_weight_gradient.cl", "conv2d_winograd_weight_gradient_partial",
        defines: [
          ("X0_MODE", sources[0].reading.code), ("X1_MODE", sources.count > 1 ? sources[1].reading.code : -1),
          ("Z_MODE", kernel.z.reading.code), ("Z_VECTORS", zLanes / 16), ("SQUARES", squares),
        ] + vectorMacro(kernel.device.tiles[.gradientVectorFloats]),
        arguments: kernel.arguments(tiles: tiles, slices: slices, height: height, chunk: chunk, group: group) + [
          ("raw", .local(localBytes[0])), ("turn", .local(localBytes[1])), ("z_stage", .local(localBytes[2])),
          ("x_stage", .local(localBytes[3])),
        ], global: [slices, groups, 1], local: [1, 1, 1]),
      Launch(
        "conv2d_winograd_reduce.cl", "conv2d_winograd_reduce",
        arguments: [
          ("dw", .target(0)), ("partial", .scratch(kernel.scratch)), ("o_first", .int(kernel.firstRow)),
          ("out_channels", .int(kernel.z.used)), ("in_channels", .int(kernel.inChannels)), ("slices", .int(slices)),
          ("o_all", .int(outAll)), ("c_all", .int(inAll)), ("accumulate", .int(accumulates ? 1 : 0)),
        ], global: [kernel.inChannels, (kernel.z.used + 15) / 16]),
    ]
  }
}
