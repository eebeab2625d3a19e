import ArgumentParser
import Runs

@main
struct Root: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "glomseg", abstract: "Train U-Nets that find glomeruli in kidney biopsies, on any OpenCL device.",
    discussion: """
      A first run:
        glomseg data synth data --patch 128
        glomseg train data -o runs/first --patch 128 --batch 8 --lr 1e-3
        glomseg evaluate runs/first data --split test
        glomseg predict runs/first data --split test --panels -o predictions

      Exit codes: 0 done, 1 failed with one sentence on standard error, 64 wrong usage.
      """,
    version: glomsegVersion,
    subcommands: [
      DevicesCommand.self, PlanCommand.self, TrainCommand.self, SweepCommand.self, EvaluateCommand.self, PredictCommand.self,
      ReportCommand.self,
      PatchCommand.self, SegmentCommand.self, DataCommand.self, BenchCommand.self, CheckCommand.self, DoctorCommand.self,
      TuneCommand.self,
      NodeReportCommand.self, CompileProgramsCommand.self,
    ])

  static func main() {
    openStandardFiles()
    BLASRestart.ifNeeded()
    CompileProgramsCommand.offer()
    main(nil)
  }
}
