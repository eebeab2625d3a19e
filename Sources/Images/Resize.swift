extension PixelBuffer {
  public enum Filter: Sendable {
    /// A triangle two pixels wide, widened by the factor of reduction so that every source pixel counts: Pillow's
    /// `BILINEAR`, bit for bit. For images.
    case bilinear
    /// The source pixel under the centre of the result's pixel, ⌊(i + ½) · source / result⌋: Pillow's `NEAREST`.
    /// (OpenCV's `INTER_NEAREST` takes ⌊i · source / result⌋, half a pixel up and left of it.) For masks.
    case nearest
  }

  /// The image at another size; the sides are scaled independently.
  ///
  /// - Parameters: width, height in pixels, 1 or more.
  public func resized(width newWidth: Int, height newHeight: Int, filter: Filter) -> PixelBuffer {
    precondition(newWidth > 0 && newHeight > 0, "an image has at least one pixel")
    if newWidth == width && newHeight == height { return self }
    switch filter {
    case .nearest: return nearest(newWidth, newHeight)
    case .bilinear: return bilinear(newWidth, newHeight)
    }
  }

  private func nearest(_ newWidth: Int, _ newHeight: Int) -> PixelBuffer {
    let columns = (0..<newWidth).map { min((2 * $0 + 1) * width / (2 * newWidth), width - 1) * channels }
    let result = [UInt8](unsafeUninitializedCapacity: newWidth * newHeight * channels) { out, filled in
      bytes.withUnsafeBufferPointer { source in
        columns.withUnsafeBufferPointer { columns in
          var position = 0
          for y in 0..<newHeight {
            let row = min((2 * y + 1) * height / (2 * newHeight), height - 1) * width * channels
            for x in 0..<newWidth {
              for c in 0..<channels { out[position + c] = source[row + columns[x] + c] }
              position += channels
            }
          }
        }
      }
      filled = newWidth * newHeight * channels
    }
    return PixelBuffer(width: newWidth, height: newHeight, channels: channels, bytes: result)
  }

  /// Rows first, then columns, each rounded to 8 bits, with Pillow's 22-bit fixed-point weights
  /// (`src/libImaging/Resample.c`).
  private func bilinear(_ newWidth: Int, _ newHeight: Int) -> PixelBuffer {
    let narrow = newWidth == width ? self : resampled(columns: AxisTaps(from: width, to: newWidth))
    return newHeight == height ? narrow : narrow.resampled(rows: AxisTaps(from: height, to: newHeight))
  }
}
