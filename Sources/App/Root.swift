import ArgumentParser

@main
struct Root: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "glomseg", abstract: "Train U-Nets that find glomeruli in kidney biopsies.",
    subcommands: [BenchCommand.self])
}
