import ArgumentParser
import Datasets
import Engine
import Foundation
import Logging
import Runs
import Slides

/// `glomseg evaluate`.
struct EvaluateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate", abstract: "Score a model on patches or on whole slides: per split, group and case.",
    discussion: """
      On a data set of patches: accuracy, precision, recall and F1 pooled over all pixels, and the mean of the patches' \
      Dice, which is the challenge's score. Patches are resized to the model's patch size; with --native, the model's probabilities are \
      scaled up to the patch instead, so that models of different sizes are scored on the same pixels.

      On slides with masks (a slide, or a folder of them, as for 'glomseg patch'): per slide and their mean, Dice, \
      precision, recall and F1 of pixels at level 0, and precision, recall and F1 of detection: glomeruli matched one to \
      one at an IoU of 0.5 or more, holes filled. Slides are segmented as by 'glomseg segment'; -o keeps its files.

      --kpis follows the challenge's own evaluation of slides: --preset kpis, windows of half overlap, foreground where \
      more than one window votes for it, objects under 20,000 pixels dropped, anything with a partner of IoU 0.5 counts \
      as found. docs/slides.md says where it deviates.

      Example: glomseg evaluate runs/first data --split validation --json scores.json
      """)

  @Argument(help: "Folder of a run (its best model), or a model file.") var model: String
  @Argument(help: "Folder of the data set, a slide, or a folder of slides.") var data: String
  @Option(help: "train, validation, test, or all.") var split = "all"
  @Option(help: "Probability above which a pixel is foreground.") var threshold = 0.5
  @Option(help: "Side that patches are resized to (default: the model's).") var patch: Int?
  @Flag(help: "Patches: score at their own size.") var native = false
  @Option(help: "Patches or windows per step.") var batch = 4
  @Option(help: "auto, gpu, cpu, opencl, opencl:P:D, or part of a device's name.") var device = "auto"
  @Option(help: precisionHelp) var precision: Precision = .fp32
  @Flag(help: "Leave out broken pairs, and list them.") var skipBad = false
  @Option(help: "Write JSON to a file, or to standard output with '-'.") var json: String?
  @Flag(help: "Slides: the challenge's own protocol.") var kpis = false
  @Option(name: [.customShort("o"), .long], help: "Slides: keep their masks in this folder.") var output: String?
  @OptionGroup(title: "Options for slides") var windows: WindowOptions

  func validate() throws {
    guard threshold > 0, threshold < 1 else { throw ValidationError("--threshold should be between 0 and 1.") }
    guard batch > 0 else { throw ValidationError("--batch should be at least 1.") }
    guard split == "all" || Split(rawValue: split) != nil else {
      throw ValidationError("--split should be train, validation, test or all.")
    }
    if kpis, windows.overlap != nil || windows.blend != nil || threshold != 0.5 {
      throw ValidationError("--kpis fixes --overlap, --blend and --threshold.")
    }
  }

  func run() throws {
    try failing {
      let output = try JSONOutput(path: json)
      if kpis || holdsSlides {
        if native { throw RunError.request("--native is for patches: slides are scored at their own size") }
        try scoreSlides(output)
      } else {
        if let option = self.output != nil ? "-o" : windows.given {
          throw RunError.request("\(option) is for slides, and \(data) holds patches")
        }
        try scorePatches(output)
      }
    }
  }

  private var holdsSlides: Bool {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: data, isDirectory: &isFolder) else { return false }
    if !isFolder.boolValue { return true }
    // A folder of patches is no folder of slides; what is neither gets the sentence about patches.
    return (try? PatchDataset.scan(root: data)) == nil && (try? SlideSet.find([data])) != nil
  }

  private func scorePatches(_ output: JSONOutput) throws {
    let loaded = try LoadedModel(model, device: device, precision: precision, patch: patch)
    let set = try loadDataset(data, skipBad: skipBad)
    let pairs = try Split(rawValue: split).map { try set.requirePairs(in: $0) } ?? set.pairs
    let evaluation =
      native
      ? try Evaluation.atOwnSize(Predictor(loaded.session, patch: loaded.patch, threshold: threshold), pairs: pairs)
      : try Evaluation.run(
        loaded.session, pairs: pairs, patch: loaded.patch, batch: min(batch, pairs.count), threshold: threshold)
    let header = ["pooled over pixels; Dice: mean of patches", "patches", "accuracy", "precision", "recall", "F1", "Dice"]
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

  private func scoreSlides(_ json: JSONOutput) throws {
    var cases = try SlideSet.find([data])
    try windows.magnification.requireGroups(cases.map(\.group))
    if let wanted = Split(rawValue: split) { cases = cases.filter { $0.split == wanted } }
    let withMasks = cases.filter { $0.maskPath != nil }
    for slide in cases where slide.maskPath == nil { log.warning("\(slide.path): it has no mask and is left out") }
    guard !withMasks.isEmpty else {
      throw RunError.file(path: data, problem: "holds no slide with a mask\(split == "all" ? "" : " in the split \(split)")")
    }
    let loaded = try LoadedModel(model, device: device, precision: precision, patch: patch)
    var options = try windowsWithPreset.options(sourcePatch: loaded.sourcePatch, threshold: threshold, batch: batch)
    if kpis { options.takeChallengeProtocol(keepsSmallestObject: windows.minObject != nil) }
    let folder = output ?? NSTemporaryDirectory() + "/glomseg-evaluate-\(getpid())"
    defer { if output == nil { try? FileManager.default.removeItem(atPath: folder) } }
    try makeFolder(folder)
    Interrupt.install()
    let bar = CountProgress(unit: "windows")
    let segmenter = SlideSegmenter(
      loaded.session, side: loaded.patch, modelDigest: try fileDigest(loaded.file), options: options)
    var scores: [(group: String, name: String, scores: SlideScores)] = []
    var failures: [String] = []
    let wasStopped = try SegmentationRun(segmenter, folder: folder).run(
      withMasks, shouldStop: { Interrupt.isRequested }, progress: { bar.show($0, done: $1, all: $2) }
    ) { slide, outcome in
      bar.clear()
      switch outcome {
      case .failed(let reason): failures.append(reason)
      case .busy: failures.append("\(slide.path): another process is segmenting it")
      case .finished:
        do {
          scores.append(
            (slide.group, slide.caseName, try SlideScores.of(slide, masks: folder, options: options, isChallenge: kpis)))
        } catch let error as SlideError {
          failures.append(error.description)
        }
      }
    }
    bar.clear()
    if wasStopped {
      throw RunError.request(
        output == nil
          ? "stopped before all slides were scored" : "stopped before all slides were scored; the same command goes on")
    }
    let evaluation = SlideEvaluation(protocol: kpis ? "kpis" : "slides", scores: scores)
    let header = [
      "slide", "Dice", "precision", "recall", "F1", "detection precision", "recall", "F1", "found", "true",
    ]
    func row(_ name: String, _ one: SlideScores) -> [String] {
      [name]
        + [one.pixels.dice, one.pixels.precision, one.pixels.recall, one.pixels.f1].map(decimals)
        + [one.detection.precision, one.detection.recall, one.detection.f1].map(decimals)
        + ["\(one.predicted)", "\(one.annotated)"]
    }
    json.say(
      table(
        header,
        evaluation.slides.sorted { $0.key < $1.key }.map { row($0.key, $0.value) }
          + evaluation.groups.sorted { $0.key < $1.key }.map { row("group \($0.key)", $0.value) }
          + [row("mean of \(scores.count) slides", evaluation.mean)]))
    try json.write(evaluation)
    for failure in failures { log.warning("\(failure)") }
    if !failures.isEmpty {
      throw RunError.request("\(failures.count) of \(withMasks.count) slides could not be scored; they are named above")
    }
  }

  /// The challenge's protocol has the challenge's magnifications, unless others are given.
  private var windowsWithPreset: WindowOptions {
    var windows = windows
    if kpis { windows.magnification.preset = .kpis }
    return windows
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

  init(_ path: String, device: String, precision: Precision = .fp32, patch: Int?) throws {
    let file = try RunDirectory.modelFile(path)
    let (model, metadata) = try Checkpoint.open(file)
    guard let side = patch ?? metadata["patch"].flatMap(Int.init) else {
      throw RunError.file(path: file, problem: "does not say its patch size: give --patch")
    }
    guard VariableUNet.sides.contains(side) else {
      let problem = "should be a multiple of 16, at most 65520, not \(side)"
      throw patch == nil
        ? RunError.file(path: file, problem: "its patch size \(problem)") : RunError.setting(name: "--patch", problem: problem)
    }
    self.patch = side
    self.file = file
    sourcePatch = metadata["source_patch"].flatMap(Int.init) ?? side
    guard (1...1 << 20).contains(sourcePatch) else {
      throw RunError.file(path: file, problem: "says that it was trained on patches of \(sourcePatch) pixels, which cannot be")
    }
    let backend = try chooseBackend(device, precision: precision)
    session = try InferenceSession(model, on: backend) { state throws(EngineError) in
      try Checkpoint.load(file, into: state)
    }
  }
}
