import ArgumentParser
import Datasets
import Engine
import Foundation
import Images
import Logging
import Runs

/// `glomseg predict`.
struct PredictCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "predict", abstract: "Write masks of images, and panels of image, truth and prediction.",
    discussion: """
      IMAGES are PNG or JPEG files, folders of them, or data sets in the KPIs layout, whose masks then stand in the panels \
      (truth green, prediction yellow). Masks have the image's size.

      Example: glomseg predict runs/first data --split validation --panels -o predictions
      """)

  @Argument(help: "Folder of a run (its best model), or a model file.") var model: String
  @Argument(help: "Images, folders of images, or data sets.") var images: [String]
  @Option(name: [.customShort("o"), .long], help: "Folder to write into.") var output: String
  @Option(help: "Of data sets: train, validation, test, or all.") var split = "all"
  @Option(help: "Probability above which a pixel is foreground.") var threshold = 0.5
  @Option(help: "Side that images are resized to (default: the model's).") var patch: Int?
  @Option(help: "auto, gpu, cpu, opencl, opencl:P:D, or part of a device's name.") var device = "auto"
  @Option(help: precisionHelp) var precision: Precision = .fp32
  @Flag(help: "Also write probability maps.") var probabilities = false
  @Flag(help: "Also write panels: image | truth (where known) | prediction.") var panels = false

  func validate() throws {
    guard threshold > 0, threshold < 1 else { throw ValidationError("--threshold should be between 0 and 1.") }
    guard split == "all" || Split(rawValue: split) != nil else {
      throw ValidationError("--split should be train, validation, test or all.")
    }
    guard !images.isEmpty else { throw ValidationError("Name at least one image or folder.") }
  }

  func run() throws {
    try failing {
      var items: [(image: String, truth: String?)] = []
      for path in images { items += try find(path) }
      guard !items.isEmpty else { throw RunError.request("no PNG or JPEG images in \(images.joined(separator: ", "))") }
      let names = items.map { stem($0.image) }
      if let double = Dictionary(grouping: names, by: { $0 }).first(where: { $0.value.count > 1 })?.key {
        throw RunError.request("two images are named \(double): predict them into different folders")
      }
      let target = URL(fileURLWithPath: output).resolvingSymlinksInPath().path
      if let item = items.first(where: {
        URL(fileURLWithPath: $0.image).deletingLastPathComponent().resolvingSymlinksInPath().path == target
      }) {
        throw RunError.file(
          path: output, problem: "holds \(item.image), and a mask of that name may lie beside it: choose another folder with -o")
      }
      // In the KPIs layout, and others like it, the masks of img stand in mask: they are what training learns from.
      if let item = items.first(where: { item in
        let folder = URL(fileURLWithPath: item.image).deletingLastPathComponent().deletingLastPathComponent()
        let isMasks = ["mask", "masks"].contains { folder.appendingPathComponent($0).resolvingSymlinksInPath().path == target }
        return isMasks && (try? FileManager.default.contentsOfDirectory(atPath: target))?.isEmpty == false
          || item.truth.map { URL(fileURLWithPath: $0).deletingLastPathComponent().resolvingSymlinksInPath().path == target }
            == true
      }) {
        throw RunError.file(
          path: output,
          problem: "is where annotations of \(item.image) belong, which masks would replace: choose another folder with -o")
      }
      try makeFolder(output)
      let loaded = try LoadedModel(model, device: device, precision: precision, patch: patch)
      let predictor = Predictor(loaded.session, patch: loaded.patch, threshold: threshold)
      var failures: [String] = []
      var isScaleKnown = true
      for (index, item) in items.enumerated() {
        let image: PixelBuffer
        do { image = try ImageFile.read(item.image, channels: 3) } catch {
          failures.append("\(error)")
          continue
        }
        let scale = Double(max(image.width, image.height)) / Double(loaded.sourcePatch)
        if isScaleKnown, !(0.67...1.5).contains(scale) {
          isScaleKnown = false
          log.warning(
            """
            \(item.image) is \(image.width) x \(image.height) pixels and the model was trained on patches of \(loaded.sourcePatch): \
            glomeruli of another size than it learnt are missed; 'glomseg segment' cuts large images into such patches
            """)
        }
        let map = try predictor.probabilities(image)
        let mask = predictor.mask(map)
        let name = output + "/" + names[index]
        try ImageFile.writePNG(mask, to: name + "_mask.png")
        if probabilities { try ImageFile.writePNG(map, to: name + "_probability.png") }
        if panels {
          var truth: PixelBuffer?
          do { truth = try item.truth.map { try ImageFile.read($0, channels: 1) } } catch {
            log.warning("\(error); its panel is without it")
          }
          if var known = truth {
            for i in known.bytes.indices { known.bytes[i] = known.bytes[i] >= PatchSample.foregroundThreshold ? 255 : 0 }
            truth = known
          }
          try ImageFile.writePNG(Predictor.panel(image, truth: truth, prediction: mask), to: name + "_panel.png")
        }
        if isatty(2) == 1 { writeError("\r\u{1B}[K\(index + 1) of \(items.count) images") }
      }
      if isatty(2) == 1 { writeError("\r\u{1B}[K") }
      print("\(items.count - failures.count) masks\(panels ? " and panels" : "") in \(output)")
      for failure in failures { log.warning("\(failure)") }
      if !failures.isEmpty {
        throw RunError.request("\(failures.count) of \(items.count) images could not be read; they are named above")
      }
    }
  }

  /// The images behind an argument; in the KPIs layout with their masks.
  private func find(_ path: String) throws -> [(image: String, truth: String?)] {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw RunError.file(path: path, problem: "there is no such image or folder")
    }
    guard isFolder.boolValue else { return [(path, nil)] }
    if let data = try? PatchDataset.scan(root: path), !data.images.isEmpty {
      let chosen = Split(rawValue: split)
      let found = data.images.filter { chosen == nil || $0.split == chosen }
      guard !found.isEmpty else { throw RunError.file(path: path, problem: "holds no images of the split '\(split)'") }
      return found.map { ($0.image, $0.mask) }
    }
    let names: [String]
    do { names = try FileManager.default.contentsOfDirectory(atPath: path).sorted() } catch {
      throw RunError.file(path: path, problem: "cannot be listed: \(systemReason(error))")
    }
    let suffixes = [".png", ".jpg", ".jpeg"]
    let images = names.filter { name in suffixes.contains { name.lowercased().hasSuffix($0) } }
    let others = names.filter { name in [".tif", ".tiff"].contains { name.lowercased().hasSuffix($0) } }
    if !others.isEmpty { log.warning("\(path): \(others.count) TIFF files are left out: 'glomseg segment' reads those") }
    let stems = Set(images.map(stem))
    // A mask beside its image is none to predict.
    return images.filter { !(stem($0).hasSuffix("_mask") && stems.contains(String(stem($0).dropLast(5)))) }
      .map { (path + "/" + $0, nil) }
  }

  /// A file's name without folder and suffix, and without the KPIs layout's _img.
  private func stem(_ path: String) -> String {
    let name = URL(fileURLWithPath: path).deletingPathExtension().lastPathComponent
    return name.hasSuffix("_img") ? String(name.dropLast(4)) : name
  }
}

func makeFolder(_ path: String) throws {
  do { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) } catch {
    throw RunError.file(path: path, problem: "cannot be made: \(systemReason(error))")
  }
}
