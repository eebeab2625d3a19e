import Engine
import Foundation
import Testing

/// `glomseg bench` and `glomseg tune`, as a user runs them.
extension CommandTests {
  /// The objects of standard output, one a line.
  func lines(_ result: Ended) throws -> [[String: Any]] {
    #expect(result.code == 0, "\(result.err)")
    return try result.out.split(separator: "\n").map { line in
      try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
    }
  }

  @Test(arguments: [[], ["--inference"]])
  func benchStepPrintsOneLineThatAddsUp(_ flags: [String]) throws {
    for device in ["cpu", "opencl"] {
      let result = try run(
        ["bench", "step", "--patch", "32", "--base", "4", "--batch", "2", "--steps", "3", "--device", device, "--json", "-"]
          + flags)
      let line = try #require(try lines(result).first)
      #expect(line["work"] as? String == (flags.isEmpty ? "training step" : "inference"))
      #expect(line["device"] is String && line["gflops"] is Double && line["peak_bytes_measured"] is Int)
      #expect(try #require(line["peak_bytes_planned"] as? Int) > 0)
      // The CPU path launches nothing.
      #expect((line["launches"] as? Int ?? 0 > 10) == (device == "opencl"))
      #expect((line["microseconds_per_launch"] as? Double ?? 0 > 0) == (device == "opencl"))
      let median = try #require(line["seconds_median"] as? Double)
      #expect(try #require(line["seconds_min"] as? Double) <= median)
      let operations = try #require(line["operations"] as? [[String: Any]]).compactMap { $0["seconds"] as? Double }
      let sum = operations.reduce(0, +)
      #expect(operations.count >= 4 && sum > 0)
      let whole = try #require(line["seconds_profiled"] as? Double)
      #expect(abs(sum + (try #require(line["seconds_rest"] as? Double)) - whole) < 1e-6 + 1e-6 * whole)
    }
  }

  @Test func benchServesSteps() throws {
    let process = Process()
    let program: URL = try #require(Self.program, "the program glomseg was not found beside the tests")
    process.executableURL = program
    process.arguments = ["bench", "step", "--patch", "32", "--base", "4", "--device", "cpu", "--serve"]
    let (input, out) = (Pipe(), Pipe())
    process.standardInput = input
    process.standardOutput = out
    try process.run()
    input.fileHandleForWriting.write(Data("step\nnonsense\nstep\n".utf8))
    try input.fileHandleForWriting.close()
    let said = String(decoding: out.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self).split(separator: "\n")
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    #expect(said.count == 3 && said.first == "ready")
    #expect(said.dropFirst().allSatisfy { $0.contains("\"seconds\":") && $0.contains("\"device\":\"cpu\"") }, "\(said)")
  }

  /// Lines come as operations are timed, so that a run that is cut off leaves what it had.
  @Test func benchOpsSaysEachLineAtOnce() throws {
    let process = Process()
    let program: URL = try #require(Self.program, "the program glomseg was not found beside the tests")
    process.executableURL = program
    process.arguments = [
      "bench", "ops", "--patch", "32", "--base", "4", "--device", "cpu", "--runs", "1000000", "--seconds", "0.3", "--json", "-",
    ]
    let out = Pipe()
    process.standardOutput = out
    process.standardError = FileHandle.nullDevice
    try process.run()
    let reading = out.fileHandleForReading
    var said = Data()
    while !said.contains(UInt8(ascii: "\n")) {
      let more = reading.availableData
      guard !more.isEmpty else { break }
      said += more
    }
    kill(process.processIdentifier, SIGKILL)
    said += reading.readDataToEndOfFile()
    process.waitUntilExit()
    let lines = String(decoding: said, as: UTF8.self).split(separator: "\n")
    let first = try #require(lines.first.map { try JSONSerialization.jsonObject(with: Data($0.utf8)) } as? [String: Any])
    #expect(first["benchmark"] as? String == "operation")
    // All are a hundred.
    #expect(lines.count < 10)
  }

  @Test func benchOpsTimesEachShapeOnce() throws {
    let size = ["--patch", "32", "--base", "4", "--device", "cpu", "--runs", "3", "--seconds", "0.01", "--json", "-"]
    let pools = try lines(try run(["bench", "ops", "--filter", "max_pool"] + size))
    #expect(pools.count == 8 && Set(pools.compactMap { "\($0["operation"] ?? "") \($0["shapes"] ?? "")" }).count == 8)
    #expect(pools.allSatisfy { ($0["roof_fraction"] as? Double ?? 0) > 0 && $0["bound"] as? String == "memory" })
    expectOneSentence(try run(["bench", "ops", "--filter", "nothing"] + size), "nothing", "--filter")
  }

  @Test func benchCompilerSaysWhatBecameOfEachKernel() throws {
    let size = ["bench", "compiler", "--patch", "32", "--base", "4", "--json", "-", "--device"]
    let found = try lines(try run(size + ["opencl"]))
    #expect(found.first?["benchmark"] as? String == "compiler" && found.first?["target"] is [String])
    let kernels = found.dropFirst()
    #expect(kernels.allSatisfy { $0["benchmark"] as? String == "kernel" && ($0["largest_group"] as? Int ?? 0) > 0 })
    let names = kernels.map { "\($0["function"] ?? "") \($0["macros"] ?? "")" }
    #expect(names.count > 20 && Set(names).count == names.count)
    #expect(names.contains { $0.hasPrefix("adam_step") } && names.contains { $0.hasPrefix("conv2d_weight_gradient") })
    expectOneSentence(try run(size + ["cpu"]), "--device")
    #expect(try lines(run(size + ["opencl", "--seconds", "0"])).count == 1)
  }

