import Images
import Threads

extension RunMask {
  /// Writes the mask, 0 and 255, as a pyramid of Deflate tiles that QuPath, OpenSlide and tifffile open.
  ///
  /// Each level halves the one before, and takes the upper left of four pixels, until a level is one tile. Only the tiles
  /// that are being compressed are in memory.
  ///
  /// - Parameters:
  ///   - micronsPerPixel: of the mask's pixels, for the resolution tags.
  ///   - threads: that compress.
  public func writeTIFF(
    _ path: String, micronsPerPixel: Double? = nil, tile: Int = 512, threads: Int = 1
  ) throws(SlideError) {
    precondition(isComplete, "only a complete mask is written")
    let writer = try TIFFWriter(path, isBig: TIFFWriter.needsBig(width: width, height: height, channels: 1))
    let background = try TIFFWriter.deflate([UInt8](repeating: 0, count: tile * tile))
    let foreground = try TIFFWriter.deflate([UInt8](repeating: 255, count: tile * tile))
    var level = self
    var factor = 1.0
    while true {
      try writer.begin(
        width: level.width, height: level.height, tile: tile, channels: 1, compression: .deflate,
        micronsPerPixel: micronsPerPixel.map { $0 * factor }, description: factor == 1 ? "glomseg mask: 255 glomerulus" : nil)
      let mask = level
      for row in 0..<(mask.height + tile - 1) / tile {
        try writer.write(row: row, threads: threads) { column throws(SlideError) in
          let area = mask.area(x: column * tile, y: row * tile, width: tile, height: tile)
          if area == 0 { return background }
          if area == tile * tile { return foreground }
          var bytes = [UInt8](repeating: 0, count: tile * tile)
          bytes.withUnsafeMutableBufferPointer { pixels in
            for line in 0..<min(tile, mask.height - row * tile) {
              mask.draw(
                row: row * tile + line, from: column * tile,
                into: UnsafeMutableBufferPointer(rebasing: pixels[line * tile..<(line + 1) * tile]))
            }
          }
          return try TIFFWriter.deflate(bytes)
        }
      }
      try writer.end()
      if level.width <= tile && level.height <= tile { break }
      level = level.halved
      factor *= 2
    }
    try writer.finish()
  }

  /// Every second pixel of every second row.
  private var halved: RunMask {
    var half = RunMask(width: max(1, width / 2), height: max(1, height / 2))
    for row in 0..<half.height {
      half.appendRow(
        self[row * 2].map { run in
          Run(start: (Int(run.start) + 1) / 2, end: min(half.width, (Int(run.end) + 1) / 2))
        })
    }
    return half
  }
}
