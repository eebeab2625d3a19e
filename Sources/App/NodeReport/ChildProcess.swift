import Engine
import Foundation

/// A program that runs beside this one, for at most some seconds.
struct ChildProcess {
  enum End: Equatable {
    case exited(Int32)
    case signalled(Int32)
    /// It was asked to stop at its limit; the value is its status where it then ended by itself, as a training run does.
    case stopped(status: Int32?)
  }

  let end: End
  let seconds: Double
  /// Standard output, and standard error.
  let out: String
  let said: String

  /// Runs it to its end, or to its limit: SIGTERM then, and SIGKILL 15 seconds later. One that hangs in its driver even so is
  /// left behind after 10 more.
  ///
  /// Its output goes to files in `folder`, so that what it said is there however it ends, and no pipe fills up.
  /// - Parameters:
  ///   - shouldStop: asked now and then; true stops it before its limit.
  ///   - meanwhile: called now and then while it runs.
  static func run(
    _ command: [String], in folder: String, seconds limit: Double, shouldStop: () -> Bool = { false },
    meanwhile: () -> Void = {}
  ) throws -> ChildProcess {
    let paths = [folder + "/.out", folder + "/.err"]
    for path in paths { _ = FileManager.default.createFile(atPath: path, contents: nil) }
    defer { for path in paths { try? FileManager.default.removeItem(atPath: path) } }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: command[0].contains("/") ? command[0] : find(command[0]) ?? command[0])
    process.arguments = Array(command.dropFirst())
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = FileHandle(forWritingAtPath: paths[0])
    process.standardError = FileHandle(forWritingAtPath: paths[1])
    let start = monotonicSeconds()
    try process.run()
    var asked: Double?
    while process.isRunning {
      let now = monotonicSeconds()
      if let asked {
        if now - asked > 25 { break }
        if now - asked > 15 { send(SIGKILL, to: process) }
      } else if now - start > limit || shouldStop() {
        asked = now
        send(SIGTERM, to: process)
      }
      meanwhile()
      usleep(20_000)
    }
    let ended = !process.isRunning
    let status = ended ? process.terminationStatus : 0
    let exited = ended && process.terminationReason == .exit
    let end: End = asked != nil ? .stopped(status: exited ? status : nil) : exited ? .exited(status) : .signalled(status)
    func text(_ path: String) -> String {
      FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }
    return ChildProcess(end: end, seconds: monotonicSeconds() - start, out: text(paths[0]), said: text(paths[1]))
  }

  /// To its group where it has one of its own: a child's children end too.
  private static func send(_ signal: Int32, to process: Process) {
    let id = process.processIdentifier
    kill(getpgid(id) == id ? -id : id, signal)
  }

  /// A program's path; nil where it is in no folder of PATH.
  static func find(_ name: String) -> String? {
    (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map { "\($0)/\(name)" }
      .first { FileManager.default.isExecutableFile(atPath: $0) }
  }
}
