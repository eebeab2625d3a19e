public import Images
public import Slides

/// One thing wrong with a data set, and the file it is wrong with.
public struct DatasetFault: Sendable, Equatable, CustomStringConvertible {
  public enum Kind: Sendable, Equatable {
    case imageWithoutMask
    case maskWithoutImage
    /// The mask has another size than its image.
    case sizeMismatch
    /// A file that cannot be decoded.
    case badFile(ImageError.Kind)
    /// A second file for a pair that has one; the first by path is kept.
    case duplicate
    /// An image file in an `img` or `mask` folder whose name has another form.
    case misnamed
    /// An `img` or `mask` folder that does not lie at `<split>/<group>/<case>/`.
    case misplaced
    /// A folder that cannot be listed.
    case unreadableFolder
  }

  public let kind: Kind
  public let path: String
  public let reason: String

  init(_ kind: Kind, _ path: String, _ reason: String) {
    self.kind = kind
    self.path = path
    self.reason = reason
  }

  init(_ error: ImageError) {
    self.init(.badFile(error.kind), error.path, error.reason)
  }

  public var description: String { "\(path): \(reason)" }
}

public enum DatasetError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The root is missing, no folder, or holds nothing in the expected layout.
  case noDataset(root: String, reason: String, expected: String = PatchDataset.layout)
  /// The faults of a data set, one at least.
  case faults([DatasetFault])
  /// No pair is left to work on.
  case empty(String)
  /// A file could not be read or written.
  case image(ImageError)
  /// A slide or its mask could not be read or written.
  case slide(SlideError)
  /// Two patches of a batch differ in size.
  case mixedSizes(String)
  /// An option out of its range.
  case option(String)

  public var description: String {
    switch self {
    case .noDataset(let root, let reason, let expected):
      return "\(root): \(reason); expected \(expected)"
    case .faults(let faults):
      let shown = faults.prefix(10).map { "  \($0)" }.joined(separator: "\n")
      let more = faults.count > 10 ? "\n  … and \(faults.count - 10) more" : ""
      return "the data set has \(faults.count) fault\(faults.count == 1 ? "" : "s"):\n\(shown)\(more)"
    case .empty(let what), .mixedSizes(let what), .option(let what): return what
    case .image(let error): return error.description
    case .slide(let error): return error.description
    }
  }
}
