import Foundation
import Glibc
import Testing

/// What commands write to and what they leave alone, as a user meets it.
extension CommandTests {
  private func withFolder(_ body: (String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("glomseg-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(folder)
  }

  private func dataset(_ folder: String, _ name: String, train: Int = 4, seed: Int = 7) throws -> String {
    let data = folder + "/" + name
    let made = try run(
      "data", "synth", data, "--patch", "32", "--train", "\(train)", "--validation", "2", "--test", "2", "--seed", "\(seed)")
    try #require(made.code == 0, "\(made.err)")
    return data
  }

  /// Results go into what a path names: a link's target, a pipe; never in place of them.
  @Test func linksAndPipesStayWhatTheyAre() throws {
    try withFolder { folder in
      let (real, link, pipe) = (folder + "/real", folder + "/link", folder + "/pipe")
      try "old".write(toFile: real, atomically: true, encoding: .utf8)
      try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: "real")
      #expect(try run("plan", "--patch", "32", "--base", "2", "--device", "cpu", "--json", link).code == 0)
      #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link) == "real")
      #expect(try String(contentsOfFile: real, encoding: .utf8).contains("peak_bytes"))
      try #require(mkfifo(pipe, 0o600) == 0)
      let reader = open(pipe, O_RDONLY | O_NONBLOCK)
      defer { close(reader) }
      #expect(try run("plan", "--patch", "32", "--base", "2", "--device", "cpu", "--json", pipe).code == 0)
      var bytes = [UInt8](repeating: 0, count: 4096)
      let count = read(reader, &bytes, bytes.count)
      #expect(count > 0 && String(decoding: bytes.prefix(max(0, count)), as: UTF8.self).contains("peak_bytes"))
      var about = stat()
      #expect(lstat(pipe, &about) == 0 && about.st_mode & S_IFMT == S_IFIFO)
    }
  }

  /// What standard output could not take is no success.
  @Test func aFullDiskIsNoSuccess() throws {
    let program = try #require(Self.program)
    let process = Process()
    process.executableURL = program
    process.arguments = ["plan", "--patch", "32", "--base", "2", "--device", "cpu", "--json", "-"]
    process.standardOutput = FileHandle(forWritingAtPath: "/dev/full")
    let errors = Pipe()
    process.standardError = errors
    try process.run()
    let said = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationStatus == 1 && said.contains("standard output cannot be written"), "\(said)")
  }

  /// Options that a kind of data does not have are refused, and so are names of groups that are not there.
  @Test func optionsThatDoNothingAreRefused() throws {
    try withFolder { folder in
      let data = try dataset(folder, "data")
      #expect(
        try run(["train", data, "-o", folder + "/run", "--patch", "32", "--base", "2", "--epochs", "1", "--device", "cpu"]).code
          == 0)
      for words in [["--tta", "4"], ["--overlap", "25%"], ["-o", folder + "/out"]] {
        let refused = try run(["evaluate", folder + "/run", data, "--device", "cpu"] + words)
        #expect(refused.code == 1 && refused.err.contains("\(words[0]) is for slides"), "\(refused.err)")
      }
      #expect(try run("data", "synth", folder + "/slides", "--slide", "--size", "600").code == 0)
      let misspelt = try run("patch", folder + "/slides", "-o", folder + "/p", "--patch-size", "128", "--scale", "slidez=2")
      #expect(
        misspelt.code == 1 && misspelt.err.contains("no slide is of a group 'slidez'; there are: slides"), "\(misspelt.err)")
      // Masks of a data set's images would take the place of its annotations.
      let case1 = try #require(
        FileManager.default.enumerator(atPath: data)?.compactMap { $0 as? String }.first { $0.hasSuffix("/img") })
      let masks = data + "/" + case1.dropLast(3) + "mask"
      let over = try run("predict", folder + "/run", data + "/" + case1, "-o", masks, "--device", "cpu")
      #expect(over.code == 1 && over.err.contains("is where annotations of"), "\(over.err)")
    }
  }

  /// Runs of one data set do not pass for those of another, in a sweep or resumed.
  @Test func runsKeepToTheirData() throws {
    try withFolder { folder in
      let (first, second) = (try dataset(folder, "first"), try dataset(folder, "second", seed: 8))
      let sweep = folder + "/s.yaml"
      try "base: {patch: 32, base: 2, epochs: 1, device: cpu}\ngrid: {seed: [0]}".write(
        toFile: sweep, atomically: true, encoding: .utf8)
      #expect(try run("sweep", sweep, "--data", first, "-o", folder + "/runs").code == 0)
      let other = try run("sweep", sweep, "--data", second, "-o", folder + "/runs")
      #expect(other.code == 1 && other.err.contains(first) && other.err.contains(second), "\(other.err)")
      // The same patches elsewhere are the same data; a device is asked for where there is something to train.
      try FileManager.default.copyItem(atPath: first, toPath: folder + "/copy")
      let done = try run("sweep", sweep, "--data", folder + "/copy", "-o", folder + "/runs", "--device", "opencl:9:9")
      #expect(done.code == 0 && done.out.contains("1 of 1 runs are finished"), "\(done.err)")
      let more = folder + "/t.yaml"
      try "base: {patch: 32, base: 2, epochs: 1, device: cpu}\ngrid: {seed: [1, 2]}".write(
        toFile: more, atomically: true, encoding: .utf8)
      let missing = try run("sweep", more, "--data", first, "-o", folder + "/runs", "--device", "opencl:9:9")
      #expect(missing.code == 1 && missing.err.contains("no device 'opencl:9:9'") && !missing.err.contains("runs failed"))

      let train = ["-o", folder + "/run", "--patch", "32", "--base", "2", "--device", "cpu"]
      #expect(try run(["train", first, "--epochs", "1"] + train).code == 0)
      let resumed = try run(["train", second, "--epochs", "2", "--resume"] + train)
      #expect(resumed.code == 1 && resumed.err.contains("other pictures of these names"), "\(resumed.err)")
      #expect(try run(["train", first, "--epochs", "2", "--resume"] + train).code == 0)
    }
  }

  /// Sizes with which numbers of bytes or operations overflow are refused in words.
  @Test func sizesBeyondNumbersAreRefused() throws {
    for words in [["--patch", "64", "--base", "50000000"], ["--patch", "65520", "--batch", "65535", "--base", "1024"]] {
      let refused = try run(["plan", "--device", "cpu"] + words)
      #expect(refused.code == 1 && refused.err.contains("base"), "\(refused.code) \(refused.err)")
    }
  }
}
