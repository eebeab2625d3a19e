/// The launch of conv2d.cl's `conv2d_tile`, which serves a convolution forward, its input gradient, and the transposed
/// convolution.
struct TileKernel {
  /// Channels [first, first + used) of an operand with `channels` channels, read through a view.
  struct Source {
    let input: Int
    let mode: ViewMode
    let first: Int
    let used: Int
    let channels: Int
  }

  /// Output channels that the kernels hold in registers: BLOCK in conv2d_stage.clh.
  static let block = 8

  let kernel: Int
  let dilation: Int
  let padding: Int
  let images: Int
  let inPlane: (h: Int, w: Int)
  /// The target as stored.
  let out: Shape
  let scratch: Int
  let device: DeviceTraits
  var sources: [Source] = []
  var firstChannel = 0
  /// Output channels that this launch computes (four times the target's where it stores by depth).
  var channels = 0
  var bias: (input: Int, channelsPerElement: Int)?
  var accumulates = false
  /// Output channel 4o + 2a + b goes to y[o, 2i + a, 2j + b].
  var storesDepth = false

  init(
    kernel: Int, dilation: Int, padding: Int, images: Int, inPlane: (h: Int, w: Int), out: Shape, scratch: Int,
    device: DeviceTraits
  ) {
    self.kernel = kernel
    self.dilation = dilation
    self.padding = padding
    self.images = images
    self.inPlane = inPlane
    self.out = out
    self.scratch = scratch
    self.device = device
  }

  static func packedBytes(out: Int, in channels: Int, taps: Int) -> Int {
    (out + block - 1) / block * block * channels * taps * 4
  }

  /// The launch that packs weights for the tile kernel.
  static func pack(
    kernel: Int, scratch: Int, weights: Int, rowOffset: Int, columnOffset: Int, rowLength: Int, out: Int, in channels: Int,
    transposed: Bool
  ) -> Launch {
    Launch(
      "conv2d_pack.cl", "conv2d_pack", defines: [("K", kernel)],
      arguments: [
        ("packed", .scratch(scratch)), ("w", .input(weights)), ("o0", .int(rowOffset)), ("c0", .int(columnOffset)),
        ("w_in", .int(rowLength)), ("out_channels", .int(out)), ("in_channels", .int(channels)),
        ("transposed", .int(transposed ? 1 : 0)),
      ], global: [channels, (out + block - 1) / block])
  }

  func launch(biasOffset: Int = 0) -> Launch {
    let plane = storesDepth ? (h: out.h / 2, w: out.w / 2) : (h: out.h, w: out.w)
    let inChannels = sources.reduce(0) { $0 + $1.used }
    let tile = ConvolutionTile(
      kernel: kernel, dilation: dilation, plane: plane, channels: inChannels, budgetBytes: device.tileBudgetBytes)
    let across = (plane.w + ConvolutionTile.width - 1) / ConvolutionTile.width
    let down = (plane.h + tile.height - 1) / tile.height
    // Few tiles: split the output channels too, so that every unit has work.
    let blocks = (channels + Self.block - 1) / Self.block
    let items = across * down * images
    let wantedGroups = min(blocks, max(1, (device.workItemsWanted / 2 + items - 1) / items))
    let groupChannels = (blocks + wantedGroups - 1) / wantedGroups * Self.block
    let groups = (channels + groupChannels - 1) / groupChannels

    let defines = tile.defines + [
      ("X0_MODE", sources[0].mode.rawValue), ("X1_MODE", sources.count > 1 ? sources[1].mode.rawValue : -1),
      ("STORE_DEPTH", storesDepth ? 1 : 0),
    ]
    let second = sources.count > 1 ? sources[1] : sources[0]
    return Launch(
      "conv2d.cl", "conv2d_tile", defines: defines,
      arguments: [("y", .target(0))] + Launch.operand("x0", sources[0].input) + Launch.operand("x1", second.input) + [
        ("packed", .scratch(scratch)), ("bias", bias.map { .input($0.input) } ?? .scratch(scratch)),
        ("bias_first", .int(biasOffset)), ("bias_per", .int(bias?.channelsPerElement ?? 0)),
        ("x0_first", .int(sources[0].first)), ("x0_used", .int(sources[0].used)),
        ("x0_channels", .int(sources[0].channels)), ("x1_channels", .int(second.channels)),
        ("in_height", .int(inPlane.h)), ("in_width", .int(inPlane.w)), ("y_first", .int(firstChannel)),
        ("y_channels", .int(storesDepth ? out.c * 4 : out.c)), ("out_channels", .int(channels)),
        ("out_height", .int(plane.h)), ("out_width", .int(plane.w)), ("pad_y", .int(padding)), ("pad_x", .int(padding)),
        ("group_channels", .int(groupChannels)), ("groups", .int(groups)),
        ("tile_height", .int(tile.height)), ("chunk", .int(tile.chunk)), ("accumulate", .int(accumulates ? 1 : 0)),
        ("stage", .local(tile.stageBytes)),
      ], global: [across, down, images * groups], local: [1, 1, 1])
  }
}

