import Glibc
import Images
import Threads

/// One grid position of a slide: what was measured there, and whether the patch was kept.
public struct PatchRecord: Sendable, Equatable {
  public enum Outcome: String, Sendable {
    case kept
    /// Fewer mask pixels than asked for, and not among the negatives that are kept.
    case fewPositives = "few positives"
    case littleTissue = "little tissue"
  }

  /// `<split>/<group>/<case>`.
  public let slide: String
  public let index: Int
  /// The upper left corner in level-0 pixels.
  public let x: Int
  public let y: Int
  /// Share of mask pixels.
  public let positive: Double
  /// Share of tissue; `nil` where the picture was not looked at.
  public let tissue: Double?
  public let outcome: Outcome
  /// The image's path below the data set's folder; empty where there is none.
  public let image: String

  static let header = "slide,index,x,y,positive,tissue,outcome,image"

  var line: String {
    let fields = [
      slide, "\(index)", "\(x)", "\(y)", Self.decimals(positive), tissue.map(Self.decimals) ?? "", outcome.rawValue, image,
    ]
    return fields.map(Self.quoted).joined(separator: ",")
  }

  init(
    slide: String, index: Int, x: Int, y: Int, positive: Double, tissue: Double?, outcome: Outcome, image: String
  ) {
    self.slide = slide
    self.index = index
    self.x = x
    self.y = y
    self.positive = positive
    self.tissue = tissue
    self.outcome = outcome
    self.image = image
  }

  /// `nil` for the header, and for a line that was cut when the program was.
  init?(line: Substring) {
    let fields = Self.fields(line)
    guard fields.count == 8, let index = Int(fields[1]), let x = Int(fields[2]), let y = Int(fields[3]),
      let positive = Double(fields[4]), let outcome = Outcome(rawValue: fields[6])
    else { return nil }
    self.init(
      slide: fields[0], index: index, x: x, y: y, positive: positive, tissue: Double(fields[5]), outcome: outcome,
      image: fields[7])
  }

  private static func decimals(_ value: Double) -> String { "\((value * 1_000_000).rounded() / 1_000_000)" }

  /// RFC 4180.
  private static func quoted(_ field: String) -> String {
    guard field.contains(where: { $0 == "," || $0 == "\"" || $0 == "\n" }) else { return field }
    return "\"" + field.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
  }

  private static func fields(_ line: Substring) -> [String] {
    var fields = [""], isQuoted = false, wasQuote = false
    for character in line {
      if character == "\"" {
        if isQuoted { wasQuote = true } else if wasQuote { fields[fields.count - 1].append("\"") }
        isQuoted.toggle()
        if isQuoted { wasQuote = false }
        continue
      }
      wasQuote = false
      if character == ",", !isQuoted { fields.append("") } else { fields[fields.count - 1].append(character) }
    }
    return fields
  }
}

/// Where each slide's patches went: `manifest.csv`, and while the work is going on `manifest.part.csv`, which a line joins as
/// soon as its patch's files are written.
final class PatchManifest: Sendable {
  private struct State: Sendable {
    var records: [String: [Int: PatchRecord]] = [:]
    /// Of each slide and its mask when they were cut.
    var stamps: [String: String] = [:]
    var descriptor: Int32 = -1
  }

  private let folder: String
  private let settings: String
  private let state = Monitor(State())
  private var path: String { folder + "/manifest.csv" }
  private var partPath: String { folder + "/manifest.part.csv" }
  private var settingsPath: String { folder + "/patching.txt" }

