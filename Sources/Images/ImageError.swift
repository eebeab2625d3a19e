/// Why an image could not be read or written. Its description is one sentence that begins with the file's name.
public struct ImageError: Error, Equatable, Sendable, CustomStringConvertible {
  public enum Kind: Sendable {
    /// There is no such file.
    case missing
    /// The file cannot be opened or read, or is not a regular file.
    case unreadable
    /// The first bytes are neither PNG nor JPEG.
    case notAnImage
    /// The data ends early.
    case truncated
    /// The decoder found damage.
    case corrupt
    /// The header claims more than 65,535 pixels a side or 2²⁸ in all, or a side of 0.
    case tooLarge
    /// A valid file of a kind that is not read here.
    case unsupported
    /// Out of memory.
    case memory
    /// The file cannot be written.
    case unwritable
    /// The caller asked for something impossible.
    case argument
  }

  public let kind: Kind
  /// The file, or "image" for bytes in memory.
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
