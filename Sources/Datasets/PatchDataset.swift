import Images
import Slides
import Threads

/// The image and mask pairs found under a folder, and what is wrong there.
///
/// Faulty files are never in `pairs`. A caller that wants all or nothing calls `requireFaultless()`; one that skips
/// the bad goes on with `pairs` and shows `faults`.
public struct PatchDataset: Sendable {
  /// The folder that was scanned, as given.
  public let root: String
  /// Sorted by split, group, case, prefix, index, x, y.
  public private(set) var pairs: [PatchPair]
  /// Every image, in the order of their paths, with its mask where it has a usable one: prediction needs none.
  public private(set) var images: [(split: Split, image: String, mask: String?)] = []
  /// In the order of the files' paths; those of `verified` follow.
  public private(set) var faults: [DatasetFault]

  public static let layout =
    "{train,validation,test}/<group>/<case>/{img,mask}/<prefix>_<index>_<x>_<y>_{img,mask}.{jpg,jpeg,png}"

  /// Finds the pairs under `root`: the folder of the splits, one above it or one below it, down to a case.
  ///
  /// Names of splits and groups are compared without case. Images and masks are paired by name. Only headers are
  /// read; `verified` decodes the files.
  ///
  /// - Throws: `.noDataset` for a root that is missing or holds no image file in an `img` or `mask` folder.
  public static func scan(root: String) throws(DatasetError) -> PatchDataset {
    guard let absolute = FolderWalk.absolutePath(root) else {
      throw .noDataset(root: root, reason: "there is no such folder")
    }
    guard FolderWalk.isFolder(absolute) else { throw .noDataset(root: root, reason: "it is not a folder") }
    let walk = FolderWalk(root: absolute)
    let unreadable = walk.unreadable.map { DatasetFault(.unreadableFolder, $0.path, $0.reason) }
    let found = pair(walk.files)
    if found.pairs.isEmpty && found.faults.isEmpty {
      if !unreadable.isEmpty { throw .faults(unreadable) }
      throw .noDataset(root: root, reason: "no patches were found")
    }
    var dataset = PatchDataset(root: root, pairs: [], faults: unreadable + found.faults)
    dataset.adopt(found.pairs, threads: Parallel.defaultThreadCount) {
      pair throws(PairFailure) in try checkedHeaders(pair)
    }
    let usable = Set(dataset.pairs.map(\.imagePath))
    dataset.images =
      (found.pairs.map { ($0.split, $0.imagePath, usable.contains($0.imagePath) ? $0.maskPath : nil) }
      + found.alone.map { ($0.split, $0.image, nil) }).sorted { $0.1 < $1.1 }
    return dataset
  }

  /// The data set with every file decoded in full, so that cut or damaged files are known before training starts.
  /// Pairs with a bad file leave `pairs` and join `faults`; the others learn their `foregroundCount`.
  ///
  /// - Parameters:
  ///   - threads: 0 for as many as there are processors.
  ///   - progress: called after each pair with (pairs done, pairs in all), on any thread but one at a time.
  public func verified(
    threads: Int = 0, progress: (@Sendable (Int, Int) -> Void)? = nil
  ) -> PatchDataset {
    let total = pairs.count
    let done = Monitor(0)
    var dataset = PatchDataset(root: root, pairs: [], faults: faults)
    dataset.adopt(pairs, threads: threads > 0 ? threads : Parallel.defaultThreadCount) {
      pair throws(PairFailure) in
      defer {
        done.change { count in
          count += 1
          progress?(count, total)
        }
      }
      return try Self.decoded(pair)
    }
    return dataset
  }

  /// - Throws: `.faults` with all of them when there is one.
  public func requireFaultless() throws(DatasetError) {
    if !faults.isEmpty { throw .faults(faults) }
  }

  /// The pairs of a split; may be empty.
  public func pairs(in split: Split) -> [PatchPair] {
    pairs.filter { $0.split == split }
  }

  /// The pairs of a split.
  ///
  /// - Throws: `.empty` when there is none.
  public func requirePairs(in split: Split) throws(DatasetError) -> [PatchPair] {
    let chosen = pairs(in: split)
    if chosen.isEmpty { throw .empty("\(root): there are no usable patches of the split '\(split.rawValue)'") }
    return chosen
  }

  /// Patches whose masks have values above 0 and none of foreground: class numbers, or opacities. Of a verified data set.
  public var faintMasks: [PatchPair] {
    pairs.filter { $0.foregroundCount == 0 && $0.maskMaximum.map { $0 > 0 } ?? false }
  }

