import Foundation

/// Draws a run's curves with gnuplot.
public enum Curves {
  /// Writes `curves.png` beside the history: the training loss and, where there is a validation, its scores and the
  /// flip-flop graph: the share of its pixels whose decision changed since the epoch before.
  ///
  /// - Returns: nil, or a sentence that says why there is no picture: gnuplot is missing, or failed.
  public static func draw(_ run: RunDirectory, hasValidation: Bool) -> String? {
    guard let program = find("gnuplot") else {
      return "no curves.png: gnuplot is not installed (Debian: gnuplot-nox); \(run.history) has the numbers"
    }
    func quoted(_ path: String) -> String { "'" + path.replacing("'", with: "''") + "'" }
    let (history, picture) = (quoted(run.history), quoted(run.curves))
    let loss = """
      set title 'training loss'
      unset key
      plot \(history) using 1:2 skip 1 with linespoints pt 7 ps 0.5
      """
    let scores = """
      set title 'validation'
      set key bottom right
      set yrange [0:1]
      plot \(history) using 1:6 skip 1 with linespoints pt 7 ps 0.5 title 'F1', \
      '' using 1:4 skip 1 with lines title 'precision', '' using 1:5 skip 1 with lines title 'recall', \
      '' using 1:7 skip 1 with lines title 'Dice per patch'
      """
    let flips = """
      set title 'validation pixels that changed sides'
      unset key
      set yrange [0:*]
      set format y '%g%%'
      plot \(history) using 1:($10*100) skip 1 with linespoints pt 7 ps 0.5
      """
    let script = """
      set terminal pngcairo size \(hasValidation ? 1800 : 600),480 font 'sans,11'
      set output \(picture)
      set datafile separator ','
      set grid
      set xlabel 'epoch'
      set multiplot layout 1,\(hasValidation ? 3 : 1)
      \(hasValidation ? [loss, scores, flips].joined(separator: "\n") : loss)
      unset multiplot
      """
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    let input = Pipe()
    let errors = Pipe()
    process.standardInput = input
    process.standardError = errors
    process.standardOutput = FileHandle.nullDevice
    do {
      try process.run()
      try input.fileHandleForWriting.write(contentsOf: Data(script.utf8))
      try input.fileHandleForWriting.close()
      let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      process.waitUntilExit()
      return process.terminationStatus == 0 ? nil : "no curves.png: gnuplot failed: \(text.split(separator: "\n").joined(separator: " ").prefix(200))"
    } catch {
      return "no curves.png: gnuplot could not be run: \(systemReason(error))"
    }
  }

  private static func find(_ name: String) -> String? {
    (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map { "\($0)/\(name)" }
      .first { FileManager.default.isExecutableFile(atPath: $0) }
  }
}
