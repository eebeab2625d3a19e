import Foundation
import Testing

@testable import Engine

/// Drivers beyond the loader's own folder: what is added, and what the loader gets to see.
@Suite struct DriverSearchTests {
  private func withFolder(_ body: (_ folder: String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("drivers-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder + "/vendors", withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(folder)
  }

  private func search(_ folder: String, _ environment: [String: String] = [:]) -> DriverSearch {
    DriverSearch(
      environment: environment.merging(["TMPDIR": folder]) { chosen, _ in chosen }, vendors: folder + "/vendors",
      nvidiaLibrary: "libnvidia-opencl.test", nvidiaFolders: [folder + "/none", folder])
  }

  private func write(_ text: String, _ path: String) throws {
    try text.write(toFile: path, atomically: true, encoding: .utf8)
  }

  @Test func findsNVIDIAWithoutAnICDFile() throws {
    try withFolder { folder in
      #expect(search(folder).additions.isEmpty, "there is no library yet")
      try write("", folder + "/libnvidia-opencl.test")
      let found = DriverSearch.Addition(library: folder + "/libnvidia-opencl.test", reason: "found without an .icd file")
      #expect(search(folder).additions == [found])
      // Copied without the link that an installation makes.
      try FileManager.default.removeItem(atPath: folder + "/libnvidia-opencl.test")
      try write("", folder + "/libnvidia-opencl.so.580.1")
      #expect(search(folder).additions.map(\.library) == [folder + "/libnvidia-opencl.so.580.1"])
      try FileManager.default.removeItem(atPath: folder + "/libnvidia-opencl.so.580.1")
      try write("", folder + "/libnvidia-opencl.test")
      try write("libpocl.so\n", folder + "/vendors/pocl.icd")
      #expect(search(folder).additions == [found], "another driver's file does not hide it")
      #expect(search(folder, ["OCL_ICD_VENDORS": folder + "/vendors"]).additions.isEmpty, "the user has chosen")
      #expect(search(folder, ["OPENCL_VENDOR_PATH": folder + "/vendors"]).additions.isEmpty, "the user has chosen")
      try write(folder + "/gone/libnvidia-opencl.so.1", folder + "/vendors/nvidia.icd")
      #expect(search(folder).additions == [found], "an .icd file names what cannot be loaded")
      let library = try #require(
        ["/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64", "/usr/lib"].map { $0 + "/libm.so.6" }
          .first { FileManager.default.fileExists(atPath: $0) })
      try FileManager.default.createDirectory(atPath: folder + "/gone", withIntermediateDirectories: true)
      try FileManager.default.createSymbolicLink(atPath: folder + "/gone/libnvidia-opencl.so.1", withDestinationPath: library)
      #expect(search(folder).additions.isEmpty, "an .icd file names it")
    }
  }

  @Test func addsWhatTheVariableNames() throws {
    try withFolder { folder in
      try write("a.so\n", folder + "/vendors/a.icd")
      let named = search(folder, ["OCL_ICD_FILENAMES": "b.so::/x/c.so:a.so"]).additions.map(\.library)
      #expect(named == ["b.so", "/x/c.so"])
    }
  }

  /// The folder that the loader gets names everything, and is gone afterwards.
  @Test(arguments: ["", "folder", "file", "name", "library"])
  func theFolderNamesOldAndNew(vendors: String) throws {
    try withFolder { folder in
      try write("a.so\nsecond line\n", folder + "/vendors/a.icd")
      try write("no driver", folder + "/vendors/readme")
      var environment = ["OCL_ICD_FILENAMES": "b.so"]
      environment["OCL_ICD_VENDORS"] =
        ["folder": folder + "/vendors", "file": folder + "/vendors/a.icd", "name": "a.icd", "library": "a.so"][vendors]
      var seen: [String] = []
      var place: String?
      let added = search(folder, environment).withFolder {
        place = $0
        for name in (try? FileManager.default.contentsOfDirectory(atPath: $0 ?? "")) ?? [] {
          seen.append((try? String(contentsOfFile: ($0 ?? "") + "/" + name, encoding: .utf8)) ?? "")
        }
      }
      #expect(added.map(\.library) == ["b.so"])
      #expect(seen.sorted() == ["a.so\n", "b.so\n"])
      let lent = try #require(place)
      #expect(lent.hasPrefix(folder) && !FileManager.default.fileExists(atPath: lent))
    }
  }

  @Test func noFolderWhereNothingIsAdded() throws {
    try withFolder { folder in
      var place: String? = "none yet"
      let added = search(folder).withFolder { place = $0 }
      #expect(added.isEmpty && place == nil)
    }
  }
}