  /// - Throws: `.empty` where no mask of the split has foreground, so that there is nothing to learn; of a verified data set.
  public func requireForeground(in split: Split) throws(DatasetError) {
    let chosen = pairs(in: split)
    guard !chosen.isEmpty, chosen.allSatisfy({ $0.foregroundCount == 0 }) else { return }
    let largest = chosen.compactMap(\.maskMaximum).max() ?? 0
    throw .empty(
      "\(root): no mask of the split '\(split.rawValue)' has a glomerulus: foreground is \(PatchSample.foregroundThreshold) to 255, "
        + "and the largest value there is \(largest)")
  }

  // MARK: - Checks of pairs

  /// A check of one pair: the pair, possibly completed, or what is wrong with it.
  private typealias Check = @Sendable (PatchPair) throws(PairFailure) -> PatchPair

  private struct PairFailure: Error {
    let faults: [DatasetFault]
  }

  /// Adds the pairs that pass to `pairs` and the faults of the others to `faults`, in their order.
  private mutating func adopt(_ candidates: [PatchPair], threads: Int, check: @escaping Check) {
    let outcomes = Monitor([Result<PatchPair, PairFailure>?](repeating: nil, count: candidates.count))
    Parallel.forEach(candidates.count, threads: threads) { i in
      let outcome: Result<PatchPair, PairFailure>
      do throws(PairFailure) { outcome = .success(try check(candidates[i])) } catch { outcome = .failure(error) }
      outcomes.change { $0[i] = outcome }
    }
    for outcome in outcomes.change({ $0 }) {
      switch outcome {
      case .success(let pair): pairs.append(pair)
      case .failure(let failure): faults.append(contentsOf: failure.faults)
      case nil: break
      }
    }
  }

  @Sendable
  private static func checkedHeaders(_ pair: PatchPair) throws(PairFailure) -> PatchPair {
    let image = sized(pair.imagePath), mask = sized(pair.maskPath)
    guard case .success(let imageSize) = image, case .success(let maskSize) = mask else {
      throw PairFailure(faults: [image.fault, mask.fault].compactMap { $0 })
    }
    guard imageSize == maskSize else {
      throw PairFailure(faults: [
        DatasetFault(
          .sizeMismatch, pair.maskPath,
          "the mask is \(maskSize.width) × \(maskSize.height) pixels, its image \(pair.imagePath) is "
            + "\(imageSize.width) × \(imageSize.height)")
      ])
    }
    var checked = pair
    checked.width = imageSize.width
    checked.height = imageSize.height
    return checked
  }

  @Sendable
  private static func decoded(_ pair: PatchPair) throws(PairFailure) -> PatchPair {
    let checked = try checkedHeaders(pair)
    let image = FileCheck { () throws(ImageError) in try ImageFile.read(pair.imagePath, channels: 3) }
    let mask = FileCheck { () throws(ImageError) in try ImageFile.read(pair.maskPath, channels: 1) }
    guard case .success(let imagePixels) = image, case .success(let maskPixels) = mask else {
      throw PairFailure(faults: [image.fault, mask.fault].compactMap { $0 })
    }
    var complete = checked
    let found = RunMask(maskPixels, above: PatchSample.foregroundThreshold - 1)
    complete.foregroundCount = found.area
    complete.maskMaximum = maskPixels.bytes.max() ?? 0
    complete.objectDiameters = MaskObjects(found).objects.filter {
      $0.left > 0 && $0.top > 0 && $0.right < found.width && $0.bottom < found.height && $0.area >= 16
    }.map { (4 * Double($0.area) / .pi).squareRoot() }
    complete.imageDigest = imagePixels.digest
    return complete
  }

  private struct Size: Equatable {
    let width, height: Int
  }

  private static func sized(_ path: String) -> FileCheck<Size> {
    FileCheck { () throws(ImageError) in
      let header = try ImageFile.header(path)
      return Size(width: header.width, height: header.height)
    }
  }

  private enum FileCheck<Value> {
    case success(Value)
    case failure(DatasetFault)

    init(_ body: () throws(ImageError) -> Value) {
      do throws(ImageError) { self = .success(try body()) } catch { self = .failure(DatasetFault(error)) }
    }

    var fault: DatasetFault? {
      if case .failure(let fault) = self { fault } else { nil }
    }
  }
}
