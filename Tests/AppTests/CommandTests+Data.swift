import Foundation
import Images
import Runs
import Testing

/// What users' own data and folders meet: nothing of theirs is overwritten, and nothing is left out unsaid.
extension CommandTests {
  @Test func whatIsGoneOnWithAndPredictedIsSaid() throws {
    try withData { folder, data in
      #expect(try run(["train", data, "-o", folder + "/run", "--epochs", "1"] + small).code == 0)
      // Other rates and losses may be gone on with, and are said.
      let changed = try run(["train", data, "-o", folder + "/run", "--resume", "--epochs", "2", "--bce-weight", "0.1"])
      #expect(changed.code == 0 && changed.err.contains("bce_weight: 0.1 instead of 0.8"), "\(changed.err)")
      // Patches of a test without annotations are predicted too; images beside which masks may lie are left alone.
      try FileManager.default.removeItem(atPath: data + "/test")
      let lone = folder + "/lone/test/s/c/img"
      try FileManager.default.createDirectory(atPath: lone, withIntermediateDirectories: true)
      let picture = try #require(
        FileManager.default.enumerator(atPath: data)?.compactMap { $0 as? String }.first { $0.hasSuffix("_img.jpg") })
      for name in ["a_0_0_0_img.jpg", "b_0_0_0_img.jpg"] {
        try FileManager.default.copyItem(atPath: data + "/" + picture, toPath: lone + "/" + name)
      }
      let blind = ["predict", folder + "/run", folder + "/lone", "--device", "cpu", "-o", folder + "/blind"]
      #expect(try run(blind).out.contains("2 masks"))
      expectOneSentence(try run("predict", folder + "/run", lone, "--device", "cpu", "-o", lone), "choose another folder")
      // One broken image costs no other its mask.
      try Data([0xff, 0xd8, 0xff]).write(to: URL(fileURLWithPath: lone + "/b_0_0_0_img.jpg"))
      try FileManager.default.removeItem(atPath: folder + "/blind")
      let broken = try run("predict", folder + "/run", lone, "--device", "cpu", "-o", folder + "/blind")
      #expect(broken.code == 1 && broken.err.contains("b_0_0_0_img.jpg") && broken.err.contains("1 of 2 images"), "\(broken.err)")
      #expect(FileManager.default.fileExists(atPath: folder + "/blind/a_0_0_0_mask.png"))
    }
  }

  /// Class numbers for masks, two trainings in one folder, a synthetic set over another one.
  @Test func whatWouldTrainOnNothingIsRefused() throws {
    try withData { folder, data in
      let synth = ["data", "synth", data, "--patch", "32", "--train", "4", "--validation", "2", "--test", "1"]
      expectOneSentence(try run(synth + ["--seed", "77"]), "choose another folder")
      let locked = RunDirectory(folder + "/locked")
      try locked.create()
      let lock = try #require(try RunLock(locked))
      expectOneSentence(try run(["train", data, "-o", folder + "/locked"] + small), "another process")
      lock.release()
      for case let file as String in FileManager.default.enumerator(atPath: data) ?? .init() where file.contains("_mask.") {
        let mask = try ImageFile.read(data + "/" + file, channels: 1)
        let labels = PixelBuffer(width: mask.width, height: mask.height, channels: 1, bytes: mask.bytes.map { $0 >= 128 ? 1 : 0 })
        try FileManager.default.removeItem(atPath: data + "/" + file)
        try ImageFile.writePNG(labels, to: data + "/" + file.replacing("_mask.jpg", with: "_mask.png"))
      }
      expectOneSentence(try run(["train", data, "-o", folder + "/labels"] + small), "the largest value there is 1")
      let inspected = try run("data", "inspect", data)
      #expect(inspected.err.contains("count as empty"), "\(inspected.err)")
    }
  }

  /// A mask drawn by hand has the name that a segmented one gets.
  @Test func segmentingLeavesAnnotationsAlone() throws {
    try withData { folder, data in
      #expect(try run(["train", data, "-o", folder + "/run", "--epochs", "1"] + small).code == 0)
      let slides = folder + "/slides"
      #expect(try run("data", "synth", slides, "--slide", "--size", "1024").code == 0)
      let mask = URL(fileURLWithPath: slides + "/synthetic_mask.tiff")
      let before = try Data(contentsOf: mask)
      let segment = ["segment", folder + "/run", slides, "--device", "cpu", "-o"]
      let refused = try run(segment + [slides])
      #expect(refused.code == 1 && refused.err.contains("synthetic_mask.tiff: was not written by"), "\(refused.err)")
      #expect(try Data(contentsOf: mask) == before)
      let huge = try run(segment + [folder + "/out", "--min-object", "1e99"])
      #expect(huge.code == 0, "\(huge.err)")
    }
  }
}
