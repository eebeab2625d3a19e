public import Datasets
import Slides
import Engine
import Foundation
import Randomness

/// A model over many slides, into one folder, which several processes may share.
public struct SegmentationRun {
  public enum SlideOutcome: Sendable {
    /// Segmented now, or earlier with the same settings.
    case finished(SlideSummary, wasDone: Bool)
    /// Another process has it.
    case busy
    /// One sentence that names the file.
    case failed(String)
  }

  private let segmenter: SlideSegmenter
  private let folder: String
  /// Replaces results of other settings, where they would be an error.
  private let overwrites: Bool

  public init(_ segmenter: SlideSegmenter, folder: String, overwrites: Bool = false) {
    self.segmenter = segmenter
    self.folder = folder
    self.overwrites = overwrites
  }

  /// Segments slides one after another; one that fails does not stop the others.
  ///
  /// - Parameters:
  ///   - progress: the slide's name, windows done and in all.
  ///   - report: called as each slide is done.
  /// - Returns: whether it was stopped; the same call goes on.
  public func run(
    _ slides: [SlideCase], shouldStop: () -> Bool, progress: (String, Int, Int) -> Void,
    report: (SlideCase, SlideOutcome) throws -> Void
  ) throws -> Bool {
    if let double = Dictionary(grouping: slides, by: \.caseName).values.first(where: { $0.count > 1 }) {
      throw RunError.request(
        "\(double[0].path) and \(double[1].path) have one name: segment them into folders of their own")
    }
    for slide in slides {
      if shouldStop() { return true }
      let outcome: SlideOutcome
      do {
        guard let found = try segment(slide, shouldStop: shouldStop, progress: progress) else { return true }
        outcome = found
      } catch let error as EngineError {
        // The device or its memory: the next slide would end the same way.
        throw error
      } catch {
        let text = "\(error)"
        outcome = .failed(text.contains(slide.path) ? text : "\(slide.path): \(text)")
      }
      try report(slide, outcome)
    }
    return false
  }

  /// `nil` where it was stopped.
  private func segment(
    _ slide: SlideCase, shouldStop: () -> Bool, progress: (String, Int, Int) -> Void
  ) throws -> SlideOutcome? {
    let options = segmenter.options
    let outputs = SlideOutputs(folder: folder, name: slide.caseName)
    let source = try Slide.open(slide.path)
    let scale = try options.scale(of: source, group: slide.group)
    let smallest = try options.pixels(options.smallestObject, on: source, scale: scale, option: "--min-object")
    let hole = try options.pixels(options.largestHole, on: source, scale: scale, option: "--fill-holes")
    let mapSettings =
      "model \(segmenter.modelDigest), \(options.mapSettings(side: segmenter.side, scale: scale)), "
      + segmenter.arithmeticSettings
      + "slide \(source.width) x \(source.height) of \(fileStamp(slide.path))"
    let settings = mapSettings + ", " + options.resultSettings

    func known() throws -> SlideOutcome? {
      guard let summary = outputs.finishedSummary() else { return nil }
      if summary.settings == settings { return .finished(summary, wasDone: true) }
      guard overwrites else {
        throw RunError.file(
          path: outputs.summary,
          problem: "holds results of another model or other options: choose another folder, or 'glomseg segment --overwrite'")
      }
      return nil
    }
    if let outcome = try known() { return outcome }
    // Also where results are replaced: a mask drawn by hand is none.
    if let foreign = outputs.foreignFile() {
      throw RunError.file(
        path: foreign,
        problem:
          "was not written by 'glomseg segment', which would write its own there: choose another folder with -o, or move it away")
    }
    let canvas = segmenter.canvas(source, scale: scale)
    guard let map = try MapFile.open(outputs.map, width: canvas.width, height: canvas.height, settings: mapSettings)
    else { return .busy }
    // Another process may have finished it just now.
    if let outcome = try known() {
      map.remove()
      return outcome
    }

    var timing = SlideSegmenter.Timing()
    var start = monotonicSeconds()
    let tissue = try TissueMap(source)
    // A glomerulus at the border of the tissue is white inside: a tenth of a window is far enough to reach it all.
    let reach = Int((Double(options.patchSize) * scale / 10 / tissue.downsample).rounded(.up))
    timing.decoding += monotonicSeconds() - start
    let outcome = try segmenter.fill(
      map, canvas: canvas, surroundings: tissue, tissue: options.skipsEmpty ? tissue.grown(by: reach) : nil, timing: &timing,
      shouldStop: shouldStop, progress: { progress(slide.caseName, $0, $1) })
    guard outcome == .finished else { return nil }

    start = monotonicSeconds()
    var mask = try segmenter.mask(map, canvas: canvas)
    mask.fillHoles(upTo: hole)
    mask.removeObjects(smallerThan: smallest)
    let objects = MaskObjects(mask)
    outputs.removeSummary()
    try outputs.write(
      mask, objects: objects, slide: source, simplification: options.simplification, threads: options.threads)
    timing.mask = monotonicSeconds() - start

    let own = source.micronsPerPixel.map { $0 * $0 / 1e6 }
    let area = mask.area
    let summary = SlideSummary(
      slide: slide.path, width: source.width, height: source.height, microns_per_pixel: source.micronsPerPixel,
      objective_power: source.objectivePower, glomeruli: objects.objects.count, glomerular_area_px: area,
      tissue_area_px: tissue.area, glomerular_area_mm2: own.map { Double(area) * $0 },
      tissue_area_mm2: own.map { tissue.area * $0 },
      density_per_mm2: tissue.area > 0 ? own.map { Double(objects.objects.count) / (tissue.area * $0) } : nil,
      settings: settings, seconds: timing)
    try outputs.write(summary)
    map.remove()
    return .finished(summary, wasDone: false)
  }
}

extension SegmentationOptions {
  /// Level-0 pixels in a pixel of the patches.
  func scale(of slide: any SlideSource, group: String) throws(SlideError) -> Double {
    var options = PatchingOptions()
    options.magnification = magnification
    return try options.scale(of: slide, group: group)
  }
}

/// A file's bytes in 16 digits (FNV-1a): enough to tell two models apart.
public func fileDigest(_ path: String) throws(RunError) -> String {
  guard let data = FileManager.default.contents(atPath: path) else {
    throw .file(path: path, problem: "cannot be read")
  }
  return data.withUnsafeBytes { StableHash($0).digits }
}
