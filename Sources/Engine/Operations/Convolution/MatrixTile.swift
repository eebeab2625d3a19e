/// The tile of conv2d_matrix.cl: what a work-group computes, and what of it is staged in local memory.
struct MatrixTile {
  let kernel: Int
  let dilation: Int
  let form: MatrixForm
  /// Whether the four warps multiply together: WARPGROUP.
  let isTogether: Bool
  /// Of a warp: fragments of 16 output channels. Where four warps multiply together: fragments of columns. M_TILES.
  fileprivate let tiles: Int
  /// Warps side by side with different channels and with different columns: WARPS_O, WARPS_X.
  let channelWarps: Int
  let columnWarps: Int
  /// Side of the window of taps for which one patch is staged: the kernel's, or 1 where its halo does not fit.
  let window: Int
  /// Steps of input channels staged at a time.
  let chunk: Int
  /// Of the patch and what is copied behind it.
  let localBytes: Int

  /// Bytes beside the patch for the next one's elements as they are, for a step: 0 where they are not copied ahead.
  private let copiedBytes: Int

  /// A warp's rows: N_TILES.
  fileprivate let rows: Int
  /// Elements of the patch that an item asks for at a time: ON_THE_WAY.
  fileprivate let loads: Int
  /// NVIDIA's OpenCL gives a group 48 KiB, not all of it to arguments (`DeviceTraits.argumentBytes`); the emulation's own memory comes on top.
  static let localBytes = (48 << 10) - DeviceTraits.keptLocalBytes
  /// Below this a fragment's sixteen channels are mostly padding.
  static let leastChannels = 8

  /// Nil where the device has no matrix units that are used, or another form suits the convolution better.
  ///
  /// - Parameters:
  ///   - tensors: that an element is read from: 2 where a view has a second operand.
  init?(kernel: Int, dilation: Int, channels: Int, outChannels: Int, tensors: Int, device: DeviceTraits) {
    guard let form = device.matrixForm, outChannels >= Self.leastChannels, device.argumentBytes >= Self.localBytes else {
      return nil
    }
    self.kernel = kernel
    self.dilation = dilation
    self.form = form
    let tiles = device.tiles
    let wide = [16, 32, 64].first { $0 >= outChannels && $0 < tiles[.matrixChannels] } ?? tiles[.matrixChannels]
    // Together they have 64 channels, of which less than half should be padding.
    isTogether = form.multipliesTogether && tiles[ifPresent: .matrixWarpgroup] == 1 && outChannels > 32
    if isTogether {
      (channelWarps, self.tiles, columnWarps) = (4, 2, 1)
      // Of two parts, products are summed from zero outside, which takes as many registers again.
      rows = tiles[.matrixRows] >= 16 && form.parts == 1 ? 16 : 8
    } else {
      // With two parts the patch of a wide tile and its fragments want more registers than there are.
      channelWarps = wide > 64 ? 4 : wide > (form.parts == 2 ? 16 : 32) ? 2 : 1
      self.tiles = wide > 16 * channelWarps ? 2 : 1
      columnWarps = max(1, min(4 / channelWarps, (channelWarps == 1 ? 32 : 16) / form.columns))
      rows = min(tiles[.matrixRows], form.tileSums / self.tiles)
    }
    loads = tiles[.matrixLoads]
    let height = rows * (4 / (channelWarps * columnWarps))
    let width = form.columns * columnWarps * (isTogether ? self.tiles : 1)
    func pixels(_ window: Int) -> Int {
      let halo = (window - 1) * dilation
      return (height + halo) * (width + halo)
    }
    let plane: (Int) -> Int = isTogether ? { $0 } : { Self.plane($0, form) }
    func patchBytes(_ window: Int) -> Int { form.parts * MatrixForm.stepWords * plane(pixels(window)) * 4 }
    // A halo of (k-1)·d rows and columns pays while it is no larger than the tile.
    let window = (kernel - 1) * dilation <= 16 && patchBytes(kernel) <= Self.localBytes ? kernel : 1
    self.window = window
    // As many items share a channel's: PLACE_ITEMS.
    let sharing = isTogether ? 2 * form.lanes : form.lanes
    let places = (pixels(window) + sharing - 1) / sharing * sharing
    let copied = MatrixForm.stepWords * form.wordValues * places * tensors * 4
    let copiesAhead = tiles[ifPresent: .matrixAhead] == 1 && form.moves
    copiedBytes = copiesAhead && patchBytes(window) + copied <= Self.localBytes ? copied : 0
    // Several groups share a unit: its memory for one is a good deal less than the limit, where a step allows.
    let values = MatrixForm.stepWords * form.wordValues
    let most = (tiles[.matrixKiB] << 10) / (patchBytes(window) + copiedBytes)
    chunk = max(1, min(4, (channels + values - 1) / values, most))
    localBytes = chunk * (patchBytes(window) + copiedBytes)
  }

