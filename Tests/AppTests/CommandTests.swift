import Foundation
import Testing

/// The built program, as a user meets it: exit codes and what it says.
@Suite(.serialized) struct CommandTests {
  /// Beside the test bundle; nil where only the tests were built.
  private static let program: URL? = {
    var folder = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
    for _ in 0..<4 {
      let candidate = folder.appendingPathComponent("glomseg")
      if FileManager.default.isExecutableFile(atPath: candidate.path) { return candidate }
      folder.deleteLastPathComponent()
    }
    return nil
  }()

  private func run(_ arguments: String...) throws -> (code: Int32, out: String, err: String) {
    let process = Process()
    let program: URL = try #require(Self.program, "the program glomseg was not found beside the tests")
    process.executableURL = program
    process.arguments = arguments
    let (out, err) = (Pipe(), Pipe())
    process.standardOutput = out
    process.standardError = err
    try process.run()
    let text = out.fileHandleForReading.readDataToEndOfFile()
    let errors = err.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: text, as: UTF8.self), String(decoding: errors, as: UTF8.self))
  }

  @Test(arguments: ["devices", "plan", "train", "evaluate", "predict", "data", "bench", "check"])
  func helpNamesAnExampleOrSubcommands(_ command: String) throws {
    let result = try run(command, "--help")
    #expect(result.code == 0)
    #expect(result.out.contains("OVERVIEW:"))
    #expect(result.out.contains("Example: glomseg \(command)") || result.out.contains("SUBCOMMANDS:"))
  }

  @Test func usageErrorsExit64() throws {
    #expect(try run("train").code == 64)
    #expect(try run("plan", "--patch", "100").code == 64)
    #expect(try run("nonsense").code == 64)
  }

  @Test func failuresExitOneWithASentence() throws {
    let missing = try run("train", "/no/such/folder", "-o", FileManager.default.temporaryDirectory.path + "/none")
    #expect(missing.code == 1)
    #expect(missing.err.contains("/no/such/folder"))
    #expect(!missing.err.contains("Fatal"))
    let device = try run("plan", "--patch", "64", "--device", "opencl:9:9")
    #expect(device.code == 1)
    #expect(device.err.contains("no device 'opencl:9:9'") && device.err.contains("auto"))
    let model = try run("evaluate", "/no/such/model", "/no/such/data", "--device", "cpu")
    #expect(model.code == 1)
  }

  @Test func planPrintsJSONAlone() throws {
    let result = try run("plan", "--patch", "2048", "--base", "64", "--device", "cpu", "--json", "-")
    #expect(result.code == 0)
    let object = try #require(try JSONSerialization.jsonObject(with: Data(result.out.utf8)) as? [String: Any])
    #expect(object["parameters"] as? Int == 10_883_201)
    let peak = try #require(object["peak_bytes"] as? Int)
    #expect(peak < 9 << 30)
    let flops = try #require(object["flops_forward"] as? Int)
    #expect(flops > 3_000_000_000_000 && flops < 3_200_000_000_000)
  }

  @Test func devicesListTheCPUPath() throws {
    let result = try run("devices", "--json", "-")
    #expect(result.code == 0)
    let object = try #require(try JSONSerialization.jsonObject(with: Data(result.out.utf8)) as? [String: Any])
    #expect((object["cpu"] as? String)?.contains("OpenBLAS") == true)
    #expect(object["auto"] is String)
  }
}
