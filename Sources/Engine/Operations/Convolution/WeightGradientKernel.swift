/// The launches of a convolution's weight gradient: of conv2d_weight_gradient.cl, or of
/// conv2d_winograd_weight_gradient.cl where that needs fewer operations, or of conv2d_gpu_weight_gradient.cl on GPUs, or of
/// conv2d_matrix_weight_gradient.cl on those whose matrix units are used.
struct WeightGradientKernel {
  let kernel: Int
  let dilation: Int
  let padding: Int
  /// The operand whose channels are dw's rows.
  let z: TileKernel.Source
  /// The operands whose channels and taps are dw's columns.
  let sources: [TileKernel.Source]
  let images: Int
  let inPlane: (h: Int, w: Int)
  let outPlane: (h: Int, w: Int)
  let firstRow: Int
  let scratch: Int
  let device: DeviceTraits

  var inChannels: Int { sources.reduce(0) { $0 + $1.used } }
  private var blocks: Int { (z.used + TileKernel.block - 1) / TileKernel.block }

  /// Channels of dz staged at a time, the rows that they are apart, the tile, and the bytes of the staged dz.
  private var geometry: (group: Int, rows: Int, tile: ConvolutionTile, zBytes: Int) {
    let tiles = device.tiles
    let budget = device.tileBudgetBytes(tiles) * 2
    for rows in [tiles[.gradientHeight], 4] {
      var group = min(tiles[.gradientGroup], blocks * TileKernel.block)
      while true {
        let width = ConvolutionTile.width(kernel: kernel, plane: outPlane.w)
        let zBytes = group * (rows * ConvolutionTile.width + 16) * 4
        let tile = ConvolutionTile(
          kernel: kernel, dilation: dilation, channels: min(tiles[.gradientChunk], inChannels),
          budgetBytes: budget - zBytes, height: rows, width: width,
          stack: outPlane.h > rows ? 1 : min(images, ConvolutionTile.width / width))
        if zBytes + tile.stageBytes <= budget || (rows == 4 && group == TileKernel.block) {
          // A narrow tile's rows are as many more as they are shorter.
          return (group, rows * ConvolutionTile.width / width, tile, zBytes)
        }
        if group == TileKernel.block { break }
        group = max(TileKernel.block, group / 2 / TileKernel.block * TileKernel.block)
      }
    }
    preconditionFailure("the smallest geometry is returned above")
  }

  private var tiles: (across: Int, down: Int, all: Int) {
    let tile = geometry.tile
    let across = (outPlane.w + tile.width - 1) / tile.width
    let down = (outPlane.h + tile.height - 1) / tile.height
    return (across, down, across * down * ((images + tile.stack - 1) / tile.stack))
  }

  private var slices: Int {
    let groups = (z.used + geometry.group - 1) / geometry.group
    return max(1, min(tiles.all, device.gradientGroupsWanted / groups))
  }

  /// Nil where another form is taken.
  private var winograd: WinogradWeightGradient? { WinogradWeightGradient(self) }
  private var matrix: MatrixWeightGradient? { MatrixWeightGradient(self) }
  private var gpu: GPUWeightGradient? { GPUWeightGradient(self) }

  var partialBytes: Int {
    if let matrix { return matrix.partialBytes }
    if let gpu { return gpu.partialBytes }
    return winograd?.partialBytes ?? slices * blocks * TileKernel.block * inChannels * kernel * kernel * 4
  }

  func launches(accumulates: Bool) -> [Launch] {
    if let matrix { return matrix.launches(accumulates: accumulates) }
    if let gpu { return gpu.launches(accumulates: accumulates) }
    return winograd?.launches(accumulates: accumulates) ?? direct(accumulates: accumulates)
  }

  private func direct(accumulates: Bool) -> [Launch] {
    let (group, rows, tile, zBytes) = geometry
    let defines =
      tile.defines + [
        ("X0_MODE", sources[0].reading.code), ("X1_MODE", sources.count > 1 ? sources[1].reading.code : -1),
        ("Z_MODE", z.reading.code), ("Z_ROWS", rows),
      ] + vectorMacro(device.tiles[.gradientVectorFloats])
    return [
      Launch(
        "conv2d_weight_gradient.cl", "conv2d_weight_gradient_partial", defines: defines,
        arguments: arguments(
          tiles: tiles, slices: slices, height: tile.height, chunk: tile.chunk, group: group)
          + [
            ("images", .int(images)), ("stack", .int(tile.stack)), ("z_stage", .local(zBytes)),
            ("x_stage", .local(tile.stageBytes)),
          ], global: [slices, (z.used + group - 1) / group, 1], local: [1, 1, 1]),
      Launch(
        "conv2d_reduce.cl", "conv2d_reduce",
        arguments: [
          ("dw", .target(0)), ("partial", .scratch(scratch)), ("o_first", .int(firstRow)),
          ("out_channels", .int(z.used)), ("in_channels", .int(inChannels)), ("taps", .int(kernel * kernel)),
          ("slices", .int(slices)), ("accumulate", .int(accumulates ? 1 : 0)),
        ], global: [inChannels, z.used]),
    ]
  }

  /// The arguments of both kernels, up to local memory.
  func arguments(
    tiles: (across: Int, down: Int, all: Int), slices: Int, height: Int, chunk: Int, group: Int
  ) -> [(name: String, value: Launch.Argument)] {
    let second = sources.count > 1 ? sources[1] : sources[0]
    return [("partial", .scratch(scratch))] + Launch.operand("z", z.input) + Launch.operand("x0", sources[0].input)
      + Launch.operand("x1", second.input) + [
        ("z_first", .int(z.first)), ("z_used", .int(z.used)), ("z_channels", .int(z.channels)),
        ("x0_channels", .int(sources[0].channels)), ("x1_channels", .int(second.channels)),
        ("in_height", .int(inPlane.h)), ("in_width", .int(inPlane.w)), ("out_height", .int(outPlane.h)),
        ("out_width", .int(outPlane.w)), ("pad_y", .int(padding)), ("pad_x", .int(padding)),
        ("tiles_x", .int(tiles.across)), ("tiles_y", .int(tiles.down)),
        ("tiles", .int(tiles.all)), ("slices", .int(slices)), ("tile_height", .int(height)),
        ("chunk", .int(chunk)), ("z_group", .int(group)),
      ]
  }
}
