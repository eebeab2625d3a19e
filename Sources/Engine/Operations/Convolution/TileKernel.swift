/// The launches of a convolution by the tile kernels: conv2d.cl's `conv2d_tile`, or conv2d_winograd.cl's where that needs
/// fewer operations; conv2d_gpu.cl's on GPUs, conv2d_matrix.cl's on those whose matrix units are used. They serve a convolution forward, its input gradient, and the transposed
/// convolution.
struct TileKernel {
  /// Channels [first, first + used) of an operand with `channels` channels, read through a view.
  struct Source {
    let input: Int
    let reading: Reading
    let first: Int
    let used: Int
    let channels: Int
  }

  /// Where the weights are in w (R, `rowLength`, k, k): output channel o and input channel c are w[row + o, column + c]; or,
  /// `transposed`, w[row + c, column + o] with its taps flipped, as the input gradient gathers.
  struct Weights {
    let input: Int
    var row = 0
    var column = 0
    let rowLength: Int
    var transposed = false
  }

  /// Output channels that the kernels hold in registers: BLOCK in conv2d_stage.clh.
  static let block = 8

  let kernel: Int
  var dilation = 1
  var padding = 0
  let images: Int
  let inPlane: (h: Int, w: Int)
  /// The target as stored.
  let out: Shape
  let sources: [Source]
  let weights: Weights
  /// First channel of the target, and how many this launch computes (four times the target's where it stores by depth).
  var firstChannel = 0
  let channels: Int
  var bias: (input: Int, first: Int, channelsPerElement: Int)?
  var accumulates = false
  /// Output channel 4o + 2a + b goes to y[o, 2i + a, 2j + b].
  var storesDepth = false
  /// How the target is stored: in 16 bits only where ``writesOnce``.
  var targetStorage = Storage.float32
  let device: DeviceTraits

  var inChannels: Int { sources.reduce(0) { $0 + $1.used } }
  /// The plane whose pixels are computed.
  var plane: (h: Int, w: Int) { storesDepth ? (h: out.h / 2, w: out.w / 2) : (h: out.h, w: out.w) }
  private var blocks: Int { (channels + Self.block - 1) / Self.block }

  /// Nil on devices of another class.
  private var gpuTile: GPUTile? {
    device.deviceClass == .cpu
      ? nil
      : GPUTile(kernel: kernel, dilation: dilation, channels: inChannels, outChannels: channels, device: device)
  }

  /// Nil on devices whose matrix units are not used, and where they would multiply little but padding.
  private var matrixTile: MatrixTile? {
    MatrixTile(
      kernel: kernel, dilation: dilation, channels: inChannels, outChannels: channels,
      tensors: sources.contains { $0.reading.view.isGradient } ? 2 : 1, device: device)
  }

  /// The tile of Winograd's form; nil where another is taken.
  private var winogradTile: Winograd.Tile? {
    guard device.deviceClass == .cpu, !storesDepth,
      Winograd.pays(
        kernel: kernel, dilation: dilation, width: out.w, in: inChannels, out: channels,
        percent: device.tiles[.winogradPercent])
    else { return nil }
    return Winograd.Tile(plane: plane, channels: inChannels, device: device)
  }

  /// Whether each element of the target is written once: sums over several chunks of input channels wait in it.
  var writesOnce: Bool {
    if accumulates { return false }
    if device.deviceClass != .cpu { return true }
    return (winogradTile?.chunk ?? directTile.chunk) >= inChannels
  }

  /// Bytes of the packed weights.
  var packedBytes: Int {
    if let matrixTile { return matrixTile.packedBytes(inChannels, channels) }
    let block = gpuTile?.groupChannels ?? Self.block
    let taps = winogradTile != nil ? Winograd.points : kernel * kernel
    return (channels + block - 1) / block * block * inChannels * taps * 4
  }

  /// Packs the weights into `scratch`, then convolves.
  func launches(scratch: Int) -> [Launch] {
    if let matrixTile { return matrix(matrixTile, scratch) }
    let (gpuTile, winogradTile) = (gpuTile, winogradTile)
    let name = winogradTile != nil ? "conv2d_winograd_pack" : "conv2d_pack"
    let block = gpuTile?.groupChannels ?? Self.block
    let pack = Launch(
      name + ".cl", name,
      defines: gpuTile != nil ? [("BLOCK", block)] : [],
      arguments: [
        ("packed", .scratch(scratch)), ("w", .input(weights.input)), ("o0", .int(weights.row)),
        ("c0", .int(weights.column)), ("w_in", .int(weights.rowLength)), ("out_channels", .int(channels)),
        ("in_channels", .int(inChannels)),
      ] + (winogradTile != nil ? [] : [("taps", .int(kernel * kernel))]) + [
        ("transposed", .int(weights.transposed ? 1 : 0))
      ], runs: [inChannels, (channels + block - 1) / block], on: device)
    if let gpuTile { return [pack, gpu(gpuTile, scratch)] }
    return [pack, winogradTile.map { winograd($0, scratch) } ?? direct(scratch)]
  }

