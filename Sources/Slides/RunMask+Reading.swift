import Images
import Threads

extension RunMask {
  /// The mask of a slide from a file: a TIFF, PNG or JPEG of any size, stretched over the slide, or GeoJSON in level-0 pixels.
  ///
  /// In files without loss every value but 0 is foreground, so that label images and masks of 1 work; in JPEG files 128
  /// and more. The file is read a band of tiles at a time.
  ///
  /// - Parameter width, height: of the slide's level 0.
  /// - Throws: `SlideError` that names the mask's file.
  public static func read(_ path: String, width: Int, height: Int, threads: Int = 1) throws(SlideError) -> RunMask {
    if path.lowercased().hasSuffix(".geojson") || path.lowercased().hasSuffix(".json") {
      return try GeoJSON.readMask(path, width: width, height: height)
    }
    let source = try Slide.open(path, asMask: true)
    let ratioX = Double(source.width) / Double(width), ratioY = Double(source.height) / Double(height)
    guard abs(ratioX / ratioY - 1) < 0.02 else {
      throw SlideError(
        .argument, path: path,
        reason: "the mask is \(source.width) × \(source.height) pixels, its slide \(width) × \(height): another shape")
    }
    let mask = try RunMask(source, threads: threads)
    guard mask.width != width || mask.height != height else { return mask }
    return mask.scaled(
      width: width, height: height, downsampleX: Double(mask.width) / Double(width),
      downsampleY: Double(mask.height) / Double(height))
  }

  /// The foreground of level 0 of a mask image.
  public init(_ source: any SlideSource, threads: Int = 1) throws(SlideError) {
    let limit: UInt8 = source.isLossy ? 127 : 0
    var mask = RunMask(width: source.width, height: source.height)
    let bandRows = max(16, min(512, (64 << 20) / (source.width * source.channels)))
    let bandCount = (source.height + bandRows - 1) / bandRows
    let width = source.width, height = source.height
    let bands = OrderedPipeline(count: bandCount, threads: threads > 1 ? threads : 0, depth: threads + 1) {
      band, _ -> Result<RunMask, SlideError> in
      do throws(SlideError) {
        let top = band * bandRows, rows = min(bandRows, height - top)
        let pixels = try source.read(level: 0, x: 0, y: top, width: width, height: rows).grey
        var part = RunMask(width: width, height: rows)
        pixels.withUnsafeBufferPointer { bytes in
          for row in 0..<rows {
            part.appendRow(UnsafeBufferPointer(rebasing: bytes[row * width..<(row + 1) * width]), above: limit)
          }
        }
        return .success(part)
      } catch {
        return .failure(error)
      }
    }
    while let part = try bands.next()?.get() {
      for row in 0..<part.height { mask.appendRow(part[row].map { Run(start: Int($0.start), end: Int($0.end)) }) }
      try mask.requireMask(source.path)
    }
    self = mask
  }

  /// - Throws: `.damaged` where there are so many runs that the picture is no mask.
  public func requireMask(_ path: String) throws(SlideError) {
    guard runs.count <= Self.runLimit else {
      throw SlideError(
        .damaged, path: path, reason: "it has more than \(Self.runLimit) separate runs of foreground: noise, not a mask")
    }
  }
}

extension PixelBuffer {
  /// One channel; of RGB the largest of the three, so that a coloured mask counts.
  fileprivate var grey: [UInt8] {
    if channels == 1 { return bytes }
    return (0..<width * height).map { max(bytes[3 * $0], max(bytes[3 * $0 + 1], bytes[3 * $0 + 2])) }
  }
}
