import Engine
import Foundation

/// `run.jsonl`: a line a step, written as the step is done.
final class StepLog {
  private let handle: FileHandle
  private let path: String
  /// Device and tiles, as JSON.
  private let device: String

  /// Opens the log behind the line of step `stepCount`. Later lines, of a run that was killed before it saved or of an older run
  /// in the folder, are dropped, so that each step has one line.
  init(_ path: String, _ backend: any Backend, keeping stepCount: Int) throws(RunError) {
    self.path = path
    let traits = backend.traits
    do {
      let name = String(decoding: try JSONEncoder().encode(backend.name), as: UTF8.self)
      device = "\"device\": \(name)" + (traits.kind == .openCL ? ", \"tiles\": \"\(traits.tiles.fingerprint)\"" : "")
    } catch {
      throw .request("the device's name cannot be written as JSON: \(error)")
    }
    let old = stepCount > 0 && RunDirectory.exists(path) ? try RunDirectory.read(path) : ""
    var lines = old.split(separator: "\n")
    while let last = lines.last, (Self.step(of: last) ?? .max) > stepCount { lines.removeLast() }
    try RunDirectory.write(lines.map { $0 + "\n" }.joined(), to: path)
    guard let handle = FileHandle(forWritingAtPath: path) else { throw .file(path: path, problem: "cannot be written") }
    self.handle = handle
    handle.seekToEndOfFile()
  }

  deinit { try? handle.close() }

  func append(_ step: StepReport, epoch: Int, learningRate: Double) throws(RunError) {
    let line = """
      {"step": \(step.step), "epoch": \(epoch), "loss": \(step.loss), "bce": \(step.bce), "dice": \(step.dice), \
      "gradient_norm": \(step.gradientNorm), "learning_rate": \(learningRate), "seconds": \(step.seconds), \
      \(device)}

      """
    do { try handle.write(contentsOf: Data(line.utf8)) } catch {
      throw .file(path: path, problem: "cannot be written: \(systemReason(error))")
    }
  }

  /// nil for half a line.
  private static func step(of line: Substring) -> Int? {
    struct Record: Decodable { let step: Int }
    return try? JSONDecoder().decode(Record.self, from: Data(line.utf8)).step
  }
}
