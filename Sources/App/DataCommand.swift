import ArgumentParser
import Datasets
import Engine
import Foundation
import Host
import Images
import Logging
import Runs

/// `glomseg data`.
struct DataCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "data", abstract: "Make a synthetic data set, or look into one.",
    subcommands: [SynthCommand.self, InspectCommand.self])

  struct SynthCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "synth", abstract: "Write a synthetic data set: PAS-like tissue with glomeruli and their masks.",
      discussion: """
        The same seed gives the same files. With --slide it is one whole slide instead, synthetic_wsi.tiff with \
        synthetic_mask.tiff: cores of tissue on glass, with a pyramid.

        Example: glomseg data synth data --patch 128 --seed 7
        Example: glomseg data synth slides --slide --size 40000
        """)

    @Argument(help: "Folder to write into.") var folder: String
    @Option(help: "Side of the patches.") var patch = 256
    @Option(help: "Patches in the train split.") var train = 40
    @Option(help: "Patches in the validation split.") var validation = 10
    @Option(help: "Patches in the test split.") var test = 10
    @Option(help: "Seed.") var seed: UInt64 = 1
    @Flag(help: "Write a whole slide and its mask.") var slide = false
    @Option(help: "Width and height of the slide, pixels.") var size = 8000

    func run() throws {
      try failing {
        let (settings, taken) =
          slide
          ? ("slide of \(size) x \(size) pixels, seed \(seed)", ["synthetic_wsi.tiff", "synthetic_mask.tiff"])
          : (
            "patches of \(patch) x \(patch) pixels: \(train), \(validation) and \(test), seed \(seed)",
            ["train", "validation", "test"]
          )
        try Self.claim(folder, settings, taken)
        if slide {
          var options = SlideSynthesis.Options(width: size, height: size, seed: seed)
          options.threads = Processors.available
          let bar = CountProgress(unit: "rows of tiles")
          try SlideSynthesis.write(to: folder, name: "synthetic", options: options) { bar.show("slide", done: $0, all: $1) }
          bar.clear()
          print("\(folder): synthetic_wsi.tiff, synthetic_mask.tiff")
          return
        }
        let count = try Synthesis.write(
          to: folder,
          options: .init(
            patchSize: patch, trainCount: train, validationCount: validation, testCount: test, seed: seed))
        print("\(count) patches in \(folder)")
      }
    }

    /// Notes in the folder what is drawn there.
    ///
    /// - Throws: where something else lies under the names that would be written: a data set of real patches, or one drawn otherwise.
    private static func claim(_ folder: String, _ settings: String, _ names: [String]) throws {
      let note = folder + "/synthetic.txt"
      let known = (try? String(contentsOfFile: note, encoding: .utf8)) ?? ""
      let isSame = known.split(separator: "\n").contains { $0 == settings }
      if !isSame, let taken = names.first(where: { FileManager.default.fileExists(atPath: folder + "/" + $0) }) {
        throw RunError.file(
          path: folder + "/" + taken, problem: "is there already, and not of these settings: choose another folder, or delete it")
      }
      guard !isSame else { return }
      try makeFolder(folder)
      try FileBytes.write(Array((known + settings + "\n").utf8), to: note)
    }
  }

  struct InspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "inspect", abstract: "Decode a whole data set, count what is in it and list what is wrong.",
      discussion: """
        Per split, group and case: patches, empty masks, size, share of foreground, background to foreground (which is \
        the --pos-weight that balances them), and the median width of whole glomeruli. Then pictures that are there \
        twice, and signs of mixed magnifications.

        Exits 1 where anything is wrong: files that cannot be read, images without masks, masks of other sizes.

        Example: glomseg data inspect data --sheet sheet.png --csv counts.csv
        """)

    @Argument(help: "Folder of the data set.") var folder: String
    @Option(help: "Draw patches of each group with their masks' outlines into this PNG file.") var sheet: String?
    @Option(help: "Write the table to this CSV file.") var csv: String?

    func run() throws {
      try failing {
        let data = try loadDataset(folder, skipBad: true)
        print(data.summary)
        let inspection = DatasetInspection(data)
        let header = ["", "patches", "empty", "size", "foreground", "pos_weight", "glomerulus px"]
        func cells(_ row: DatasetInspection.Row) -> [String] {
          [
            "\(row.patches)", "\(row.emptyMasks)", row.size, String(format: "%.2f%%", 100 * row.positiveFraction),
            row.suggestedPositiveWeight.map { String(format: "%.1f", $0) } ?? "-",
            row.medianDiameter.map { "\(Int($0.rounded()))" } ?? "-",
          ]
        }
        print(
          table(
            header,
            inspection.rows.map { row in
              ["\(row.split.rawValue)/\(row.group)" + (row.caseName.map { "/" + $0 } ?? " (all)")] + cells(row)
            }))
        for same in inspection.duplicates.prefix(20) {
          print("one picture: " + same.map(\.imagePath).joined(separator: ", "))
        }
        if inspection.duplicates.count > 20 { print("… and \(inspection.duplicates.count - 20) more pictures twice") }
        for note in inspection.notes { log.warning("\(note)") }
        if let csv {
          let lines = inspection.rows.filter { $0.caseName != nil }.map { row in
            let weight = row.suggestedPositiveWeight.map { String(format: "%.3f", $0) } ?? ""
            let diameter = row.medianDiameter.map { String(format: "%.1f", $0) } ?? ""
            return CSV.line([
              row.split.rawValue, row.group, row.caseName ?? "", "\(row.patches)", "\(row.emptyMasks)", "\(row.size)",
              "\(row.foreground)", "\(row.pixels)", weight, diameter,
            ])
          }
          let head = "split,group,case,patches,empty_masks,size,foreground_px,pixels,pos_weight,glomerulus_px"
          try FileBytes.write(Array((([head] + lines).joined(separator: "\n") + "\n").utf8), to: csv)
        }
        if let sheet, !data.pairs.isEmpty {
          let drawn = try ContactSheet.draw(data)
          try ImageFile.writePNG(drawn.sheet, to: sheet)
          print("\(sheet): from the top, " + drawn.rows.joined(separator: ", "))
        }
        if !data.faults.isEmpty {
          printError("glomseg: \(folder): \(data.faults.count) of its files cannot be used; they are listed above")
          throw ExitCode.failure
        }
      }
    }
  }
}
