import Images

/// A patch as a network takes it.
public struct PatchSample: Sendable, Equatable {
  public let width: Int
  public let height: Int
  /// (3, H, W): red, green, blue planes, 0 … 1 (byte / 255).
  public let image: [Float]
  /// (H, W): 0 or 1.
  public let mask: [Float]

  /// Mask bytes from here on are foreground.
  public static let foregroundThreshold: UInt8 = 128

  /// Decodes a pair.
  ///
  /// - Parameters:
  ///   - patchSize: the side of the square the patch is scaled to (image by antialiased bilinear, mask by nearest);
  ///     `nil` keeps its size.
  ///   - draw: changes applied after the scaling.
  /// - Throws: `.image` for a file that cannot be read, `.faults` for a mask of another size than the image.
  public static func load(
    _ pair: PatchPair, patchSize: Int?, draw: Augmentation.Draw = .init()
  ) throws(DatasetError) -> PatchSample {
    let patch = try DecodedPatch.load(pair, patchSize: patchSize)
    let (width, height) = patch.size(after: draw)
    var image = [Float](repeating: 0, count: 3 * width * height)
    var mask = [Float](repeating: 0, count: width * height)
    image.withUnsafeMutableBufferPointer { image in
      mask.withUnsafeMutableBufferPointer { mask in patch.write(draw, image: image, mask: mask) }
    }
    return PatchSample(width: width, height: height, image: image, mask: mask)
  }
}

/// A patch decoded and scaled, in bytes: what the cache keeps, a quarter of the floats' size.
struct DecodedPatch: Sendable {
  let width: Int
  let height: Int
  /// (H, W, 3).
  let rgb: [UInt8]
  /// (H, W), 0 or 1.
  let mask: [UInt8]

  var byteCount: Int { rgb.count + mask.count }

  static func load(_ pair: PatchPair, patchSize: Int?) throws(DatasetError) -> DecodedPatch {
    var image: PixelBuffer
    var mask: PixelBuffer
    do throws(ImageError) {
      image = try ImageFile.read(pair.imagePath, channels: 3)
      mask = try ImageFile.read(pair.maskPath, channels: 1)
    } catch {
      throw .image(error)
    }
    guard image.width == mask.width, image.height == mask.height else {
      throw .faults([
        DatasetFault(
          .sizeMismatch, pair.maskPath,
          "the mask is \(mask.width) × \(mask.height) pixels, its image \(pair.imagePath) is "
            + "\(image.width) × \(image.height)")
      ])
    }
    if let patchSize {
      image = image.resized(width: patchSize, height: patchSize, filter: .bilinear)
      mask = mask.resized(width: patchSize, height: patchSize, filter: .nearest)
    }
    return DecodedPatch(
      width: image.width, height: image.height, rgb: image.bytes,
      mask: mask.bytes.map { $0 >= PatchSample.foregroundThreshold ? 1 : 0 })
  }

  /// Quarter turns that fit the patch: only halves when it is not square, so that a batch keeps one shape.
  private func turns(_ draw: Augmentation.Draw) -> Int {
    width == height ? draw.quarterTurns & 3 : draw.quarterTurns & 2
  }

  func size(after draw: Augmentation.Draw) -> (width: Int, height: Int) {
    turns(draw) % 2 == 0 ? (width, height) : (height, width)
  }

  /// Writes the planes, changed by `draw`, to `image` (3 · H · W) and `mask` (H · W).
  func write(
    _ draw: Augmentation.Draw, image: UnsafeMutableBufferPointer<Float>, mask target: UnsafeMutableBufferPointer<Float>
  ) {
    let (newWidth, newHeight) = size(after: draw)
    let count = newWidth * newHeight
    precondition(image.count == 3 * count && target.count == count, "the planes have the size of the patch")

    // Mirrors and turns are linear in x and y: three source positions fix the whole map.
    let turns = turns(draw)
    func source(_ x: Int, _ y: Int) -> Int {
      var (u, v): (Int, Int)
      switch turns {
      case 1: (u, v) = (width - 1 - y, x)
      case 2: (u, v) = (width - 1 - x, height - 1 - y)
      case 3: (u, v) = (y, height - 1 - x)
      default: (u, v) = (x, y)
      }
      if draw.flipsX { u = width - 1 - u }
      if draw.flipsY { v = height - 1 - v }
      return v * width + u
    }
    let origin = source(0, 0)
    let stepX = source(1, 0) - origin, stepY = source(0, 1) - origin
    defer { change(draw, image: image, width: newWidth, height: newHeight) }

    if let warp = draw.warp {
      rgb.withUnsafeBufferPointer { rgb in
        mask.withUnsafeBufferPointer { mask in
          warp.apply(
            width: newWidth, height: newHeight, rgb: rgb, mask: mask, index: { origin + $0 * stepX + $1 * stepY },
            image: image, target: target)
        }
      }
      let mean = draw.contrast == 1 ? 0 : mean
      if draw.brightness != 1 || draw.contrast != 1 {
        for i in image.indices { image[i] = Self.brightened(image[i], mean, draw) }
      }
      return
    }
    let table = brightnessTable(draw)
    table.withUnsafeBufferPointer { table in
      rgb.withUnsafeBufferPointer { rgb in
        mask.withUnsafeBufferPointer { mask in
          var out = 0
          for y in 0..<newHeight {
            var from = origin + y * stepY
            for _ in 0..<newWidth {
              image[out] = table[Int(rgb[3 * from])]
              image[out + count] = table[Int(rgb[3 * from + 1])]
              image[out + 2 * count] = table[Int(rgb[3 * from + 2])]
              target[out] = Float(mask[from])
              out += 1
              from += stepX
            }
          }
        }
      }
    }
  }

  /// What comes after geometry, brightness and contrast.
  private func change(_ draw: Augmentation.Draw, image: UnsafeMutableBufferPointer<Float>, width: Int, height: Int) {
    let count = width * height
    draw.stain?.apply(image, count: count)
    if draw.blur > 0 {
      for c in 0..<3 {
        PlaneFilters.blur(
          UnsafeMutableBufferPointer(rebasing: image[c * count..<(c + 1) * count]), width: width, height: height,
          sigma: draw.blur)
      }
    }
    if draw.noise > 0 { PlaneFilters.addNoise(image, sigma: draw.noise, seed: draw.noiseSeed) }
  }

  /// The float of each byte value: byte / 255, then contrast about the patch's mean, then brightness, kept in 0 … 1.
  private func brightnessTable(_ draw: Augmentation.Draw) -> [Float] {
    let plain = (0..<256).map { Float($0) / 255 }
    if draw.brightness == 1 && draw.contrast == 1 { return plain }
    let mean = mean
    return plain.map { Self.brightened($0, mean, draw) }
  }

  private static func brightened(_ value: Float, _ mean: Float, _ draw: Augmentation.Draw) -> Float {
    max(0, min(1, ((value - mean) * draw.contrast + mean) * draw.brightness))
  }

  /// Of all bytes, as 0 … 1.
  private var mean: Float {
    let sum = rgb.withUnsafeBufferPointer { bytes in
      var sum = 0
      for byte in bytes { sum &+= Int(byte) }
      return sum
    }
    return Float(Double(sum) / Double(rgb.count) / 255)
  }
}
