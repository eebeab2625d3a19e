public import Engine

/// Why a golden file can't be used.
public enum GoldenError: Error, Sendable, CustomStringConvertible {
  /// The file itself is broken.
  case file(SafetensorsError)
  /// The file is sound, but not the case it should be.
  case content(path: String, reason: String)

  public var description: String {
    switch self {
    case .file(let error): error.description
    case .content(let path, let reason): "\(path): \(reason)"
    }
  }
}
