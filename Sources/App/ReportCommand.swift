import ArgumentParser
import Datasets
import Engine
import Foundation
import Logging
import Reports
import Runs

/// `glomseg report`.
struct ReportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "report", abstract: "Make a page of a run or of many: curves, tables, heat maps, patches.",
    discussion: """
      RUNS are folders of runs, folders of them such as a sweep's, and result files of the PyTorch project (JSON with \
      'config' and 'history'), in any mixture.

      The page is one HTML file that asks for nothing else: settings and device, loss, scores and flip-flop by epoch, scores by \
      group; of several runs a table to sort and heat maps of F1 and recall over each pair of settings that differ. With --data \
      also what the data set holds, the precision–recall curve with the best threshold, and the best, median and worst \
      patches, by the best run's best model. Overviews of slides that 'glomseg segment' made stand in it where they are in \
      the run's folder or in --slides.

      --figures writes the same charts as SVG and PNG files, and results.csv, a line a run.
      --tensorboard writes event files, a folder a run, for: tensorboard --logdir FOLDER

      Example: glomseg report runs/first --data data -o report.html
      Example: glomseg report sweeps/coarse -o coarse.html --figures figures --heat bce_weight,pos_weight
      """)

  @Argument(help: "Folders of runs, of sweeps, or JSON result files.") var runs: [String]
  @Option(name: [.customShort("o"), .long], help: "The page.") var output = "report.html"
  @Option(help: "Folder of the data set, for the curve of thresholds and the patches.") var data: String?
  @Option(help: "The split that those are of: train, validation or test.") var split: Split = .validation
  @Option(help: "Folder that 'glomseg segment' wrote slides into.") var slides: String?
  @Option(help: "Two settings for heat maps: A,B; may be given again (all pairs that differ).") var heat: [String] = []
  @Option(help: "Write the charts as SVG and PNG files into this folder.") var figures: String?
  @Option(help: "Write event files for TensorBoard into this folder.") var tensorboard: String?
  @Option(help: "Patches per step.") var batch = 4
  @Option(help: "auto, gpu, cpu, opencl, opencl:P:D, or part of a device's name.") var device = "auto"
  @Flag(help: "Leave out broken pairs of the data set, and list them.") var skipBad = false

  func validate() throws {
    guard !runs.isEmpty else { throw ValidationError("Name at least one run.") }
    guard batch > 0 else { throw ValidationError("--batch should be at least 1.") }
    for pair in heat where pair.split(separator: ",").count != 2 { throw ValidationError("--heat should be two settings: A,B.") }
  }

  func run() throws { try failing { try report() } }

  private func report() throws {
    try JSONOutput.requireWritable(output)
    let collection = try RunCollection(runs)
    for problem in collection.problems { log.warning("\(problem)") }
    guard !collection.records.isEmpty else { throw RunError.request("no run could be read; what is wrong is named above") }
    var report = Report(collection.records)
    report.problems = collection.problems
    report.split = split.rawValue
    if !heat.isEmpty {
      report.pairs = try heat.map { pair in
        let names = pair.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
        for name in names where !report.records.contains(where: { $0.setting(name) != nil }) {
          throw RunError.setting(name: "--heat", problem: "no run has a setting '\(name)'")
        }
        return (x: names[0], y: names[1])
      }
    }
    if let data { try look(into: data, for: &report) }
    let folders = [slides, report.best.map(\.path)].compactMap { $0 }
    report.slides = try folders.flatMap { try Report.Slide.find(in: $0) }
    if let slides, report.slides.isEmpty {
      throw RunError.file(path: slides, problem: "holds no overview of a slide (NAME_overview.png)")
    }
    let page = try report.html()
    try writeFile(page.utf8, to: output)
    print("\(output): \(report.records.count == 1 ? "1 run" : "\(report.records.count) runs"), \(formatBytes(page.utf8.count))")
    if let figures {
      let files = try report.writeFigures(to: figures)
      print("\(figures): \(files.count) files")
    }
    if let tensorboard {
      for record in report.records { _ = try EventFile.write(record, below: tensorboard) }
      print("\(tensorboard): event files; look at them with tensorboard --logdir \(tensorboard)")
    }
  }

  /// What needs the data set, and what needs the model too.
  private func look(into folder: String, for report: inout Report) throws {
    let data = try loadDataset(folder, skipBad: skipBad)
    report.data = DatasetInspection(data)
    guard let best = report.best, FileManager.default.fileExists(atPath: RunDirectory(best.path).best) else {
      report.withoutFindings = "The best run has no best.safetensors, so there are no precision–recall curve and patches."
      return
    }
    let pairs = try pairs(of: best, in: data)
    guard !pairs.isEmpty else {
      report.withoutFindings =
        "The data set has no \(split.rawValue) patches, so there are no precision–recall curve and patches."
      return
    }
    let loaded = try LoadedModel(RunDirectory(best.path).best, device: device, patch: nil)
    let bar = CountProgress(unit: "patches")
    report.findings = try ModelFindings.of(
      loaded.session, pairs: pairs, patch: loaded.patch, batch: batch, threads: 1,
      progress: { bar.show("scoring", done: $0, all: $1) })
    bar.clear()
  }

  /// The patches of the split; of the validation split those that the run validated on.
  private func pairs(of run: RunRecord, in data: PatchDataset) throws -> [PatchPair] {
    let all = data.pairs(in: split)
    guard split == .validation, let groups = run.setting("validation_groups"), !groups.isEmpty else { return all }
    let path = RunDirectory(run.path).configuration
    return try RunConfiguration(RunOptions.parse(RunDirectory.read(path), path: path)).selection.validation(data)
  }
}
