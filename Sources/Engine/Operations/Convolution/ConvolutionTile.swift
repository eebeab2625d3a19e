/// The part of a plane that a work-item of the convolution kernels stages and computes.
struct ConvolutionTile {
  let kernel: Int
  let dilation: Int
  let height: Int
  let width: Int
  /// Input channels staged at a time.
  let chunk: Int
  /// Each tap staged apart, where a dilated halo would not fit.
  let gathers: Bool

  /// Columns of a tile: a power of two from 16 to 64 that a narrow plane fills.
  static func width(_ plane: Int) -> Int { plane <= 16 ? 16 : plane <= 32 ? 32 : 64 }

  init(
    kernel: Int, dilation: Int, plane: (h: Int, w: Int), channels: Int, budgetBytes: Int, height: Int? = nil
  ) {
    self.kernel = kernel
    self.dilation = dilation
    var width = Self.width(plane.w)
    var height = height ?? (width == 16 ? 16 : 8)
    // Chunks are powers of two, so that layers share programs.
    var chunk = channels <= 4 ? 4 : channels <= 8 ? 8 : channels <= 16 ? 16 : 32
    // A halo of (k-1)·d rows and columns pays while it is no larger than the tile.
    let gathers = (kernel - 1) * dilation > 16
    while Self.channelBytes(kernel, dilation, height, width, gathers) * chunk > budgetBytes {
      if chunk > 4 || (width == 16 && height == 2 && chunk > 1) {
        chunk /= 2
      } else if height > 2 {
        height /= 2
      } else if width > 16 {
        width /= 2
      } else {
        break
      }
    }
    self.height = height
    self.width = width
    self.chunk = chunk
    self.gathers = gathers
  }

  private static func channelBytes(_ kernel: Int, _ dilation: Int, _ height: Int, _ width: Int, _ gathers: Bool) -> Int {
    if gathers { return kernel * kernel * height * width * 4 }
    let halo = (kernel - 1) * dilation
    return (height + halo) * ((width + halo + 15) / 16 * 16) * 4
  }

  /// Local memory for the staged channels.
  var stageBytes: Int { Self.channelBytes(kernel, dilation, height, width, gathers) * chunk }

  var defines: [(name: String, value: Int)] {
    [
      ("K", kernel), ("DILATION", dilation), ("TILE_H", height), ("TILE_W", width), ("CHUNK", chunk),
      ("GATHER", gathers ? 1 : 0),
    ]
  }
}

extension DeviceTraits {
  /// Local memory that a convolution tile may take: what the device has, but no more than stays in a core's cache.
  var tileBudgetBytes: Int { min(localBytes / 2, 192 << 10) }
}