  private var directTile: ConvolutionTile {
    let tiles = device.tiles
    // Tall tiles for narrow planes, so that they hold as many pixels. Products of single pixels need no halo, so that low tiles
    // of many channels cost nothing, and sums wait in y less often.
    let isPointwise = kernel == 1
    let flat = !isPointwise || inChannels <= 64 ? 1 : inChannels <= 128 ? 2 : 4
    return ConvolutionTile(
      kernel: kernel, dilation: dilation, channels: min(tiles[.tileChunk] * (isPointwise ? 8 : 1), inChannels),
      budgetBytes: device.tileBudgetBytes(tiles), height: max(2, tiles[.tileHeight] * (plane.w <= 32 ? 2 : 1) / flat),
      width: ConvolutionTile.width(kernel: kernel, plane: plane.w))
  }

  private func direct(_ scratch: Int) -> Launch {
    let tile = directTile
    let (grid, arguments) = common(scratch, tileHeight: tile.height, tileWidth: tile.width, chunk: tile.chunk)
    return Launch(
      "conv2d.cl", "conv2d_tile", defines: tile.defines + modes + [("STORE_DEPTH", storesDepth ? 1 : 0)] + vectors,
      arguments: arguments + [("stage", .local(tile.stageBytes))], global: grid, local: [1, 1, 1])
  }

  private func winograd(_ tile: Winograd.Tile, _ scratch: Int) -> Launch {
    let (grid, arguments) = common(scratch, tileHeight: tile.height, chunk: tile.chunk)
    return Launch(
      "conv2d_winograd.cl", "conv2d_winograd_tile", defines: modes + vectors,
      arguments: arguments + [
        ("sum_channels", .int(tile.sumChannels)), ("raw", .local(tile.rawBytes)), ("stage", .local(tile.stageBytes)),
        ("sums", .local(tile.sumBytes)),
      ], global: grid, local: [1, 1, 1])
  }

  var modes: [(name: String, value: Int)] {
    [
      ("X0_MODE", sources[0].reading.code), ("X1_MODE", sources.count > 1 ? sources[1].reading.code : -1),
    ] + storedMacro("Y_STORED", targetStorage)
  }

  private var vectors: [(name: String, value: Int)] { vectorMacro(device.tiles[.vectorFloats]) }

  /// What the two kernels for CPUs share: the grid, and the arguments up to local memory.
  private func common(
    _ scratch: Int, tileHeight: Int, tileWidth: Int = ConvolutionTile.width, chunk: Int
  ) -> (grid: [Int], arguments: [(name: String, value: Launch.Argument)]) {
    let across = (plane.w + tileWidth - 1) / tileWidth
    let down = (plane.h + tileHeight - 1) / tileHeight
    // Few tiles: split the output channels too, so that every unit has work.
    let items = across * down * images
    let wantedGroups = min(blocks, max(1, (device.tiles[.tileItems] * device.computeUnits + items - 1) / items))
    let groupChannels = (blocks + wantedGroups - 1) / wantedGroups * Self.block
    let groups = (channels + groupChannels - 1) / groupChannels
    return (
      [across, down, images * groups],
      operands(scratch) + [
        ("group_channels", .int(groupChannels)), ("groups", .int(groups)), ("tile_height", .int(tileHeight)),
        ("chunk", .int(chunk)), ("accumulate", .int(accumulates ? 1 : 0)),
      ]
    )
  }

  /// What all kernels share: the arguments up to the tile's.
  func operands(_ scratch: Int) -> [(name: String, value: Launch.Argument)] {
    let second = sources.count > 1 ? sources[1] : sources[0]
    return [("y", .target(0))] + Launch.operand("x0", sources[0].input) + Launch.operand("x1", second.input) + [
      ("packed", .scratch(scratch)), ("bias", bias.map { .input($0.input) } ?? .scratch(scratch)),
      ("bias_first", .int(bias?.first ?? 0)), ("bias_per", .int(bias?.channelsPerElement ?? 0)),
      ("x0_first", .int(sources[0].first)), ("x0_used", .int(sources[0].used)),
      ("x0_channels", .int(sources[0].channels)), ("x1_channels", .int(second.channels)),
      ("in_height", .int(inPlane.h)), ("in_width", .int(inPlane.w)), ("y_first", .int(firstChannel)),
      ("y_channels", .int(storesDepth ? out.c * 4 : out.c)), ("out_channels", .int(channels)),
      ("out_height", .int(plane.h)), ("out_width", .int(plane.w)), ("pad_y", .int(padding)), ("pad_x", .int(padding)),
    ]
  }
}
