/// The launches of conv2d_gpu_weight_gradient.cl.
struct GPUWeightGradient {
  let kernel: WeightGradientKernel
  /// Output channels of a work-item and of a work-group: ITEM_O and O_TILE.
  private let itemChannels: Int
  private let groupChannels: Int
  /// Input channels of a work-item, and items side by side with different ones: ITEM_C and C_LANES.
  private let itemInputs: Int
  private let lanes: Int
  /// Rows of a tile: TILE_H.
  private let height: Int
  /// Side of the window of taps that a work-group takes: the kernel's, or 1 where its sums or its halo do not fit.
  private let window: Int

  /// Columns of a tile: TILE_W in the kernel.
  private static let width = 16

  /// Nil on devices of another class.
  init?(_ kernel: WeightGradientKernel) {
    guard kernel.device.deviceClass != .cpu else { return nil }
    self.kernel = kernel
    let tiles = kernel.device.tiles
    itemChannels = tiles[.gradientItemChannels]
    let mostChannels = tiles[.gradientGroupChannels]
    groupChannels = [8, 16, 32].first { $0 >= kernel.z.used && $0 < mostChannels } ?? mostChannels
    let blocks = groupChannels / itemChannels
    let heights = [8, 4, 2].filter { $0 <= tiles[.gradientRows] }
    let bytes = min(tiles[.gradientKiB] << 10, kernel.device.argumentBytes)
    // Nine taps' sums for each output channel fill the registers; 16 and more would not fit.
    let windows = kernel.kernel <= 3 ? [kernel.kernel, 1] : [1]
    for window in windows {
      let itemInputs = window == 1 ? 4 : 1
      // No more lanes than there are channels, but whole hardware groups of 32 items.
      let most = min(32, tiles[.gradientItems] / blocks)
      var lanes = max(1, 32 / blocks)
      while lanes < most, lanes * itemInputs < kernel.inChannels { lanes *= 2 }
      for height in heights {
        let asked = Self.zBytes(groupChannels, height) + Self.xBytes(lanes * itemInputs, window, kernel.dilation, height)
        guard asked <= bytes || (window == 1 && height == 2) else { continue }
        (self.window, self.itemInputs, self.lanes, self.height) = (window, itemInputs, lanes, height)
        return
      }
    }
    preconditionFailure("a window of 1 always returns")
  }

  /// A pixel's channels are one vector of four further apart than they are long.
  private static func zBytes(_ channels: Int, _ height: Int) -> Int { height * width * (channels + 4) * 4 }

  private static func xBytes(_ channels: Int, _ window: Int, _ dilation: Int, _ height: Int) -> Int {
    let halo = (window - 1) * dilation
    return channels * (((height + halo) * ((width + halo) | 1)) | 1) * 4
  }

  private var outGroups: Int { (kernel.z.used + groupChannels - 1) / groupChannels }
  private var inGroups: Int { (kernel.inChannels + lanes * itemInputs - 1) / (lanes * itemInputs) }
  /// Work-groups of one slice.
  private var groups: Int {
    let windows = kernel.kernel / window
    return outGroups * inGroups * windows * windows
  }
  private var tiles: Int {
    (kernel.outPlane.w + Self.width - 1) / Self.width * ((kernel.outPlane.h + height - 1) / height) * kernel.images
  }
  private var slices: Int { max(1, min(tiles, (kernel.device.gradientGroupsWanted + groups - 1) / groups)) }
  private var count: Int { kernel.z.used * kernel.inChannels * kernel.kernel * kernel.kernel }

  var partialBytes: Int { slices * count * 4 }

  func launches(accumulates: Bool) -> [Launch] {
    let sources = kernel.sources
    let items = groupChannels / itemChannels * lanes
    return [
      Launch(
        "conv2d_gpu_weight_gradient.cl", "conv2d_gpu_weight_gradient",
        defines: [
          ("K", kernel.kernel), ("DILATION", kernel.dilation), ("WINDOW", window), ("ITEM_O", itemChannels),
          ("O_TILE", groupChannels), ("X0_MODE", sources[0].reading.code),
          ("X1_MODE", sources.count > 1 ? sources[1].reading.code : -1), ("Z_MODE", kernel.z.reading.code),
          ("C_LANES", lanes), ("ITEM_C", itemInputs), ("TILE_H", height),
        ],
        arguments: kernel.gpuArguments(tiles: tiles, slices: slices, outGroups: outGroups, inGroups: inGroups) + [
          ("z_stage", .local(Self.zBytes(groupChannels, height))),
          ("x_stage", .local(Self.xBytes(lanes * itemInputs, window, kernel.dilation, height))),
        ], global: [slices * groups * items], local: [items]),
      kernel.gpuReduction(count: count, partials: slices, accumulates: accumulates),
    ]
  }
}

extension WeightGradientKernel {
  /// What the kernels for GPUs share: the arguments up to local memory.
  func gpuArguments(
    tiles: Int, slices: Int, outGroups: Int, inGroups: Int
  ) -> [(name: String, value: Launch.Argument)] {
    let second = sources.count > 1 ? sources[1] : sources[0]
    return [("partial", .scratch(scratch))] + Launch.operand("z", z.input) + Launch.operand("x0", sources[0].input)
      + Launch.operand("x1", second.input) + [
        ("z_first", .int(z.first)), ("z_used", .int(z.used)), ("z_channels", .int(z.channels)),
        ("x0_first", .int(sources[0].first)), ("x0_used", .int(sources[0].used)),
        ("x0_channels", .int(sources[0].channels)), ("x1_channels", .int(second.channels)),
        ("in_height", .int(inPlane.h)), ("in_width", .int(inPlane.w)), ("out_height", .int(outPlane.h)),
        ("out_width", .int(outPlane.w)), ("pad_y", .int(padding)), ("pad_x", .int(padding)), ("tiles", .int(tiles)),
        ("slices", .int(slices)), ("o_groups", .int(outGroups)), ("c_groups", .int(inGroups)),
      ]
  }

  /// Adds up `partials` sums of each of `count` elements, in an order that follows from their number.
  func gpuReduction(count: Int, partials: Int, accumulates: Bool) -> Launch {
    Launch(
      "conv2d_gpu_weight_gradient.cl", "conv2d_gpu_reduce",
      arguments: [
        ("dw", .target(0)), ("partial", .scratch(scratch)),
        ("first", .int(firstRow * inChannels * kernel * kernel)), ("count", .int(count)), ("slices", .int(partials)),
        ("accumulate", .int(accumulates ? 1 : 0)),
      ], global: [(count + 15) / 16 * 256], local: [256])
  }
}