  /// Words that planes of `count` are apart: a fragment's columns modulo 32, so that 32 items' pixels lie in 32 banks.
  private static func plane(_ count: Int, _ form: MatrixForm) -> Int { (count + 31 - form.columns) / 32 * 32 + form.columns }

  var groupChannels: Int { MatrixForm.channels * (isTogether ? 1 : tiles) * channelWarps }
  var width: Int { form.columns * columnWarps * (isTogether ? tiles : 1) }
  var height: Int { rows * (4 / (channelWarps * columnWarps)) }
  var copiesAhead: Bool { copiedBytes > 0 }

  /// Steps of a sum over `channels`.
  func steps(_ channels: Int) -> Int {
    let values = MatrixForm.stepWords * form.wordValues
    return (channels + values - 1) / values
  }

  /// Lanes that pack the weights.
  func packingItems(_ channels: Int, _ outChannels: Int) -> Int {
    form.packingItems((outChannels + MatrixForm.channels - 1) / MatrixForm.channels * steps(channels) * kernel * kernel)
  }

  func packedBytes(_ channels: Int, _ outChannels: Int) -> Int {
    packingItems(channels, outChannels) * form.parts * form.packedBytes
  }

  /// Macros of matrix.clh and of the convolution's taps.
  var defines: [(name: String, value: Int)] {
    form.defines + [("K", kernel)]
  }
}

extension TileKernel {
  /// Packs the weights into `scratch`, then convolves, by conv2d_matrix.cl.
  func matrix(_ tile: MatrixTile, _ scratch: Int) -> [Launch] {
    let plane = plane
    let across = (plane.w + tile.width - 1) / tile.width
    let down = (plane.h + tile.height - 1) / tile.height
    let groups = (channels + tile.groupChannels - 1) / tile.groupChannels
    let items = tile.packingItems(inChannels, channels)
    return [
      Launch(
        "conv2d_matrix_pack.cl", "conv2d_matrix_pack", defines: tile.defines,
        arguments: [
          ("packed", .scratch(scratch)), ("w", .input(weights.input)), ("o0", .int(weights.row)),
          ("c0", .int(weights.column)), ("w_in", .int(weights.rowLength)), ("out_channels", .int(channels)),
          ("in_channels", .int(inChannels)), ("transposed", .int(weights.transposed ? 1 : 0)),
          ("steps", .int(tile.steps(inChannels))), ("count", .int(items)),
        ], global: [(items + 63) / 64 * 64], local: [64]),
      Launch(
        "conv2d_matrix.cl", "conv2d_matrix_tile",
        defines: tile.defines + [
          ("DILATION", tile.dilation), ("WINDOW", tile.window), ("M_TILES", tile.tiles), ("N_TILES", tile.rows),
          ("WARPS_O", tile.channelWarps), ("WARPS_X", tile.columnWarps), ("ON_THE_WAY", tile.loads),
        ] + modes + [("STORE_DEPTH", storesDepth ? 1 : 0)] + (tile.copiesAhead ? [("AHEAD", 1)] : [])
          + (tile.isTogether ? [("WARPGROUP", 1)] : []),
        arguments: operands(scratch) + [
          ("groups", .int(groups)), ("chunk", .int(tile.chunk)), ("accumulate", .int(accumulates ? 1 : 0)),
          ("patch_fours", .local(tile.localBytes)),
        ],
        // One dimension: the others hold no more than 65535 groups on some devices.
        global: [across * down * images * groups * tile.form.items], local: [tile.form.items]),
    ]
  }
}
