import Glibc

/// Writes a safetensors file whole or not at all.
///
/// The bytes go to a temporary file in the same folder, which is flushed to disk, then renamed over `path`, and the
/// folder flushed: a reader sees the old file or the new one, also after a loss of power.
///
/// The data lie in the order of the `add` calls, but 8-byte elements before 4-byte ones, so that each tensor is aligned
/// to its element; the reference implementation does the same. Equal calls give equal bytes.
public struct SafetensorsWriter {
  /// The header's `__metadata__`.
  public var metadata: [String: String]

  private var entries: [Entry] = []

  private struct Entry {
    let name: String
    let shape: [Int]
    let dtype: SafetensorsFile.DType
    /// Elements given.
    let count: Int
    let source: Source
  }

  private enum Source {
    case floats([Float])
    case doubles([Double])
    case integers([Int64])
  }

  public init(metadata: [String: String] = [:]) {
    self.metadata = metadata
  }

  /// Adds an F32 tensor. Its name and shape are checked by ``write(to:)``.
  public mutating func add(_ name: String, shape: [Int], floats: [Float]) {
    entries.append(
      Entry(name: name, shape: shape, dtype: .f32, count: floats.count, source: .floats(floats)))
  }

  /// Adds an F64 tensor.
  public mutating func add(_ name: String, shape: [Int], doubles: [Double]) {
    entries.append(
      Entry(name: name, shape: shape, dtype: .f64, count: doubles.count, source: .doubles(doubles)))
  }

  /// Adds an I64 tensor.
  public mutating func add(_ name: String, shape: [Int], integers: [Int64]) {
    entries.append(
      Entry(
        name: name, shape: shape, dtype: .i64, count: integers.count, source: .integers(integers)))
  }

  /// Writes everything added to `path`, replacing a file there.
  ///
  /// - Throws: ``SafetensorsError`` when a name is used twice or reserved, values don't fill their shape, or the
  ///   system refuses. The file at `path` is then as it was, and no temporary file is left.
  public func write(to path: String) throws(SafetensorsError) {
    let ordered =
      entries.filter { $0.dtype.byteCount == 8 } + entries.filter { $0.dtype.byteCount != 8 }
    let header = try headerBytes(ordered, path: path)

    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    guard let fileName = parts.last, !fileName.isEmpty else {
      throw .header(path: path, reason: "a file's path can't end in a slash")
    }
    let folder = parts.count == 1 ? "." : parts.dropLast().joined(separator: "/") + "/"
    // Within the 255 bytes a name may have, whatever the file's own name.
    let suffix = String(UInt64.random(in: 0...UInt64.max), radix: 36)
    let temporary = "\(folder == "." ? "" : folder).\(fileName.prefix(48))-\(suffix).tmp"

    let file = try SafetensorsDescriptor(path: temporary, flags: O_WRONLY | O_CREAT | O_EXCL)
    do throws(SafetensorsError) {
      try file.write(header, path: temporary)
      for entry in ordered { try writeData(of: entry, to: file, path: path, temporary: temporary) }
      guard fsync(file.raw) == 0 else {
        throw .system(path: temporary, call: "fsync", code: errno)
      }
      guard rename(temporary, path) == 0 else {
        throw .system(path: path, call: "rename", code: errno)
      }
    } catch {
      unlink(temporary)
      throw error
    }
    let directory = try SafetensorsDescriptor(path: folder, flags: O_RDONLY | O_DIRECTORY)
    // Some network file systems can't flush a folder and say EINVAL; the file itself is on disk by now.
    guard fsync(directory.raw) == 0 || errno == EINVAL else {
      throw .system(path: folder, call: "fsync", code: errno)
    }
  }

  /// The length, the JSON, and blanks up to a multiple of 8 bytes.
  private func headerBytes(_ ordered: [Entry], path: String) throws(SafetensorsError) -> [UInt8] {
    var items: [String] = []
    if !metadata.isEmpty {
      let pairs = metadata.sorted { $0.key < $1.key }.map {
        "\(Self.json($0.key)):\(Self.json($0.value))"
      }
      items.append("\"__metadata__\":{\(pairs.joined(separator: ","))}")
    }
    var seen: Set<String> = []
    var start = 0
    for entry in ordered {
      func wrong(_ reason: String) -> SafetensorsError {
        .tensor(path: path, name: entry.name, reason: reason)
      }
      guard entry.name != "__metadata__" else {
        throw wrong("the name is reserved for the metadata")
      }
      guard seen.insert(entry.name).inserted else { throw wrong("the name is used twice") }
      guard let byteCount = SafetensorsHeader.byteCount(shape: entry.shape, dtype: entry.dtype)
      else {
        throw wrong("shape \(entry.shape) is negative or too large")
      }
      let count = byteCount / entry.dtype.byteCount
      guard entry.count == count else {
        throw wrong("\(entry.count) values do not fill shape \(entry.shape), which has \(count)")
      }
      let (end, overflow) = start.addingReportingOverflow(byteCount)
      guard !overflow else { throw wrong("the file would be too large") }
      items.append(
        "\(Self.json(entry.name)):{\"dtype\":\"\(entry.dtype.rawValue)\","
          + "\"shape\":[\(entry.shape.map(String.init).joined(separator: ","))],"
          + "\"data_offsets\":[\(start),\(end)]}")
      start = end
    }
    var json = Array("{\(items.joined(separator: ","))}".utf8)
    json += [UInt8](repeating: 0x20, count: (8 - json.count % 8) % 8)
    guard json.count <= SafetensorsFile.headerByteLimit else {
      throw .header(
        path: path, reason: "a header of \(json.count) bytes is over the format's limit")
    }
    return withUnsafeBytes(of: UInt64(json.count).littleEndian) { Array($0) } + json
  }

  private func writeData(
    of entry: Entry, to file: SafetensorsDescriptor, path: String, temporary: String
  ) throws(SafetensorsError) {
    switch entry.source {
    case .floats(let values): try file.write(values, path: temporary)
    case .doubles(let values): try file.write(values, path: temporary)
    case .integers(let values): try file.write(values, path: temporary)
    }
  }

  /// A string as JSON, in quotes.
  private static func json(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\u{0}"..<" ":
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
