import ArgumentParser
import Engine
import Foundation
import Host

/// `glomseg compile-programs`: what glomseg starts several of where a GPU's driver has programs to compile.
struct CompileProgramsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compile-programs", abstract: "Compile OpenCL programs and keep them: for processes that glomseg starts itself.",
    discussion: "Example: glomseg compile-programs --device opencl:0:0 'relu.cl LANES=4'",
    shouldDisplay: false)

  @Option(help: "opencl:P:D.") var device: String
  @Argument(help: "Each 'FILE MACRO=VALUE…'.") var programs: [String] = []

  func run() throws {
    try failing {
      guard let device = OpenCLDevice.all().first(where: { $0.selector == device }) else {
        throw EngineError.request("there is no OpenCL device \(device)")
      }
      try CompilerProcesses.keep(programs, on: device)
    }
  }

  /// Has programs compiled by processes like this one from now on, as many at a time as there are processors.
  static func offer() {
    guard let program = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") else { return }
    CompilerProcesses.use(most: Processors.available) { shares, device in
      printError(
        "\(device.selector) \(device.name): compiling \(shares.reduce(0) { $0 + $1.count }) programs, \(shares.count) at a time")
      var processes: [Process] = []
      for share in shares {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = ["compile-programs", "--device", device.selector] + share
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        // What is not compiled there is compiled here.
        if (try? process.run()) != nil { processes.append(process) }
      }
      for process in processes { process.waitUntilExit() }
    }
  }
}
