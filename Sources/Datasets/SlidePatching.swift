import Images
import Randomness
import Slides
import Synchronization
import Threads

/// Cuts slides into patches in the layout that training reads.
///
/// ```
/// slide ▶ canvas at the patches' magnification ▶ grid ▶ each position, on several threads:
///   share of mask pixels   too few, and not among the negatives that are kept: noted, not decoded
///   picture, tissue share  too little: noted
///   image and mask         <split>/<group>/<case>/{img,mask}/<group>_<case>_<index>_<x>_<y>_{img,mask}.jpg
/// manifest.csv             every position, kept or why not
/// ```
public enum SlidePatching {
  public struct Progress: Sendable {
    public let slide: String
    public let done: Int
    public let all: Int
  }

  public struct Report: Sendable, Equatable {
    public var slides = 0
    public var positions = 0
    public var kept = 0
    public var fewPositives = 0
    public var littleTissue = 0
    /// Slides that could not be cut, one sentence each.
    public var failures: [String] = []
    public var wasInterrupted = false
  }

  /// Cuts every slide; one that cannot be read is reported and the others go on.
  ///
  /// - Parameter shouldStop: asked before each patch, on any thread; a later call with the same options goes on.
  /// - Throws: where the folder cannot be written or holds patches of other options.
  public static func run(
    _ slides: [SlideCase], to folder: String, options: PatchingOptions, shouldStop: @escaping @Sendable () -> Bool = { false },
    progress: @escaping @Sendable (Progress) -> Void = { _ in }
  ) throws(DatasetError) -> Report {
    let manifest = try PatchManifest(folder: folder, settings: options.description)
    var report = Report()
    for slide in slides where !report.wasInterrupted {
      do throws(DatasetError) {
        let finished = try cut(
          slide, to: folder, options: options, manifest: manifest, shouldStop: shouldStop, progress: progress)
        if !finished { report.wasInterrupted = true }
        let records = manifest.records(of: slide.name(options))
        report.slides += 1
        report.positions += records.count
        report.kept += records.values.count { $0.outcome == .kept }
        report.fewPositives += records.values.count { $0.outcome == .fewPositives }
        report.littleTissue += records.values.count { $0.outcome == .littleTissue }
      } catch {
        report.failures.append(error.description)
        // Half a slide is not to be trained on unnoticed.
        try manifest.forget(slide.name(options))
      }
    }
    if !report.wasInterrupted { try manifest.finish() }
    return report
  }

  /// False when it was stopped.
  private static func cut(
    _ slide: SlideCase, to folder: String, options: PatchingOptions, manifest: PatchManifest,
    shouldStop: @escaping @Sendable () -> Bool, progress: @escaping @Sendable (Progress) -> Void
  ) throws(DatasetError) -> Bool {
    guard let maskPath = slide.maskPath else {
      throw .option(
        "\(slide.path): it has no mask: \(slide.caseName)_mask.tiff, .png or .geojson should lie beside it, or give --mask")
    }
    let job: Job
    do throws(SlideError) {
      let source = try Slide.open(slide.path)
      let scale = try options.scale(of: source, group: slide.group)
      let mask = try RunMask.read(maskPath, width: source.width, height: source.height, threads: options.threads)
      let canvas = SlideCanvas(source, downsample: scale)
      job = Job(
        slide: slide, name: slide.name(options), canvas: canvas, mask: mask.scaled(downsample: scale),
        grid: PatchGrid(
          width: canvas.width, height: canvas.height, patch: options.patchSize,
          stride: options.patchSize - options.overlap, edge: options.edge),
        options: options, folder: folder)
    } catch {
      throw .slide(error)
    }
    do throws(ImageError) {
      try FileBytes.makeFolder("\(folder)/\(job.name)/img")
      try FileBytes.makeFolder("\(folder)/\(job.name)/mask")
    } catch {
      throw .image(error)
    }

    try manifest.begin(job.name, stamp: "\(fileStamp(slide.path)); mask \(fileStamp(maskPath))")
    let known = manifest.records(of: job.name)
    let missing = (0..<job.grid.count).filter { known[$0] == nil }
    let all = job.grid.count
    let failure = Monitor<DatasetError?>(nil)
    let stopped = Flag()
    let done = Monitor(all - missing.count)
    Parallel.forEach(missing.count, threads: options.threads) { i in
      if stopped.isSet || shouldStop() { return stopped.set() }
      do throws(DatasetError) {
        try manifest.add(job.record(missing[i]))
        done.change { count in
          count += 1
          progress(Progress(slide: job.name, done: count, all: all))
        }
      } catch {
        failure.change { $0 = $0 ?? error }
        stopped.set()
      }
    }
    if let error = failure.change({ $0 }) { throw error }
    return !stopped.isSet
  }

