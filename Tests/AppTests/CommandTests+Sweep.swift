import Foundation
import Glibc
import Testing

/// `glomseg sweep` and `glomseg report`, as a user runs them.
extension CommandTests {
  @Test func aSweepGoesOnAfterAFailureAndItsReportIsOnePage() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("glomseg-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let data = folder + "/data"
    #expect(try run("data", "synth", data, "--patch", "32", "--train", "3", "--validation", "3", "--test", "0").code == 0)
    let sweep = folder + "/s.yaml"
    let text = """
      base: {patch: 32, base: 2, epochs: 1, device: cpu}
      grid: {start_from: ['/no/such.safetensors', ''], pos_weight: [1, 5]}
      """
    try text.write(toFile: sweep, atomically: true, encoding: .utf8)
    let none = try run("sweep", sweep)
    #expect(none.code == 1 && none.err.contains("--data"))

    let runs = folder + "/runs"
    let ended = try run("sweep", sweep, "--data", data, "-o", runs)
    #expect(
      ended.code == 1 && ended.err.contains("2 of 4 runs failed") && ended.out.contains("2 of 4 runs are finished"),
      "\(ended.err)")
    let results = try String(contentsOfFile: runs + "/results.csv", encoding: .utf8).split(separator: "\n")
    #expect(results.count == 5 && results.filter { $0.contains(",finished,") }.count == 2)
    #expect(results.filter { $0.contains(",failed,") && $0.contains("/no/such.safetensors") }.count == 2)
    let listed = try run("sweep", sweep, "--data", data, "-o", runs, "--list", "--shard", "1/2")
    #expect(listed.code == 0 && listed.out.contains("2 of 4 runs in part 1 of 2"))
    #expect(try run("sweep", sweep, "--data", data, "--shard", "3/2").code == 64)

    let page = folder + "/page.html"
    let report = try run(
      "report", runs, "--data", data, "--device", "cpu", "-o", page, "--figures", folder + "/figures", "--tensorboard",
      folder + "/events")
    #expect(report.code == 0, "\(report.err)")
    let html = try String(contentsOfFile: page, encoding: .utf8)
    #expect(html.contains("4 runs") && html.contains("failed: ") && !html.contains("http:") && !html.contains("https:"))
    #expect(FileManager.default.fileExists(atPath: folder + "/figures/scores.svg"))
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder + "/events").count == 4)
    let empty = try run("report", data, "-o", page)
    #expect(empty.code == 1 && empty.err.contains("holds no run"))
    #expect(try run("report", runs, "--heat", "pos_weight,nonsense", "-o", page).err.contains("nonsense"))
  }

  /// A sweep whose process is killed while a run is trained, twice, has in the end the table of one that ran through.
  @Test func aKilledSweepEndsWithTheSameTable() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("glomseg-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let (data, sweep) = (folder + "/data", folder + "/s.yaml")
    #expect(try run("data", "synth", data, "--patch", "32", "--train", "6", "--validation", "2", "--test", "0").code == 0)
    let text = """
      base: {patch: 32, base: 2, epochs: 40, device: cpu, flips: true, average: 0.9, schedule: cosine}
      grid: {learning_rate: [1.0e-2, 1.0e-3], pos_weight: [1, 5]}
      """
    try text.write(toFile: sweep, atomically: true, encoding: .utf8)
    #expect(try run("sweep", sweep, "--data", data, "-o", folder + "/whole").code == 0)

    let parts = folder + "/parts"
    func begun() -> [String] {
      let names = ((try? FileManager.default.contentsOfDirectory(atPath: parts)) ?? []).filter { $0.hasPrefix("ps32") }
      return names.filter { FileManager.default.fileExists(atPath: parts + "/\($0)/resume.safetensors") }
    }
    for runs in 1...2 {
      let process = try start(["sweep", sweep, "--data", data, "-o", parts])
      let deadline = Date().addingTimeInterval(60)
      while begun().count < runs, Date() < deadline { usleep(1000) }
      kill(process.process.processIdentifier, SIGKILL)
      #expect(finish(process).code == SIGKILL, "it was at an end before it was killed")
    }
    let listed = try run("sweep", sweep, "--data", data, "-o", parts, "--list")
    #expect(listed.out.contains("unfinished") && listed.out.contains("waiting"), "\(listed.out)")
    #expect(try run("sweep", sweep, "--data", data, "-o", parts).code == 0)

    /// The table without the seconds, the one column that time decides.
    func table(_ name: String) throws -> [[Substring]] {
      let rows = try String(contentsOfFile: folder + "/\(name)/results.csv", encoding: .utf8).split(separator: "\n")
        .map { $0.split(separator: ",", omittingEmptySubsequences: false) }
      let seconds = try #require(rows.first?.firstIndex(of: "seconds"))
      return rows.map { row in row.enumerated().filter { $0.offset != seconds }.map(\.element) }
    }
    let (whole, rest) = (try table("whole"), try table("parts"))
    #expect(whole.count == 5 && whole == rest)
    for name in begun() {
      for file in ["best.safetensors", "last.safetensors", "groups.csv"] {
        let paths = ["whole", "parts"].map { "\(folder)/\($0)/\(name)/\(file)" }
        #expect(FileManager.default.contentsEqual(atPath: paths[0], andPath: paths[1]), "\(name)/\(file) differs")
      }
    }
  }
}
