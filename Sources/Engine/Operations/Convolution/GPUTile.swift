/// The tile of conv2d_gpu.cl: what a work-group computes, and what of it is staged in local memory.
struct GPUTile {
  let kernel: Int
  let dilation: Int
  /// Output channels of a work-item and of a work-group: ITEM_O and O_TILE.
  let itemChannels: Int
  let groupChannels: Int
  /// Columns of a tile: TILE_W.
  let width: Int
  /// Rows of a tile: TILE_H.
  let height: Int
  /// Side of the window of taps for which one patch is staged: the kernel's, or 1 where its halo does not fit.
  let window: Int
  /// Input channels staged at a time.
  let chunk: Int

  /// Work-items of a group, and neighbouring columns of each: ITEMS in the kernel, and the eight of its vectors.
  static let items = 128
  private static let itemColumns = 8

  init(kernel: Int, dilation: Int, channels: Int, outChannels: Int, device: DeviceTraits) {
    let tiles = device.tiles
    self.kernel = kernel
    self.dilation = dilation
    itemChannels = tiles[.itemChannels]
    // Few output channels: the items take more pixels instead.
    let most = tiles[.groupChannels]
    groupChannels = [8, 16, 32, 64].first { $0 >= outChannels && $0 < most } ?? most
    let segments = Self.items * itemChannels / groupChannels
    width = min(tiles[.groupWidth] * (segments > 32 ? 2 : 1), segments * Self.itemColumns)
    height = segments * Self.itemColumns / width
    let budget = min(tiles[.groupKiB] << 10, device.argumentBytes)
    // A halo of (k-1)·d rows and columns pays while it is no larger than the tile.
    let fits = Self.channelBytes(kernel, dilation, height, width, groupChannels) <= budget
    window = (kernel - 1) * dilation <= 16 && fits ? kernel : 1
    chunk = max(1, min(tiles[.groupChunk], channels, budget / Self.channelBytes(window, dilation, height, width, groupChannels)))
  }

  /// A channel's patch, whose rows are an odd number of elements apart, and its weights.
  private static func channelBytes(
    _ window: Int, _ dilation: Int, _ height: Int, _ width: Int, _ groupChannels: Int
  ) -> Int {
    patchBytes(window, dilation, height, width) + window * window * groupChannels * 4
  }

  private static func patchBytes(_ window: Int, _ dilation: Int, _ height: Int, _ width: Int) -> Int {
    let halo = (window - 1) * dilation
    return (height + halo) * ((width + halo) | 1) * 4
  }

  var patchBytes: Int { chunk * Self.patchBytes(window, dilation, height, width) }
  var weightBytes: Int { chunk * window * window * groupChannels * 4 }

  var defines: [(name: String, value: Int)] {
    [
      ("K", kernel), ("DILATION", dilation), ("WINDOW", window), ("ITEM_O", itemChannels), ("O_TILE", groupChannels),
      ("TILE_W", width),
    ]
  }
}

extension TileKernel {
  /// The launch of conv2d_gpu.cl.
  func gpu(_ tile: GPUTile, _ scratch: Int) -> Launch {
    let plane = plane
    let across = (plane.w + tile.width - 1) / tile.width
    let down = (plane.h + tile.height - 1) / tile.height
    let groups = (channels + tile.groupChannels - 1) / tile.groupChannels
    return Launch(
      "conv2d_gpu.cl", "conv2d_gpu_tile", defines: tile.defines + modes + [("STORE_DEPTH", storesDepth ? 1 : 0)],
      arguments: operands(scratch) + [
        ("groups", .int(groups)), ("chunk", .int(tile.chunk)), ("accumulate", .int(accumulates ? 1 : 0)),
        ("patch", .local(tile.patchBytes)), ("weights", .local(tile.weightBytes)),
      ],
      // One dimension: the others hold no more than 65535 groups on some devices.
      global: [across * down * images * groups * GPUTile.items], local: [GPUTile.items])
  }
}
