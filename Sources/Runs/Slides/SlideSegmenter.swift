public import Engine
import Slides
import Images
import Threads

/// A model over whole slides.
///
/// ```
/// slide ▶ tissue map (coarse)              which windows are looked at
///       ▶ canvas at the model's own scale   windows decoded ahead by threads of their own
///       ▶ network ▶ stitcher ▶ map file     probabilities, a band of rows in memory, finished rows on disk
/// map file ▶ runs at level 0 ▶ holes filled, small objects removed ▶ mask, polygons, table
/// ```
public struct SlideSegmenter {
  /// What the network alone took, and the rest.
  public struct Timing: Codable, Sendable, Equatable {
    public var network = 0.0
    /// Waiting for windows that were not decoded yet.
    public var decoding = 0.0
    /// Putting windows together and writing the map.
    public var stitching = 0.0
    /// From the map to the mask.
    public var mask = 0.0
    public var windows = 0
  }

  public enum Outcome: Equatable {
    /// All map rows are on disk.
    case finished
    /// Stopped; what is done is on disk.
    case interrupted
  }

  private let session: InferenceSession
  /// What probabilities depend on beside the options: nothing where products are fp32's, as they were before others were to be had.
  var arithmeticSettings: String {
    let arithmetic = session.backend.traits.arithmetic
    return arithmetic == .fp32 ? "" : "\(arithmetic.rawValue), "
  }
  /// Side of the network's input.
  public let side: Int
  /// What the model file holds, in a word; probabilities of another model are no use.
  let modelDigest: String
  public let options: SegmentationOptions

  public init(_ session: InferenceSession, side: Int, modelDigest: String, options: SegmentationOptions) {
    self.session = session
    self.side = side
    self.modelDigest = modelDigest
    self.options = options
  }

  /// The slide as the model sees it: a window is `side` canvas pixels.
  func canvas(_ slide: any SlideSource, scale: Double) -> SlideCanvas {
    SlideCanvas(slide, downsample: Double(options.patchSize) * scale / Double(side))
  }

