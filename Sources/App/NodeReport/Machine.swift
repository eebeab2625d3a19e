import Engine
import Foundation
import Host

/// The machine, as the kernel tells it.
enum Machine {
  /// - Parameter device: what was asked for.
  static func record(device: String) -> SectionRecord {
    var record = SectionRecord(name: "machine", title: "Machine", outcome: .done)
    let facts = [
      ("processor", first("model name", in: "/proc/cpuinfo", separator: ":")),
      ("processors", "\(Processors.available) to use, \(ProcessInfo.processInfo.processorCount) there"),
      ("memory", first("MemTotal", in: "/proc/meminfo", separator: ":")),
      ("memory free", HostMemory.availableBytes().map(formatBytes) ?? ""),
      ("system", first("PRETTY_NAME", in: "/etc/os-release", separator: "=")),
      ("kernel", text("/proc/version")),
    ]
    var object: [String: Any] = ["device asked for": device]
    for (name, value) in facts where !value.isEmpty { object[name] = value }
    let variables = [
      "CUDA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "OCL_ICD_VENDORS", "OCL_ICD_FILENAMES", "OPENBLAS_NUM_THREADS",
      "OPENBLAS_CORETYPE",
    ]
    for name in variables {
      object[name] = ProcessInfo.processInfo.environment[name]
    }
    record.results = [object]
    record.text = object.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }.joined(separator: "\n")
    return record
  }

  private static func text(_ path: String) -> String {
    ((try? String(contentsOfFile: path, encoding: .utf8)) ?? "").trimmingCharacters(in: .whitespacesAndNewlines)
  }

  private static func first(_ name: String, in path: String, separator: Character) -> String {
    guard let line = text(path).split(separator: "\n").first(where: { $0.hasPrefix(name) }) else { return "" }
    let value = line.split(separator: separator, maxSplits: 1).dropFirst().joined()
    return value.trimmingCharacters(in: CharacterSet(charactersIn: " \t\""))
  }
}