  private final class Flag: Sendable {
    private let value = Atomic<Bool>(false)
    var isSet: Bool { value.load(ordering: .relaxed) }
    func set() { value.store(true, ordering: .relaxed) }
  }

  private struct Job: Sendable {
    let slide: SlideCase
    let name: String
    let canvas: SlideCanvas
    let mask: RunMask
    let grid: PatchGrid
    let options: PatchingOptions
    let folder: String

    /// Looks at a position and writes its patch, where it is kept.
    func record(_ index: Int) throws(DatasetError) -> PatchRecord {
      let (x, y) = grid[index]
      let side = options.patchSize
      // What lies beyond the slide counts as background.
      let positive = Double(mask.area(x: x, y: y, width: side, height: side)) / Double(side * side)
      func outcome(_ outcome: PatchRecord.Outcome, tissue: Double? = nil, image: String = "") -> PatchRecord {
        PatchRecord(
          slide: name, index: index, x: Int((Double(x) * canvas.downsample).rounded()),
          y: Int((Double(y) * canvas.downsample).rounded()), positive: positive, tissue: tissue, outcome: outcome, image: image)
      }
      if positive < options.minimumPositive && !keepsNegative(index) { return outcome(.fewPositives) }
      let image: PixelBuffer
      do throws(SlideError) { image = try canvas.read(x: x, y: y, width: side, height: side) } catch { throw .slide(error) }
      let tissue = TissueMap.fraction(image)
      if tissue < options.minimumTissue { return outcome(.littleTissue, tissue: tissue) }

      let kept = outcome(.kept)
      let stem = "\(slide.group)_\(slide.caseName)_\(index)_\(kept.x)_\(kept.y)"
      let path = "\(name)/img/\(stem)_img.\(options.format.rawValue)"
      do throws(ImageError) {
        switch options.format {
        case .jpg: try ImageFile.writeJPEG(image, to: "\(folder)/\(path)", quality: options.quality)
        case .png: try ImageFile.writePNG(image, to: "\(folder)/\(path)")
        }
        try writeMask(maskImage(x, y), stem: "\(folder)/\(name)/mask/\(stem)_mask")
      } catch {
        throw .image(error)
      }
      return outcome(.kept, tissue: tissue, image: path)
    }

    /// A draw of the slide's and the position's own, so that neither order nor threads matter.
    private func keepsNegative(_ index: Int) -> Bool {
      guard options.keptNegatives > 0 else { return false }
      var random = RandomSource(seed: options.seed, StableHash(name.utf8).value, UInt64(index))
      return random.unit() < options.keptNegatives
    }

    private func maskImage(_ x: Int, _ y: Int) -> PixelBuffer {
      let side = options.patchSize
      var image = PixelBuffer(width: side, height: side, channels: 1)
      image.bytes.withUnsafeMutableBufferPointer { bytes in
        for row in 0..<max(0, min(side, mask.height - y)) {
          mask.draw(
            row: y + row, from: x,
            into: UnsafeMutableBufferPointer(rebasing: bytes[row * side..<(row + 1) * side]))
        }
      }
      return image
    }

    /// As JPEG, as in the challenge, where the threshold gives every pixel back; else as PNG.
    private func writeMask(_ mask: PixelBuffer, stem: String) throws(ImageError) {
      if options.format == .jpg {
        let bytes = try ImageFile.encodeJPEG(mask, quality: 95, name: stem + ".jpg")
        let decoded = try ImageFile.read(bytes: bytes, name: stem + ".jpg", channels: 1)
        if zip(decoded.bytes, mask.bytes).allSatisfy({ ($0 >= PatchSample.foregroundThreshold) == ($1 > 0) }) {
          return try FileBytes.write(bytes, to: stem + ".jpg")
        }
      }
      try ImageFile.writePNG(mask, to: stem + ".png")
    }
  }
}

extension SlideCase {
  /// `<split>/<group>/<case>`.
  fileprivate func name(_ options: PatchingOptions) -> String { "\((split ?? options.split).rawValue)/\(group)/\(caseName)" }
}
