/// Why a slide could not be read or written. Its description is one sentence that begins with the file's name.
public struct SlideError: Error, Equatable, Sendable, CustomStringConvertible {
  public enum Kind: Sendable {
    /// There is no such file, or it cannot be opened.
    case unreadable
    /// A valid file of a kind that is not read here.
    case unsupported
    /// The file is cut short, damaged, or contradicts itself.
    case damaged
    /// The file cannot be written.
    case unwritable
    /// The caller asked for something impossible.
    case argument
  }

  public let kind: Kind
  public let path: String
  /// The reason without the file's name.
  public let reason: String

  public init(_ kind: Kind, path: String, reason: String) {
    self.kind = kind
    self.path = path
    self.reason = reason
  }

  public var description: String { "\(path): \(reason)" }
}
