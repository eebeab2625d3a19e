import ArgumentParser
import Datasets
import Engine
import Foundation
import Host
import Logging
import Runs
import Slides

/// A size of objects: "20000px", "300um2" or "0.5%" of a window.
struct SizeArgument: ExpressibleByArgument {
  let size: ObjectSize

  init?(argument: String) {
    func number(_ suffix: String) -> Double? {
      guard argument.hasSuffix(suffix), let value = Double(argument.dropLast(suffix.count)), value >= 0, value.isFinite
      else { return nil }
      return value
    }
    if let value = number("um2") ?? number("µm2") ?? number("µm²") {
      size = .squareMicrons(value)
    } else if let value = number("%") {
      size = .windowShare(value / 100)
    } else if let value = number("px") ?? number("") {
      size = .pixels(value)
    } else {
      return nil
    }
  }
}

/// How windows are laid over slides and put together; shared by `segment` and `evaluate`.
struct WindowOptions: ParsableArguments {
  @Option(help: "Side of a window in pixels of the patches trained on, before they were resized (the model's; kpis: 2048).")
  var patchSize: Int?
  @Option(help: "What two windows have in common: pixels of the patch, or percent (25%; kpis: 50%).") var overlap: Amount?
  @OptionGroup var magnification: MagnificationOptions
  @Option(help: "How overlapping windows are put together: gaussian, flat, or vote (more than one; the challenge's).")
  var blend: Stitcher.Blend?
  @Option(help: "Views of each window whose mean is taken: 1, 2 (mirrored), 4 (flipped), 8 (turned too).") var tta = 1
  @Flag(help: "Look at windows without tissue, too.") var everywhere = false
  @Option(help: "Smallest glomerulus: px of level 0, um2, or % of a window (0.5%).") var minObject: SizeArgument?
  @Option(help: "Largest hole that is filled: px, um2 or % (0.5%).") var fillHoles: SizeArgument?
  @Option(help: "Threads that decode ahead of the network (all processors but one).") var threads: Int?

  func validate() throws {
    if let patchSize, !(16...65536).contains(patchSize) { throw ValidationError("--patch-size should be from 16 to 65536.") }
    if let overlap, overlap.isShare ? overlap.share >= 1 : overlap.value >= Double(patchSize ?? 65536) {
      throw ValidationError("--overlap should be less than the window.")
    }
    guard [1, 2, 4, 8].contains(tta) else { throw ValidationError("--tta should be 1, 2, 4 or 8.") }
    if let threads, threads < 1 { throw ValidationError("--threads should be at least 1.") }
  }

  /// The first of these that was given: nil where none was.
  var given: String? {
    let all: [(String, Bool)] = [
      ("--patch-size", patchSize != nil), ("--overlap", overlap != nil), ("--scale", magnification.scale != nil),
      ("--mpp", magnification.mpp != nil), ("--preset", magnification.preset != nil), ("--blend", blend != nil),
      ("--tta", tta != 1),
      ("--everywhere", everywhere), ("--min-object", minObject != nil), ("--fill-holes", fillHoles != nil),
      ("--threads", threads != nil),
    ]
    return all.first { $0.1 }?.0
  }

  /// - Parameter sourcePatch: what the model says it was trained on.
  func options(sourcePatch: Int, threshold: Double, batch: Int) throws -> SegmentationOptions {
    var options = SegmentationOptions()
    let isChallenge = magnification.preset == .kpis
    options.patchSize = patchSize ?? (isChallenge ? 2048 : sourcePatch)
    let common = overlap ?? Amount(share: isChallenge ? 0.5 : 0.25)
    options.overlap = common.isShare ? common.share : common.value / Double(options.patchSize)
    guard options.overlap < 1 else {
      throw RunError.setting(name: "--overlap", problem: "should be less than the window of \(options.patchSize) pixels")
    }
    options.magnification = try magnification.magnification()
    options.blend = blend ?? .gaussian
    options.threshold = threshold
    options.views = tta
    options.skipsEmpty = !everywhere
    if let minObject { options.smallestObject = minObject.size }
    if let fillHoles { options.largestHole = fillHoles.size }
    options.batch = batch
    options.threads = threads ?? max(1, Processors.available - 1)
    return options
  }
}

