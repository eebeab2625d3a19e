import ArgumentParser
import Datasets
import Engine
import Runs

/// `glomseg evaluate`.
struct EvaluateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate", abstract: "Score a model on a data set: per split, group and case.",
    discussion: """
      Pixel scores are pooled over all pixels; Dice is the mean over patches. Patches are resized to the model's patch size.

      Example: glomseg evaluate runs/first data --split validation --json scores.json
      """)

  @Argument(help: "Folder of a run (its best model), or a model file.") var model: String
  @Argument(help: "Folder of the data set.") var data: String
  @Option(help: "train, validation, test, or all.") var split = "all"
  @Option(help: "Probability above which a pixel is foreground.") var threshold = 0.5
  @Option(help: "Side that patches are resized to (default: the model's).") var patch: Int?
  @Option(help: "Patches per step.") var batch = 4
  @Option(help: "auto, cpu, opencl, opencl:P:D, or part of a device's name.") var device = "auto"
  @Flag(help: "Leave out broken pairs, and list them.") var skipBad = false
  @Option(help: "Write JSON to a file, or to standard output with '-'.") var json: String?

  func validate() throws {
    guard threshold > 0, threshold < 1 else { throw ValidationError("--threshold should be between 0 and 1.") }
    guard batch > 0 else { throw ValidationError("--batch should be at least 1.") }
    guard split == "all" || Split(rawValue: split) != nil else {
      throw ValidationError("--split should be train, validation, test or all.")
    }
  }

  func run() throws {
    try failing {
      let output = try JSONOutput(path: json)
      let loaded = try LoadedModel(model, device: device, patch: patch)
      let set = try loadDataset(data, skipBad: skipBad)
      let pairs = try Split(rawValue: split).map { try set.requirePairs(in: $0) } ?? set.pairs
      let evaluation = try Evaluation.run(
        loaded.session, pairs: pairs, patch: loaded.patch, batch: min(batch, pairs.count), threshold: threshold)
      let header = ["", "patches", "accuracy", "precision", "recall", "F1", "Dice"]
      func rows(_ parts: [String: Evaluation.Part], _ kind: String) -> [[String]] {
        parts.sorted { $0.key < $1.key }.map { name, part in
          ["\(kind) \(name)", "\(part.patches)"]
            + [part.accuracy, part.precision, part.recall, part.f1, part.dice_mean].map(decimals)
        }
      }
      let pooled = evaluation.pooled
      let all =
        ["all", "\(evaluation.patches)"]
        + [pooled.accuracy, pooled.precision, pooled.recall, pooled.f1, evaluation.dice_mean].map(decimals)
      output.say(
        table(
          header,
          rows(evaluation.cases, "case") + rows(evaluation.groups, "group") + rows(evaluation.splits, "split") + [all]))
      try output.write(evaluation)
    }
  }
}

/// A model file opened on a device, with the patch size that it was trained at.
struct LoadedModel {
  let session: InferenceSession
  /// Side of the network's input.
  let patch: Int
  /// Side of the patches that it was trained on before they were resized; of old models the input's.
  let sourcePatch: Int
  let file: String

  init(_ path: String, device: String, patch: Int?) throws {
    let file = try RunDirectory.modelFile(path)
    let (model, metadata) = try Checkpoint.open(file)
    guard let side = patch ?? metadata["patch"].flatMap(Int.init) else {
      throw RunError.file(path: file, problem: "does not say its patch size: give --patch")
    }
    guard side >= 16, side % VariableUNet.sideMultiple == 0 else {
      throw RunError.setting(name: "--patch", problem: "should be a multiple of 16, not \(side)")
    }
    self.patch = side
    self.file = file
    sourcePatch = metadata["source_patch"].flatMap(Int.init) ?? side
    let backend = try chooseBackend(device)
    session = try InferenceSession(model, on: backend) { state throws(EngineError) in
      try Checkpoint.load(file, into: state)
    }
  }
}
