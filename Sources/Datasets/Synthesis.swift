import Randomness
public import Images
import Threads

/// A made-up data set in the layout of the KPIs challenge, for trying the whole path without real slides.
///
/// The tissue is drawn, not copied: packed tubules, vessels and lobed glomeruli in two stains (PAS and haematoxylin)
/// that absorb light by Beer–Lambert, with a stain strength of its own for each case. Glomeruli share every colour
/// with what surrounds them, so a threshold does not find them; their texture gives them away. See `Tissue`.
///
/// One set of options gives the same bytes each time on the same machine.
public enum Synthesis {
  public enum MaskFormat: Sendable {
    /// Quality 95, lossy as in the challenge: reading it back needs the threshold.
    case jpeg
    case png
  }

  public struct Options: Sendable, Equatable {
    /// Side of a patch in pixels, 32 or more. The tissue is scaled with it: a glomerulus spans a quarter to two
    /// fifths of a patch.
    public var patchSize: Int
    public var trainCount: Int
    public var validationCount: Int
    public var testCount: Int
    public var seed: UInt64
    public var maskFormat: MaskFormat

    public init(
      patchSize: Int = 256, trainCount: Int = 40, validationCount: Int = 10, testCount: Int = 10, seed: UInt64 = 1,
      maskFormat: MaskFormat = .jpeg
    ) {
      self.patchSize = patchSize
      self.trainCount = trainCount
      self.validationCount = validationCount
      self.testCount = testCount
      self.seed = seed
      self.maskFormat = maskFormat
    }
  }

  /// Disease models of the challenge; each split has a case of each, as far as its patches go.
  static let groups = ["DN", "NEP25", "normal", "56Nx"]

  /// Writes the data set below `root`, which is made if need be. Files of the same names are replaced.
  ///
  /// - Parameter threads: 0 for as many as there are processors; the bytes do not depend on it.
  /// - Returns: the number of patches written.
  /// - Throws: `.option` for a size or count out of range, `.image` for a file that cannot be written.
  @discardableResult
  public static func write(to root: String, options: Options = .init(), threads: Int = 0) throws(DatasetError) -> Int {
    guard (32...4096).contains(options.patchSize) else {
      throw .option("the patch size is \(options.patchSize); drawn patches have 32 to 4096 pixels a side")
    }
    let counts: [(Split, Int)] = [
      (.train, options.trainCount), (.validation, options.validationCount), (.test, options.testCount),
    ]
    guard counts.allSatisfy({ $0.1 >= 0 }), counts.contains(where: { $0.1 > 0 }) else {
      throw .option("the patches of a split are counted from 0, and one split must have some")
    }

    var jobs: [Job] = []
    for (place, (split, count)) in counts.enumerated() {
      for i in 0..<count {
        let group = i % groups.count
        jobs.append(
          Job(
            split: split, group: group, caseNumber: place * groups.count + group + 1, index: i / groups.count,
            folder: "\(root)/\(split.rawValue)/\(groups[group])"))
      }
    }
    for job in jobs where job.index == 0 {
      do throws(ImageError) {
        try FileBytes.makeFolder("\(job.folder)/\(job.caseName)/img")
        try FileBytes.makeFolder("\(job.folder)/\(job.caseName)/mask")
      } catch {
        throw .image(error)
      }
    }

    let failure = Monitor<ImageError?>(nil)
    let all = jobs
    Parallel.forEach(all.count, threads: threads > 0 ? threads : Parallel.defaultThreadCount) { i in
      do throws(ImageError) {
        try all[i].write(options)
      } catch {
        failure.change { $0 = $0 ?? error }
      }
    }
    if let error = failure.change({ $0 }) { throw .image(error) }
    return jobs.count
  }

  /// Draws one patch without writing it: the image in RGB and its exact mask (0 or 255, one channel).
  ///
  /// - Parameters: caseNumber fixes the stain, index the tissue.
  public static func patch(
    size: Int, seed: UInt64, group: Int = 0, caseNumber: Int = 1, index: Int = 0
  ) -> (image: PixelBuffer, mask: PixelBuffer) {
    let style = TissueStyle(seed: seed, group: group, caseNumber: caseNumber)
    var tissue = Tissue(
      size: size, style: style,
      random: RandomSource(
        seed: seed, RandomStream.synthesis.rawValue, UInt64(caseNumber), UInt64(index) &+ 1))
    return tissue.draw()
  }

  private struct Job: Sendable {
    let split: Split
    let group: Int
    let caseNumber: Int
    let index: Int
    let folder: String

    var caseName: String { caseNumber < 10 ? "s0\(caseNumber)" : "s\(caseNumber)" }

    func write(_ options: Options) throws(ImageError) {
      let (image, mask) = Synthesis.patch(
        size: options.patchSize, seed: options.seed, group: group, caseNumber: caseNumber, index: index)
      // Patches of a case lie side by side, eight to a row.
      let x = index % 8 * options.patchSize, y = index / 8 * options.patchSize
      let stem = "\(caseName)_\(index)_\(x)_\(y)"
      try ImageFile.writeJPEG(image, to: "\(folder)/\(caseName)/img/\(stem)_img.jpg", quality: 90)
      switch options.maskFormat {
      case .jpeg: try ImageFile.writeJPEG(mask, to: "\(folder)/\(caseName)/mask/\(stem)_mask.jpg", quality: 95)
      case .png: try ImageFile.writePNG(mask, to: "\(folder)/\(caseName)/mask/\(stem)_mask.png")
      }
    }
  }
}
