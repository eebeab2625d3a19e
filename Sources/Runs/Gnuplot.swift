import Foundation

/// gnuplot, which draws every chart.
package enum Gnuplot {
  package enum Problem: Error, CustomStringConvertible {
    case missing
    case failed(String)
    /// It was ended.
    case endless(seconds: Int)

    package var description: String {
      switch self {
      case .missing: "gnuplot is not installed (Debian: gnuplot-nox)"
      case .failed(let reason): "gnuplot failed: \(reason)"
      case .endless(let seconds): "gnuplot did not end within \(seconds) s"
      }
    }
  }

  private static let mostSeconds = 120.0

  /// Runs a script; what it draws goes to the files that it names.
  package static func run(_ script: String) throws(Problem) {
    guard let program = find("gnuplot") else { throw .missing }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    // From a file: a pipe to a program that ended would end this one.
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("glomseg-\(UUID().uuidString).gnuplot")
    defer { try? FileManager.default.removeItem(at: file) }
    // What it says goes to a file, too: one that hangs is ended, and leaves no pipe that someone waits at.
    let said = file.path + ".said"
    _ = FileManager.default.createFile(atPath: said, contents: nil)
    defer { try? FileManager.default.removeItem(atPath: said) }
    process.arguments = [file.path]
    process.standardInput = FileHandle.nullDevice
    process.standardError = FileHandle(forWritingAtPath: said)
    process.standardOutput = FileHandle.nullDevice
    let text: String
    do {
      try Data(script.utf8).write(to: file)
      try process.run()
      let start = Date()
      while process.isRunning {
        usleep(5000)
        if Date().timeIntervalSince(start) > mostSeconds {
          kill(process.processIdentifier, SIGKILL)
          throw Problem.endless(seconds: Int(mostSeconds))
        }
      }
      text = String(decoding: FileManager.default.contents(atPath: said) ?? Data(), as: UTF8.self)
    } catch let problem as Problem {
      throw problem
    } catch {
      throw .failed("it could not be run: \(systemReason(error))")
    }
    guard process.terminationStatus == 0 else {
      throw .failed(String(text.split(separator: "\n").joined(separator: " ").prefix(200)))
    }
  }

  /// Text in quotes, none of it a command.
  package static func quoted(_ text: String) -> String {
    "'" + text.map { $0.isNewline ? " " : String($0) }.joined().replacing("'", with: "''") + "'"
  }

  private static func find(_ name: String) -> String? {
    (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map { "\($0)/\(name)" }
      .first { FileManager.default.isExecutableFile(atPath: $0) }
  }
}