/// The launches of conv2d_weight_gradient.cl.
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

  private var inChannels: Int { sources.reduce(0) { $0 + $1.used } }
  private var blocks: Int { (z.used + TileKernel.block - 1) / TileKernel.block }

  /// Channels of dz staged at a time, the rows that they are apart, the tile, and the bytes of the staged dz.
  private var geometry: (group: Int, rows: Int, tile: ConvolutionTile, zBytes: Int) {
    let budget = device.tileBudgetBytes * 2
    for rows in [16, 4] {
      var group = min(64, blocks * TileKernel.block)
      while true {
        let zBytes = group * (rows * ConvolutionTile.width + 16) * 4
        let tile = ConvolutionTile(
          kernel: kernel, dilation: dilation, plane: outPlane, channels: min(16, inChannels),
          budgetBytes: budget - zBytes, height: rows)
        if zBytes + tile.stageBytes <= budget || (rows == 4 && group == TileKernel.block) {
          return (group, rows, tile, zBytes)
        }
        if group == TileKernel.block { break }
        group = max(TileKernel.block, group / 2 / TileKernel.block * TileKernel.block)
      }
    }
    preconditionFailure("the smallest geometry is returned above")
  }

  private var tiles: (across: Int, down: Int, all: Int) {
    let tile = geometry.tile
    let across = (outPlane.w + ConvolutionTile.width - 1) / ConvolutionTile.width
    let down = (outPlane.h + tile.height - 1) / tile.height
    return (across, down, across * down * images)
  }

  private var slices: Int {
    let groups = (z.used + geometry.group - 1) / geometry.group
    return max(1, min(tiles.all, device.workItemsWanted / groups))
  }

  var partialBytes: Int { slices * blocks * TileKernel.block * inChannels * kernel * kernel * 4 }

  func launches(accumulates: Bool) -> [Launch] {
    let (group, rows, tile, zBytes) = geometry
    let second = sources.count > 1 ? sources[1] : sources[0]
    let defines = tile.defines + [
      ("X0_MODE", sources[0].mode.rawValue), ("X1_MODE", sources.count > 1 ? sources[1].mode.rawValue : -1),
      ("Z_MODE", z.mode.rawValue), ("Z_ROWS", rows),
    ]
    return [
      Launch(
        "conv2d_weight_gradient.cl", "conv2d_weight_gradient_partial", defines: defines,
        arguments: [("partial", .scratch(scratch))] + Launch.operand("z", z.input)
          + Launch.operand("x0", sources[0].input) + Launch.operand("x1", second.input) + [
            ("z_first", .int(z.first)), ("z_used", .int(z.used)), ("z_channels", .int(z.channels)),
            ("x0_channels", .int(sources[0].channels)), ("x1_channels", .int(second.channels)),
            ("in_height", .int(inPlane.h)), ("in_width", .int(inPlane.w)), ("out_height", .int(outPlane.h)),
            ("out_width", .int(outPlane.w)), ("pad_y", .int(padding)), ("pad_x", .int(padding)),
            ("tiles_x", .int(tiles.across)), ("tiles_y", .int(tiles.down)), ("tiles", .int(tiles.all)),
            ("slices", .int(slices)), ("tile_height", .int(tile.height)), ("chunk", .int(tile.chunk)),
            ("z_group", .int(group)), ("z_stage", .local(zBytes)), ("x_stage", .local(tile.stageBytes)),
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
}
