/// Draws a run's curves with gnuplot.
public enum Curves {
  /// Writes `curves.png` beside the history: the training loss and, where there is a validation, its scores and the
  /// flip-flop graph: the share of its pixels whose decision changed since the epoch before, and the step of F1.
  ///
  /// - Returns: nil, or a sentence that says why there is no picture: gnuplot is missing, or failed.
  public static func draw(_ run: RunDirectory, hasValidation: Bool) -> String? {
    let (history, picture) = (Gnuplot.quoted(run.history), Gnuplot.quoted(run.curves))
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
      set title 'flip-flop: from one epoch to the next'
      set key top right
      set yrange [0:*]
      set format y '%g%%'
      plot \(history) using 1:($10*100) skip 1 with linespoints pt 7 ps 0.5 title 'pixels that changed sides', \
      '' using 1:($11*100) skip 1 with linespoints pt 7 ps 0.5 title 'swing of F1, points'
      """
    // A first epoch has none before it, and gnuplot draws no graph without a point.
    let hasChanges = (try? RunDirectory.read(run.history)).map { HistoryTable(csv: $0).has("val_changed") } ?? false
    let script = """
      set terminal pngcairo size \(hasValidation ? 1800 : 600),480 font 'sans,11'
      set output \(picture)
      set datafile separator ','
      set grid
      set xlabel 'epoch'
      set multiplot layout 1,\(hasValidation ? 3 : 1)
      \((hasValidation ? [loss, scores] + (hasChanges ? [flips] : []) : [loss]).joined(separator: "\n"))
      unset multiplot
      """
    do {
      try Gnuplot.run(script)
      return nil
    } catch .missing {
      return "no curves.png: gnuplot is not installed (Debian: gnuplot-nox); \(run.history) has the numbers"
    } catch {
      return "no curves.png: \(error)"
    }
  }
}
