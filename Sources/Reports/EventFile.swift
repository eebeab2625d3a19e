import Foundation
public import Runs

/// TensorBoard's event files: records of a TFRecord file, each an `Event` of tensorflow/core/util/event.proto.
public enum EventFile {
  /// Writes a run's history and steps below `folder`, in a folder of the run's name.
  ///
  /// Scores and losses of epochs are `epoch/<column>`, those of steps `step/<name>`.
  ///
  /// - Returns: the file.
  public static func write(_ record: RunRecord, below folder: String) throws(RunError) -> String {
    let own = folder + "/" + record.name
    let attributes = try? FileManager.default.attributesOfItem(atPath: RunDirectory.historyFile(of: record.path))
    let end = ((attributes?[.modificationDate] as? Date) ?? Date(timeIntervalSince1970: 0)).timeIntervalSince1970
    let history = record.history
    let seconds = history["seconds"].map { $0 ?? 0 }
    // The history's file was written last at the end of its last epoch.
    var time = end - seconds.reduce(0, +)
    var bytes = framed(event(time: time, version: "brain.Event:2"))
    for step in steps(record.path) {
      for (name, value) in step.values {
        bytes += framed(event(time: time, step: step.number, tag: "step/" + name, value: Float(value)))
      }
    }
    for row in 0..<history.count {
      time += seconds[row]
      let epoch = history["epoch"][row].map { Int($0) } ?? row + 1
      for name in history.names where name != "epoch" {
        guard let value = history[name][row] else { continue }
        bytes += framed(event(time: time, step: epoch, tag: "epoch/" + name, value: Float(value)))
      }
    }
    // TensorBoard takes whatever has "tfevents" in its name; a name that stays replaces the file of an earlier report.
    let file = own + "/events.out.tfevents.\(Int(max(0, end))).glomseg"
    do {
      try FileManager.default.createDirectory(atPath: own, withIntermediateDirectories: true)
      for name in try FileManager.default.contentsOfDirectory(atPath: own)
      where name.hasSuffix(".glomseg") && name.hasPrefix("events.out.tfevents") {
        try FileManager.default.removeItem(atPath: own + "/" + name)
      }
      try Data(bytes).write(to: URL(fileURLWithPath: file), options: .atomic)
    } catch {
      throw .file(path: file, problem: "cannot be written: \(systemReason(error))")
    }
    return file
  }

  private struct Step {
    let number: Int
    let values: [(String, Double)]
  }

  /// Lines of `run.jsonl`; a cut one is left out.
  private static func steps(_ folder: String) -> [Step] {
    guard let text = try? String(contentsOfFile: RunDirectory(folder).log, encoding: .utf8) else { return [] }
    return text.split(separator: "\n").compactMap { line in
      guard let object = (try? JSONSerialization.jsonObject(with: Data(line.utf8))) as? [String: Any],
        let number = object["step"] as? Int
      else { return nil }
      let values = object.compactMap { name, value in
        name == "step" || name == "epoch" ? nil : (value as? NSNumber).map { (name, $0.doubleValue) }
      }
      return Step(number: number, values: values.sorted { $0.0 < $1.0 })
    }
  }

  // MARK: - Protocol buffers

  private static func varint(_ value: UInt64) -> [UInt8] {
    var bytes: [UInt8] = []
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(rest & 0x7f) | 0x80)
      rest >>= 7
    }
    return bytes + [UInt8(rest)]
  }

  private static func little<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    withUnsafeBytes(of: number.littleEndian) { Array($0) }
  }
  /// Wire type 2: text, bytes, a message.
  private static func field(_ number: UInt64, _ content: [UInt8]) -> [UInt8] {
    varint(number << 3 | 2) + varint(UInt64(content.count)) + content
  }
  private static func field(_ number: UInt64, _ value: Double) -> [UInt8] { varint(number << 3 | 1) + little(value.bitPattern) }
  private static func field(_ number: UInt64, _ value: Float) -> [UInt8] { varint(number << 3 | 5) + little(value.bitPattern) }
  private static func field(_ number: UInt64, _ value: Int) -> [UInt8] {
    varint(number << 3) + varint(UInt64(bitPattern: Int64(value)))
  }

  /// Event: wall_time 1, step 2, file_version 3.
  private static func event(time: Double, version: String) -> [UInt8] { field(1, time) + field(3, Array(version.utf8)) }

  /// Event: wall_time 1, step 2, summary 5; Summary: value 1; Value: tag 1, simple_value 2.
  private static func event(time: Double, step: Int, tag: String, value: Float) -> [UInt8] {
    let value = field(1, Array(tag.utf8)) + field(2, value)
    return field(1, time) + field(2, step) + field(5, field(1, value))
  }

  // MARK: - TFRecord

  /// Length, its masked CRC, content, its masked CRC.
  static func framed(_ content: [UInt8]) -> [UInt8] {
    let length = little(UInt64(content.count))
    return length + little(masked(length)) + content + little(masked(content))
  }

  private static func masked(_ bytes: [UInt8]) -> UInt32 {
    let crc = crc32c(bytes)
    return (crc >> 15 | crc << 17) &+ 0xa282_ead8
  }

  /// Castagnoli's polynomial, bits reversed.
  private static let crcTable: [UInt32] = (0..<256).map { index in
    (0..<8).reduce(UInt32(index)) { crc, _ in crc & 1 == 1 ? crc >> 1 ^ 0x82f6_3b78 : crc >> 1 }
  }

  static func crc32c(_ bytes: [UInt8]) -> UInt32 {
    let table = crcTable
    return ~bytes.reduce(~UInt32(0)) { crc, byte in table[Int((crc ^ UInt32(byte)) & 0xff)] ^ crc >> 8 }
  }
}

extension RunDirectory {
  /// What a run's times are taken from: its history, or the file that it is.
  fileprivate static func historyFile(of path: String) -> String {
    let own = RunDirectory(path).history
    return FileManager.default.fileExists(atPath: own) ? own : path
  }
}
