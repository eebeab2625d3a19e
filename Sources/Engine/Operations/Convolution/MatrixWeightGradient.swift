/// The launches of conv2d_matrix_weight_gradient.cl.
struct MatrixWeightGradient {
  let kernel: WeightGradientKernel
  private let form: MatrixForm
  /// Fragments of output channels and of input channels of a warp: M_TILES, N_TILES.
  private let outTiles: Int
  private let inTiles: Int
  /// Warps side by side with different input channels: C_WARPS. The others share their pixels' rows.
  private let inWarps: Int
  /// Elements that an item asks for at a time: ON_THE_WAY.
  private let loads: Int
  /// Rows of a tile: TILE_H.
  private let height: Int
  /// Side of the window of taps that a work-group takes: the kernel's, or 1 where its sums or its halo do not fit.
  private let window: Int

  /// Columns of a tile: TILE_W in the kernel.
  private static let width = 16

  /// Nil where the device has no matrix units that are used, or another form suits the convolution better.
  init?(_ kernel: WeightGradientKernel) {
    let device = kernel.device
    guard let form = device.matrixForm, kernel.z.used >= MatrixTile.leastChannels, device.argumentBytes >= MatrixTile.localBytes
    else { return nil }
    self.kernel = kernel
    self.form = form
    let inChannels = kernel.inChannels
    // Nine taps' sums of four sixteens are 144 registers of 255; fragments of two parts leave room for two. Intel's sub-groups
    // of 16 have half of that for an item, and a tap to themselves.
    let tiles = device.tiles
    let outTiles = min(form.parts == 1 && form.sums >= 36 ? 4 : 2, tiles[.gradientMatrixChannels] / 16, (kernel.z.used + 15) / 16)
    loads = tiles[.gradientMatrixLoads] * (form.parts == 2 ? 2 : 3) / 3
    let wanted = inChannels > 2 * form.columns ? 4 : inChannels > form.columns ? 2 : 1
    self.outTiles = outTiles
    for window in kernel.kernel <= 3 && kernel.kernel * kernel.kernel * outTiles <= form.sums ? [kernel.kernel, 1] : [1] {
      let warpChannels = window > 1 || inChannels <= 32 ? 8 : inChannels <= 64 ? 16 : 32
      let inTiles = max(1, min(warpChannels / form.columns, form.sums / (window * window * outTiles)))
      // Four warps' input channels in fragments of sixteen may not fit where two warps' do.
      for inWarps in window > 1 && form.columns > 8 && wanted == 4 ? [4, 2] : [wanted] {
        for height in [8, 4, 2] where height >= 4 / inWarps && height <= max(tiles[.gradientMatrixRows], 4 / inWarps) {
          let bytes =
            Self.zBytes(outTiles, height, form) + Self.xBytes(inTiles * inWarps, window, kernel.dilation, height, form)
          guard bytes <= MatrixTile.localBytes else { continue }
          (self.window, self.inTiles, self.inWarps, self.height) = (window, inTiles, inWarps, height)
          return
        }
      }
    }
    preconditionFailure("a window of 1 fits")
  }

  private static func zBytes(_ tiles: Int, _ height: Int, _ form: MatrixForm) -> Int {
    form.parts * 16 * tiles * (height * width + 32 / form.columns) * 4
  }

  private static func xBytes(_ tiles: Int, _ window: Int, _ dilation: Int, _ height: Int, _ form: MatrixForm) -> Int {
    let halo = (window - 1) * dilation
    // As far as channels are apart modulo 32: APART.
    let apart = 32 / form.columns
    return form.parts * form.columns * tiles * (((height + halo) * (width + halo) + 31 - apart) / 32 * 32 + apart) * 4
  }

  private var outGroups: Int { (kernel.z.used + 16 * outTiles - 1) / (16 * outTiles) }
  private var inGroups: Int {
    let channels = form.columns * inTiles * inWarps
    return (kernel.inChannels + channels - 1) / channels
  }
  /// Work-groups of one slice.
  private var groups: Int {
    let windows = kernel.kernel / window
    return outGroups * inGroups * windows * windows
  }
  private var tiles: Int {
    (kernel.outPlane.w + Self.width - 1) / Self.width * ((kernel.outPlane.h + height - 1) / height) * kernel.images
  }
  private var slices: Int {
    max(1, min((tiles + form.wordValues - 1) / form.wordValues, (kernel.device.gradientGroupsWanted + groups - 1) / groups))
  }
  /// Sums of one element of dw.
  private var partials: Int { slices * (4 / inWarps) }
  /// Neighbours of dz that an item loads at a time: Z_RUN.
  private var zRun: Int { kernel.outPlane.w % 4 == 0 && kernel.z.reading.view != .depth ? 4 : 1 }
  private var count: Int { kernel.z.used * kernel.inChannels * kernel.kernel * kernel.kernel }

  var partialBytes: Int { partials * count * 4 }

  func launches(accumulates: Bool) -> [Launch] {
    let sources = kernel.sources
    return [
      Launch(
        "conv2d_matrix_weight_gradient.cl", "conv2d_matrix_weight_gradient",
        defines: form.defines + [
          ("K", kernel.kernel), ("DILATION", kernel.dilation), ("WINDOW", window), ("X0_MODE", sources[0].reading.code),
          ("X1_MODE", sources.count > 1 ? sources[1].reading.code : -1), ("Z_MODE", kernel.z.reading.code),
          ("M_TILES", outTiles), ("N_TILES", inTiles), ("C_WARPS", inWarps), ("TILE_H", height),
          ("ON_THE_WAY", loads),
        ] + (zRun > 1 ? [("Z_RUN", zRun)] : []) + (form.moves ? [("LDMATRIX", 1)] : []),
        arguments: kernel.gpuArguments(tiles: tiles, slices: slices, outGroups: outGroups, inGroups: inGroups) + [
          ("z_fours", .local(Self.zBytes(outTiles, height, form))),
          ("x_stage", .local(Self.xBytes(inTiles * inWarps, window, kernel.dilation, height, form))),
        ], global: [slices * groups * form.items], local: [form.items]),
      kernel.gpuReduction(count: count, partials: partials, accumulates: accumulates),
    ]
  }
}
