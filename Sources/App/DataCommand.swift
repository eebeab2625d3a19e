import ArgumentParser
import Datasets
import Engine
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
        if slide {
          var options = SlideSynthesis.Options(width: size, height: size, seed: seed)
          options.threads = processorCount
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
  }

  struct InspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "inspect", abstract: "Decode a whole data set, count what is in it and list what is wrong.",
      discussion: "Exits 1 where anything is wrong. Example: glomseg data inspect data")

    @Argument(help: "Folder of the data set.") var folder: String

    func run() throws {
      try failing {
        let data = try loadDataset(folder, skipBad: true)
        print(data.summary)
        if !data.faults.isEmpty {
          printError("glomseg: \(folder): \(data.faults.count) of its files cannot be used; they are listed above")
          throw ExitCode.failure
        }
      }
    }
  }
}