  /// Fills the map from where it stands.
  ///
  /// - Parameters:
  ///   - surroundings: where the slide was not scanned.
  ///   - tissue: where to look; `nil` for everywhere.
  func fill(
    _ map: MapFile, canvas: SlideCanvas, surroundings: TissueMap, tissue: TissueMap?, timing: inout Timing,
    shouldStop: () -> Bool,
    progress: (Int, Int) -> Void
  ) throws -> Outcome {
    let stride = max(1, side - Int((options.overlap * Double(side)).rounded()))
    let grid = PatchGrid(width: canvas.width, height: canvas.height, patch: side, stride: stride, edge: options.edge)
    let f = canvas.downsample
    var windows: [(x: Int, y: Int)] = []
    for y in grid.rows where y + side > map.rowCount {
      for x in grid.columns {
        let size = Double(side) * f
        if let tissue, !tissue.touches(x: Double(x) * f, y: Double(y) * f, width: size, height: size) { continue }
        windows.append((x, y))
      }
    }

    let batch = max(1, min(options.batch, windows.count)), plane = side * side
    let batches = (windows.count + batch - 1) / batch
    let all = windows, side = side, mirrors = options.mirrorsOutside && surroundings.hasOutside
    let pipeline = OrderedPipeline(count: batches, threads: options.threads, depth: options.threads + 1) {
      number, _ -> Result<Windows, SlideError> in
      do throws(SlideError) {
        // The last batch is filled with black: another shape would need another plan.
        var values = [Float](repeating: 0, count: batch * 3 * plane)
        var outside = [[Bool]](repeating: [], count: batch)
        for i in 0..<min(batch, all.count - number * batch) {
          let window = all[number * batch + i]
          var image = try canvas.read(x: window.x, y: window.y, width: side, height: side)
          if mirrors {
            outside[i] = surroundings.outside(image, of: canvas, x: window.x, y: window.y)
            if !outside[i].isEmpty { image.mirror(over: outside[i]) }
          }
          Self.planes(image, into: &values, at: i * 3 * plane)
        }
        return .success(Windows(images: values, outside: outside))
      } catch {
        return .failure(error)
      }
    }

    var inference = WindowInference(session: session, side: side, batch: batch, views: options.views)
    var stitcher = Stitcher(
      width: canvas.width, height: canvas.height, side: side, blend: options.blend,
      voteThreshold: Float(options.threshold), startRow: map.rowCount)
    let cells = tissue?.columns(of: canvas)
    func keep(_ row: Int, _ bytes: UnsafeMutableBufferPointer<UInt8>) throws {
      // Beyond the tissue there is nothing, whichever windows were looked at: so the stride leaves no trace.
      if let tissue, let cells {
        let start = tissue.row(of: row, in: canvas) * tissue.width
        tissue.cells.withUnsafeBufferPointer { isTissue in
          for x in 0..<bytes.count where isTissue[start + Int(cells[x])] == 0 { bytes[x] = 0 }
        }
      }
      try map.append(bytes)
    }

    var lastFlush = monotonicSeconds()
    for number in 0..<batches {
      // A process that is killed loses seconds.
      if monotonicSeconds() - lastFlush > 5 {
        try map.flush()
        lastFlush = monotonicSeconds()
      }
      if shouldStop() {
        try map.flush()
        return .interrupted
      }
      var start = monotonicSeconds()
      guard let decoded = try pipeline.next()?.get() else { break }
      timing.decoding += monotonicSeconds() - start
      start = monotonicSeconds()
      var probabilities = try inference.probabilities(decoded.images)
      timing.network += monotonicSeconds() - start
      start = monotonicSeconds()
      for i in 0..<min(batch, windows.count - number * batch) {
        let window = windows[number * batch + i]
        for (pixel, isOutside) in decoded.outside[i].enumerated() where isOutside { probabilities[i * plane + pixel] = 0 }
        try stitcher.finish(upTo: window.y, keep)
        probabilities.withUnsafeBufferPointer { values in
          stitcher.add(UnsafeBufferPointer(rebasing: values[i * plane..<(i + 1) * plane]), x: window.x, y: window.y)
        }
        timing.windows += 1
      }
      timing.stitching += monotonicSeconds() - start
      progress(min(windows.count, (number + 1) * batch), windows.count)
    }
    let start = monotonicSeconds()
    try stitcher.finish(upTo: canvas.height, keep)
    try map.flush()
    timing.stitching += monotonicSeconds() - start
    return .finished
  }

  /// A batch of decoded windows: planes (N, 3, H, W), and for each window its pixels outside the scan (empty for none).
  private struct Windows: Sendable {
    let images: [Float]
    let outside: [[Bool]]
  }

  /// Bytes (H, W, 3) as planes (3, H, W) of 0…1.
  private static func planes(_ image: PixelBuffer, into values: inout [Float], at start: Int) {
    let plane = image.width * image.height
    image.bytes.withUnsafeBufferPointer { bytes in
      values.withUnsafeMutableBufferPointer { values in
        for i in 0..<plane {
          values[start + i] = Float(bytes[3 * i]) / 255
          values[start + plane + i] = Float(bytes[3 * i + 1]) / 255
          values[start + 2 * plane + i] = Float(bytes[3 * i + 2]) / 255
        }
      }
    }
  }

  /// The mask of a finished map at `downsample` level-0 pixels a pixel, before post-processing.
  func mask(_ map: MapFile, canvas: SlideCanvas, downsample: Double = 1) throws -> RunMask {
    let isVote = options.blend == .vote
    let source = canvas.source
    let upsampler = MapUpsampler(
      mapWidth: map.width, mapHeight: map.height, factor: canvas.downsample / downsample,
      width: downsample == 1 ? source.width : SlideCanvas.size(source.width, downsample),
      height: downsample == 1 ? source.height : SlideCanvas.size(source.height, downsample),
      limit: isVote ? Float(Stitcher.voteLimit) : Float(options.threshold * 255), isNearest: isVote)
    var mask = try upsampler.mask { try map.row($0) }
    try mask.requireMask(source.path)
    mask.complete()
    return mask
  }
}
