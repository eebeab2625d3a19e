import ArgumentParser
import Datasets
import Engine
import Foundation
import Host
import Logging
import Runs
import Slides

/// `glomseg patch`.
struct PatchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "patch", abstract: "Cut slides and their masks into patches to train on.",
    discussion: """
      SLIDES are files or folders. A slide's mask is a TIFF, PNG or GeoJSON beside it:
        <group>/<case>_wsi.tiff            <group>/<case>_mask.tiff
        <group>/image_wsi/<case>_wsi.tiff  <group>/mask_wsi/<case>_mask.tiff
        <group>/<case>.svs                 <group>/<case>.geojson  (of QuPath)
      Folders train, validation or test above them become the patches' splits.

      The patches go where 'glomseg train' finds them:
        DIR/<split>/<group>/<case>/img/<group>_<case>_<index>_<x>_<y>_img.jpg
      index counts all grid positions row by row; x and y are the patch's left and upper border in level-0 pixels. \
      manifest.csv lists every position, kept or why not.

      Interrupted, the same command goes on. The same options give the same files.

      Example: glomseg patch slides --preset kpis -o patches
      """)

  @Argument(help: "Slides, or folders of them.") var slides: [String]
  @Option(name: [.customShort("o"), .long], help: "Folder of the data set.") var output: String
  @Option(help: "Side of a patch, in its own pixels (2048).") var patchSize: Int?
  @Option(help: "What two neighbours have in common: pixels, or percent of the side (50%).") var overlap: Amount?
  @Option(help: "Where the grid does not end at the border: shift moves the last patch back, pad adds black, drop leaves it out.")
  var edge = PatchGrid.Edge.shift
  @OptionGroup var magnification: MagnificationOptions
  @Option(help: "Least share of mask pixels in a patch, percent or 0 to 1; 0 keeps all.") var minPositive = Amount(share: 0.01)
  @Option(help: "Least share of tissue in a patch, percent or 0 to 1: neither black, nor glass, nor grey.")
  var minTissue = Amount(share: 0)
  @Option(help: "Keep this share of the patches below --min-positive.") var keepNegatives = Amount(share: 0)
  @Option(help: "Seed of that choice.") var seed: UInt64 = 0
  @Option(help: "jpg or png.") var format = PatchingOptions.Format.jpg
  @Option(help: "Quality of JPEG images, 1 to 100.") var quality = 90
  @Option(help: "The mask, where there is one slide and it lies elsewhere.") var mask: String?
  @Option(help: "Group of the slides, instead of their folder's name.") var group: String?
  @Option(help: "Split of slides that lie in no folder named as one.") var split = Split.train
  @Option(help: "Threads (all processors).") var threads: Int?

  func validate() throws {
    guard !slides.isEmpty else { throw ValidationError("Name at least one slide or folder.") }
    if let patchSize, !(16...16384).contains(patchSize) { throw ValidationError("--patch-size should be from 16 to 16384.") }
    let side = patchSize ?? 2048
    if let overlap, overlap.pixels(of: side) >= side { throw ValidationError("--overlap should be less than the patch.") }
    guard edge != .moveLast else { throw ValidationError("--edge should be shift, pad or drop.") }
    for (name, amount) in [("--min-positive", minPositive), ("--min-tissue", minTissue), ("--keep-negatives", keepNegatives)]
    where amount.share > 1 { throw ValidationError("\(name) should be from 0 to 1, or from 0% to 100%.") }
    guard (1...100).contains(quality) else { throw ValidationError("--quality should be from 1 to 100.") }
    if let threads, threads < 1 { throw ValidationError("--threads should be at least 1.") }
  }

  func run() throws {
    try failing {
      var options = PatchingOptions()
      options.patchSize = patchSize ?? 2048
      options.overlap = overlap?.pixels(of: options.patchSize) ?? options.patchSize / 2
      options.edge = edge
      options.magnification = try magnification.magnification()
      options.minimumPositive = minPositive.share
      options.minimumTissue = minTissue.share
      options.keptNegatives = keepNegatives.share
      options.seed = seed
      options.format = format
      options.quality = quality
      options.split = split
      options.threads = threads ?? Processors.available
      let cases = try SlideSet.find(slides, mask: mask, group: group)
      try magnification.requireGroups(cases.map(\.group))
      Interrupt.install()
      let bar = CountProgress(unit: "positions")
      let report = try SlidePatching.run(
        cases, to: output, options: options, shouldStop: { Interrupt.isRequested },
        progress: { bar.show($0.slide, done: $0.done, all: $0.all) })
      bar.clear()
      for failure in report.failures { log.warning("\(failure)") }
      if report.wasInterrupted {
        log.notice("stopped, all saved; the same command goes on")
        return
      }
      print(
        "\(output): \(report.kept) patches of \(report.positions) positions on \(report.slides) slides "
          + "(\(report.fewPositives) with few positives, \(report.littleTissue) with little tissue left out)")
      if !report.failures.isEmpty {
        throw RunError.request("\(report.failures.count) of \(cases.count) slides could not be cut; they are named above")
      }
    }
  }
}
