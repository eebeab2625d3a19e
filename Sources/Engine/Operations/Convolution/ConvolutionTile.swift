/// The part of a plane that a work-item of the convolution kernels stages and computes.
struct ConvolutionTile {
  let kernel: Int
  let dilation: Int
  let height: Int
  /// Input channels staged at a time.
  let chunk: Int
  /// Each tap staged apart, where a dilated halo would not fit.
  let gathers: Bool
  /// Columns: TILE_W in conv2d_stage.clh. A narrower plane leaves the rest untouched.
  let width: Int
  /// Images whose rows lie below each other in the tile.
  let stack: Int

  /// Columns of tiles that are not narrow.
  static let width = 64

  /// Columns of the tiles for a plane of so many: staged rows that are no longer than needed stay in the first-level cache.
  static func width(kernel: Int, plane: Int) -> Int { kernel == 1 || plane > 32 ? width : plane > 16 ? 32 : 16 }

  /// - Parameters:
  ///   - channels: most that are staged at a time.
  ///   - height: rows, or less where they do not fit.
  ///   - width: as ``width(kernel:plane:)`` says.
  ///   - stack: images whose rows lie below each other, or fewer where they do not fit.
  init(
    kernel: Int, dilation: Int, channels: Int, budgetBytes: Int, height: Int, width: Int = Self.width, stack: Int = 1
  ) {
    self.kernel = kernel
    self.dilation = dilation
    self.width = width
    var stack = stack
    var height = height
    var chunk = channels
    // A halo of (k-1)·d rows and columns pays while it is no larger than the tile.
    let gathers = (kernel - 1) * dilation > 16
    while Self.channelBytes(kernel, dilation, height, width, gathers) * stack * chunk > budgetBytes {
      if chunk > 4 || (height == 2 && chunk > 1) {
        chunk = (chunk + 1) / 2
      } else if stack > 1 {
        stack /= 2
      } else if height > 2 {
        height /= 2
      } else {
        break
      }
    }
    self.height = height
    self.chunk = chunk
    self.stack = stack
    self.gathers = gathers
  }

  private static func channelBytes(
    _ kernel: Int, _ dilation: Int, _ height: Int, _ width: Int, _ gathers: Bool
  ) -> Int {
    if gathers { return kernel * kernel * height * width * 4 }
    let halo = (kernel - 1) * dilation
    return (height + halo) * ((width + halo + 15) / 16 * 16) * 4
  }

  /// Local memory for the staged channels.
  var stageBytes: Int { Self.channelBytes(kernel, dilation, height, width, gathers) * stack * chunk }

  var defines: [(name: String, value: Int)] {
    [("K", kernel), ("DILATION", dilation), ("GATHER", gathers ? 1 : 0), ("TILE_W", width)]
  }
}

/// The macro that says for what registers a kernel keeps its sums; none for those of 16 floats.
func vectorMacro(_ floats: Int) -> [(name: String, value: Int)] { floats == 16 ? [] : [("VECTOR_FLOATS", floats)] }

extension DeviceTraits {
  /// Local memory that a convolution tile may take: what the device has, but no more than stays in a core's cache.
  func tileBudgetBytes(_ tiles: TileTable) -> Int { min(localBytes / 2, tiles[.tileKiB] << 10) }
}