  /// Opens the manifest of a folder, with what an earlier run noted.
  ///
  /// - Throws: `.option` where the folder holds patches that were cut otherwise.
  init(folder: String, settings: String) throws(DatasetError) {
    self.folder = folder
    self.settings = settings
    var stamps: [String: String] = [:]
    if let text = Self.read(settingsPath) {
      let lines = text.split(separator: "\n").map(String.init)
      for line in lines.dropFirst() {
        let parts = line.split(separator: "\t", maxSplits: 1).map(String.init)
        if parts.count == 2 { stamps[parts[1]] = parts[0] }
      }
      let known = lines.first ?? ""
      guard known == settings else {
        throw .option(
          "\(folder): it holds patches that were cut otherwise (\(known)); choose another folder, or the same options")
      }
    } else {
      do throws(ImageError) {
        try FileBytes.makeFolder(folder)
        try FileBytes.write(Array((settings + "\n").utf8), to: settingsPath)
      } catch {
        throw .image(error)
      }
    }
    var records: [String: [Int: PatchRecord]] = [:]
    for text in [Self.read(path), Self.read(partPath)] {
      for line in (text ?? "").split(separator: "\n") {
        if let record = PatchRecord(line: line) { records[record.slide, default: [:]][record.index] = record }
      }
    }
    let descriptor = Glibc.open(partPath, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else {
      throw .option("\(partPath): it cannot be written: \(String(cString: strerror(errno)))")
    }
    // A line that was cut is ended, so that the next one stands alone.
    _ = "\n".withCString { Glibc.write(descriptor, $0, 1) }
    let (known, seen) = (records, stamps)
    state.change { $0 = State(records: known, stamps: seen, descriptor: descriptor) }
  }

  deinit { state.change { _ = close($0.descriptor) } }

  func records(of slide: String) -> [Int: PatchRecord] { state.change { $0.records[slide] ?? [:] } }

  /// Notes of which files a slide is cut. Where it was cut of others, its patches are removed and their records forgotten.
  ///
  /// - Parameter stamp: a line that changes with the slide's or its mask's file.
  func begin(_ slide: String, stamp: String) throws(DatasetError) {
    let known = state.change { $0.stamps[slide] }
    if known == stamp { return }
    // What was cut before stamps were noted is believed.
    if known != nil { try forget(slide) }
    let stamps = state.change { state in
      state.stamps[slide] = stamp
      return state.stamps
    }
    let lines = [settings] + stamps.sorted { $0.key < $1.key }.map { "\($0.value)\t\($0.key)" }
    do throws(ImageError) {
      try FileBytes.write(Array((lines.joined(separator: "\n") + "\n").utf8), to: settingsPath)
    } catch {
      throw .image(error)
    }
  }

  /// Removes a slide's patches and their records.
  func forget(_ slide: String) throws(DatasetError) {
    let old = state.change { $0.records[slide] ?? [:] }
    guard !old.isEmpty else { return }
    for record in old.values where record.outcome == .kept { removeFiles(of: record) }
    state.change { $0.records[slide] = nil }
    try write()
    // All that is left stands in the manifest now.
    state.change { _ = ftruncate($0.descriptor, 0) }
  }

  private func removeFiles(of record: PatchRecord) {
    unlink(folder + "/" + record.image)
    // <slide>/img/<stem>_img.<kind>: the slide's name may hold anything, the rest is ours.
    let stem = record.image.dropFirst(record.slide.count + "/img/".count).prefix { $0 != "." }
    guard stem.hasSuffix("_img") else { return }
    for kind in ["png", "jpg"] { unlink("\(folder)/\(record.slide)/mask/\(stem.dropLast("img".count))mask.\(kind)") }
  }

  /// Notes a patch, on disk too. Its files are written already.
  ///
  /// - Throws: `.option` where the disk has no room for it: the patch is then cut again the next time.
  func add(_ record: PatchRecord) throws(DatasetError) {
    let line = Array((record.line + "\n").utf8)
    let reason: String? = state.change { state in
      // One call, so that a line is whole or cut, never mixed with another.
      let written = line.withUnsafeBytes { Glibc.write(state.descriptor, $0.baseAddress, $0.count) }
      guard written == line.count else { return written < 0 ? String(cString: strerror(errno)) : "no space left" }
      state.records[record.slide, default: [:]][record.index] = record
      return nil
    }
    if let reason { throw .option("\(partPath): it cannot be written: \(reason)") }
  }

  /// Writes the whole manifest: all slides sorted by name, positions in order.
  func finish() throws(DatasetError) {
    try write()
    unlink(partPath)
  }

  private func write() throws(DatasetError) {
    let records = state.change { $0.records }
    var lines = [PatchRecord.header]
    for slide in records.keys.sorted() {
      lines += (records[slide] ?? [:]).values.sorted { $0.index < $1.index }.map(\.line)
    }
    do throws(ImageError) { try FileBytes.write(Array((lines.joined(separator: "\n") + "\n").utf8), to: path) } catch {
      throw .image(error)
    }
  }

  private static func read(_ path: String) -> String? {
    guard let file = fopen(path, "rbe") else { return nil }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = fread(&block, 1, block.count, file)
      if count == 0 { break }
      bytes += block[..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
