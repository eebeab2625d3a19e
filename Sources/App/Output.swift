public import ArgumentParser
public import Engine
import Foundation
import Glibc
import Images
import Logging
import Runs

/// Hands what was printed to whoever reads standard output.
func flushOutput() { fflush(nil) }

/// Writes a whole file that a user named.
func writeFile(_ bytes: some Sequence<UInt8>, to path: String) throws {
  do throws(ImageError) { try FileBytes.write(Array(bytes), to: path) } catch {
    throw EngineError.file(path: path, problem: "cannot be written: \(error.reason)")
  }
}

/// Where `--json` goes: "-" is standard output, and tables then go to standard error.
struct JSONOutput {
  let path: String?
  /// Of a pipe or a device, opened once: whoever reads a pipe takes its closing for the end.
  private let stream: Int32?

  /// - Throws: `.file` where the file's folder is missing: before an hour of work rather than after it.
  init(path: String?) throws(EngineError) {
    self.path = path
    try Self.requireWritable(path)
    var about = stat()
    guard let path, path != "-", stat(path, &about) == 0, about.st_mode & S_IFMT != S_IFREG else {
      stream = nil
      return
    }
    let descriptor = open(path, O_WRONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .file(path: path, problem: "cannot be written: \(String(cString: strerror(errno)))") }
    stream = descriptor
  }

  static func requireWritable(_ path: String?) throws(EngineError) {
    guard let path, path != "-" else { return }
    let url = URL(fileURLWithPath: path)
    let folder = url.deletingLastPathComponent().path
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: folder, isDirectory: &isFolder), isFolder.boolValue else {
      throw .file(path: path, problem: "cannot be written: there is no folder \(folder)")
    }
    if FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder), isFolder.boolValue {
      throw .file(path: path, problem: "cannot be written: it is a folder")
    }
  }

  var takesStandardOutput: Bool { path == "-" }

  /// Prints for people: to standard output, or to standard error where JSON has it.
  func say(_ text: String) {
    if takesStandardOutput { printError(text) } else { print(text) }
  }

  func write(_ value: some Encodable) throws { try write(Self.encoder.encode(value)) }

  /// One line each.
  func writeLines(_ values: [some Encodable]) throws {
    try write(Data(values.map { try Self.encoder.encode($0) }.joined(separator: Data("\n".utf8))))
  }

  /// The last of `values` on standard output or a pipe, all of them in a file: for work that may be cut off, after each of its parts.
  func writeGrown(_ values: [some Encodable]) throws {
    try writeLines(takesStandardOutput || stream != nil ? Array(values.suffix(1)) : values)
    flushOutput()
  }

  private static var encoder: JSONEncoder {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return encoder
  }

  private func write(_ data: Data) throws {
    guard let path else { return }
    if path == "-" {
      print(String(decoding: data, as: UTF8.self))
      return
    }
    guard let stream else { return try writeFile(data, to: path) }
    do throws(ImageError) { try FileBytes.write(Array(data + Data("\n".utf8)), to: stream, named: path) } catch {
      throw EngineError.file(path: path, problem: "cannot be written: \(error.reason)")
    }
  }
}

extension Precision: ExpressibleByArgument {}

/// What `--precision` says of itself everywhere.
let precisionHelp: ArgumentHelp = """
  What convolutions may round their operands to: fp32, fp32-fast, tf32, or bf16. A device without matrix units that glomseg \
  uses computes in fp32 all the same.
  """

/// The backend for `--device`; says what was passed over, and where a precision is not used.
func chooseBackend(_ selector: String, precision: Precision = .fp32) throws -> any Backend {
  let (backend, reason, passedOver) = try DeviceSelection.backend(selector, precision: precision)
  for rejection in passedOver { log.warning("passed over \(rejection.device): \(rejection.reason)") }
  if case .ignored(let path, let problem)? = (backend as? OpenCLBackend)?.tilesOrigin {
    log.warning("\(path) \(problem); the tiles of the device's class are used")
  }
  if selector == "auto" { log.info("device: \(backend.name) (\(reason))") }
  noteUnusedPrecision(backend)
  return backend
}

extension MatrixFinding {
  /// Whether they are used, and why.
  var described: String { "\(units == .none ? "units not used" : "units used"): \(reason)" }
}

/// One line where a device computes more exactly than it was allowed to.
func noteUnusedPrecision(_ backend: any Backend) {
  guard backend.traits.precision != backend.traits.arithmetic else { return }
  printError(
    "\(backend.name): computes in \(backend.traits.arithmetic.rawValue), not \(backend.traits.precision.rawValue): "
      + (backend.traits.usesMatrixUnits
        ? "its matrix units multiply that as it is"
        : backend.traits.matrixUnits != .none
          ? "its matrix units are used in bf16 alone"
          : "it has no matrix units that glomseg uses"
            + ((backend as? OpenCLBackend).map { " (\($0.device.findMatrixUnits().reason))" } ?? "")))
}

/// A table with columns padded to their widest cell; the first column to the left, the others to the right.
func table(_ header: [String], _ rows: [[String]]) -> String {
  let all = [header] + rows
  let widths = header.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
  return all.map { row in
    row.enumerated().map { column, cell in
      let padding = String(repeating: " ", count: widths[column] - cell.count)
      return column == 0 ? cell + padding : padding + cell
    }.joined(separator: "  ")
  }.joined(separator: "\n")
}

/// Three decimals.
func decimals(_ value: Double) -> String { String(format: "%.3f", value) }
