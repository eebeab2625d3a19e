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
      discussion: "The same seed gives the same files. Example: glomseg data synth data --patch 128 --seed 7")

    @Argument(help: "Folder to write into.") var folder: String
    @Option(help: "Side of the patches.") var patch = 256
    @Option(help: "Patches in the train split.") var train = 40
    @Option(help: "Patches in the validation split.") var validation = 10
    @Option(help: "Patches in the test split.") var test = 10
    @Option(help: "Seed.") var seed: UInt64 = 1

    func run() throws {
      try failing {
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