  /// Searched, shown, taken by other commands, switched off, damaged and deleted. What is found is the machine's affair.
  @Test func tunedTilesAreKeptTakenAndDeleted() throws {
    let caches = FileManager.default.temporaryDirectory.appendingPathComponent("caches-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: caches) }
    func run(_ arguments: [String], tuning: String = "") throws -> Ended {
      finish(try start(arguments, environment: ["XDG_CACHE_HOME": caches, "GLOMSEG_TUNING": tuning]))
    }
    let device = ["--device", "opencl"]
    // How many choices are tried depends on the machine's speed and on who else is on it: more seconds until one was.
    var found: [String: Any] = [:], choices: [[String: Any]] = []
    for seconds in [10, 40, 160] where choices.isEmpty {
      found = try #require(
        try lines(run(["tune", "--patch", "32", "--base", "4", "--seconds", "\(seconds)", "--json", "-"] + device)).first)
      choices = try #require(found["choices"] as? [[String: Any]])
    }
    #expect(found["benchmark"] as? String == "tune" && found["fingerprint"] is String)
    #expect(!choices.isEmpty)
    #expect(try #require(found["seconds"] as? Double) > 0)
    let shown = try run(["tune", "--show"] + device)
    #expect(shown.code == 0 && shown.out.contains("tile_chunk"))

    // A table that is surely none of the class's, made of what --show says.
    let folder = caches + "/glomseg/tuning"
    let tiles = try #require(try lines(run(["tune", "--show", "--json", "-"] + device)).first)
    if tiles["path"] is String { #expect(try run(["tune", "--reset"] + device).code == 0) }
    #expect(try run(["tune", "--reset"] + device).out.contains("nothing is kept"))
    var sizes = try #require(tiles["tiles"] as? [String: Int])
    sizes["gradient_slices"] = 2
    sizes["winograd_percent"] = 0
    let backend = try OpenCLBackend(#require(OpenCLDevice.all().first))
    let (key, own) = (backend.tuningKey, backend.traits.curatedTiles.fingerprint)
    let table = try #require(TileTable(.cpu, sizes: sizes))
    let path = try TuningStore(folder: folder).keep(.init(key: key, tiles: table, found: [:]))
    let step = ["bench", "step", "--patch", "32", "--base", "4", "--steps", "1", "--json", "-"] + device
    #expect(try #require(try lines(run(step)).first)["tiles"] as? String == "tuned, \(table.fingerprint)")
    #expect(try run(["devices"]).out.contains("tuned, from \(path)"))
    #expect(try run(["check", "--quick", "--filter", "convolution/"] + device).code == 0)
    let off = try #require(try lines(run(step, tuning: "off")).first)["tiles"] as? String
    #expect(off == "class, \(own)")
    expectOneSentence(try run(["tune"] + device, tuning: "off"), "GLOMSEG_TUNING")
    expectOneSentence(try run(["tune", "--device", "cpu"]), "no tiles")

    try "{}".write(toFile: path, atomically: true, encoding: .utf8)
    let damaged = try run(step)
    #expect(damaged.code == 0 && damaged.err.contains(path))
    #expect(damaged.err.split(separator: "\n").count { $0.contains(path) } == 1)
    #expect(try #require(try lines(damaged).first)["tiles"] as? String == "class, \(own)")
    #expect(try run(["tune", "--reset"] + device).out.contains("deleted"))
    #expect(!FileManager.default.fileExists(atPath: path))
  }

  @Test func benchMemoryComparesPlanAndProcess() throws {
    let line = try #require(
      try lines(try run("bench", "memory", "--patch", "32", "--base", "4", "--device", "cpu", "--json", "-")).first)
    #expect(line["benchmark"] as? String == "memory")
    #expect(try #require(line["peak_bytes_measured"] as? Int) > 0 && line["peak_bytes_planned"] is Int)
    expectOneSentence(try run("bench", "memory", "--patch", "32", "--device", "opencl:9:9", "--json", "-"), "opencl:9:9")
  }

  /// A check that is told to stop says what came of its cases until then: a report that has no more time keeps that.
  @Test func aCheckThatIsStoppedTellsWhatItHas() throws {
    let running = try start(["check", "--device", "cpu", "--verbose", "--fuzz", "20000", "--json", "-"])
    _ = running.err.fileHandleForReading.availableData
    usleep(300_000)
    kill(running.process.processIdentifier, SIGTERM)
    let ended = finish(running)
    let found = try #require(try JSONSerialization.jsonObject(with: Data(ended.out.utf8)) as? [String: Any])
    #expect(ended.code == 1 && found["failed"] as? Int == 0)
    #expect((found["passed"] as? Int ?? 0) > 0 && (found["skipped"] as? Int ?? 0) > 0)
  }
}
