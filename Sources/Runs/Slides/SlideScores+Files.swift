public import Datasets
import Slides

extension SlideScores {
  /// Scores a slide that was segmented into a folder against its true mask.
  ///
  /// - Parameter isChallenge: compares at the patches' magnification, and matches as the challenge does; else at level 0.
  /// - Throws: `SlideError` naming the mask that cannot be read.
  public static func of(
    _ slide: SlideCase, masks folder: String, options: SegmentationOptions, isChallenge: Bool
  ) throws -> SlideScores {
    guard let truthPath = slide.maskPath else {
      throw SlideError(.argument, path: slide.path, reason: "it has no mask to be scored against")
    }
    let source = try Slide.open(slide.path)
    var truth = try RunMask.read(truthPath, width: source.width, height: source.height, threads: options.threads)
    let path = SlideOutputs(folder: folder, name: slide.caseName).mask
    var prediction = try RunMask.read(path, width: source.width, height: source.height, threads: options.threads)
    if isChallenge {
      let scale = try options.scale(of: source, group: slide.group)
      truth = truth.scaled(downsample: scale)
      prediction = prediction.scaled(downsample: scale)
    }
    return SlideScores(prediction: prediction, truth: truth, matching: isChallenge ? .any : .oneToOne)
  }
}