/// `glomseg segment`.
struct SegmentCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "segment", abstract: "Find glomeruli on whole slides: masks, polygons, tables.",
    discussion: """
      Each slide gets, in the output folder,
        <slide>_mask.tiff       0 and 255 at level 0, a pyramid
        <slide>.geojson         a polygon a glomerulus in level-0 pixels, for QuPath
        <slide>_glomeruli.csv   area, centroid, bounding box, mean probability
        <slide>_overview.png    the slide in small, with outlines
        <slide>.json            count, tissue area, density, settings, times

      A window has the size of the patches that the model was trained on. Where those were cut at another \
      magnification than the slide's level 0, say so with --scale or --mpp, as for 'glomseg patch'.

      Interrupted, the same command goes on. Several processes may work on one folder: none does what another has done \
      or is doing. A slide that cannot be read is named at the end, and the others are done.

      Example: glomseg segment runs/first slides --preset kpis -o segmented
      """)

  @Argument(help: "Folder of a run (its best model), or a model file.") var model: String
  @Argument(help: "Slides, or folders of them.") var slides: [String]
  @Option(name: [.customShort("o"), .long], help: "Folder to write into.") var output: String
  @OptionGroup var windows: WindowOptions
  @Option(help: "Probability above which a pixel is foreground.") var threshold = 0.5
  @Option(help: "How far polygons may lie from the mask's outline, in level-0 pixels; 0 keeps every corner.") var simplify = 1.0
  @Option(help: "Windows per step of the network.") var batch = 4
  @Option(help: "Side of the network's input (default: the model's).") var patch: Int?
  @Option(help: "auto, gpu, cpu, opencl, opencl:P:D, or part of a device's name.") var device = "auto"
  @Option(help: precisionHelp) var precision: Precision = .fp32
  @Flag(help: "Replace results of another model or other options.") var overwrite = false

  func validate() throws {
    guard !slides.isEmpty else { throw ValidationError("Name at least one slide or folder.") }
    guard threshold > 0, threshold < 1 else { throw ValidationError("--threshold should be between 0 and 1.") }
    guard simplify >= 0, simplify.isFinite else { throw ValidationError("--simplify should be at least 0.") }
    guard batch > 0 else { throw ValidationError("--batch should be at least 1.") }
  }

  func run() throws {
    try failing {
      let cases = try SlideSet.find(slides)
      try windows.magnification.requireGroups(cases.map(\.group))
      try makeFolder(output)
      let loaded = try LoadedModel(model, device: device, precision: precision, patch: patch)
      var options = try windows.options(sourcePatch: loaded.sourcePatch, threshold: threshold, batch: batch)
      options.simplification = simplify
      let segmenter = SlideSegmenter(
        loaded.session, side: loaded.patch, modelDigest: try fileDigest(loaded.file), options: options)
      Interrupt.install()
      let bar = CountProgress(unit: "windows")
      var failures = 0, busy: [String] = []
      let wasStopped = try SegmentationRun(segmenter, folder: output, overwrites: overwrite).run(
        cases, shouldStop: { Interrupt.isRequested }, progress: { bar.show($0, done: $1, all: $2) }
      ) { slide, outcome in
        bar.clear()
        switch outcome {
        case .finished(let summary, let wasDone):
          let density = summary.density_per_mm2.map { String(format: ", %.2f per mm² of tissue", $0) } ?? ""
          print("\(slide.caseName): \(summary.glomeruli) glomeruli\(density)\(wasDone ? " (done before)" : "")")
          flushOutput()
        case .busy: busy.append(slide.caseName)
        case .failed(let reason):
          failures += 1
          log.warning("\(reason)")
        }
      }
      bar.clear()
      if !busy.isEmpty { log.notice("left to another process: \(busy.joined(separator: ", "))") }
      if wasStopped {
        log.notice("stopped, all saved; the same command goes on")
      } else if failures > 0 {
        throw RunError.request("\(failures) of \(cases.count) slides could not be segmented; they are named above")
      }
    }
  }
}
