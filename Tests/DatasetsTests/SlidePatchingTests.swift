import Foundation
import Images
import Randomness
import Slides
import Synchronization
import Testing

@testable import Datasets

@Suite struct SlidePatchingTests {
  private let folder = try! TemporaryFolder()

  /// A coloured picture with its mask, as PNG files: slides of one level.
  private func slide(_ name: String, width: Int, height: Int, seed: UInt64, mask: String? = nil) throws -> [UInt8] {
    var random = RandomSource(state: seed)
    var image = PixelBuffer(width: width, height: height, channels: 3)
    for i in image.bytes.indices { image.bytes[i] = UInt8(60 + random.below(100) + i % 3 * 20) }
    var bits = [UInt8](repeating: 0, count: width * height)
    for _ in 0..<4 {
      let x = random.below(width), y = random.below(height), r = 2 + random.below(min(width, height) / 3)
      for j in max(0, y - r)..<min(height, y + r) { for i in max(0, x - r)..<min(width, x + r) { bits[j * width + i] = 255 } }
    }
    let path = "\(folder.path)/\(name)"
    try FileBytes.makeFolder((path as NSString).deletingLastPathComponent)
    try ImageFile.writePNG(image, to: path)
    let maskPath = mask.map { "\(folder.path)/\($0)" } ?? path.replacingOccurrences(of: "_wsi.tiff", with: "_mask.tiff")
    try FileBytes.makeFolder((maskPath as NSString).deletingLastPathComponent)
    // The first bytes tell the format, not the suffix.
    try ImageFile.writePNG(PixelBuffer(width: width, height: height, channels: 1, bytes: bits), to: maskPath)
    return bits
  }

  private func options(_ change: (inout PatchingOptions) -> Void = { _ in }) -> PatchingOptions {
    var options = PatchingOptions()
    options.patchSize = 16
    options.overlap = 4
    options.threads = 2
    change(&options)
    return options
  }

  private func files(_ name: String) throws -> [String: Data] {
    let root = folder.path + "/" + name
    var found: [String: Data] = [:]
    for case let file as String in FileManager.default.enumerator(atPath: root) ?? .init() {
      if let data = FileManager.default.contents(atPath: root + "/" + file), !data.isEmpty { found[file] = data }
    }
    return found
  }

  /// Slide → patches on disk → stitched → the slide's mask, for any size, overlap, edge and format.
  @Test(arguments: UInt64(0)..<12)
  func patchesOnDiskStitchToTheMask(_ seed: UInt64) throws {
    var random = RandomSource(state: seed)
    let width = 9 + random.below(60), height = 9 + random.below(60)
    let bits = try slide("slides/DN/c1_wsi.tiff", width: width, height: height, seed: seed)
    let options = options {
      $0.patchSize = 5 + random.below(25)
      $0.overlap = random.below($0.patchSize)
      $0.edge = [PatchGrid.Edge.shift, .pad][random.below(2)]
      $0.format = [.jpg, .png][random.below(2)]
      $0.minimumPositive = 0
    }
    let report = try SlidePatching.run(
      SlideSet.find([folder.path + "/slides"]), to: folder.path + "/patches", options: options)
    #expect(report.failures == [] && report.kept == report.positions)
    let dataset = try PatchDataset.scan(root: folder.path + "/patches")
    try dataset.requireFaultless()
    #expect(dataset.pairs.count == report.kept)
    #expect(dataset.pairs.allSatisfy { $0.group == "DN" && $0.caseName == "c1" && $0.prefix == "DN_c1" && $0.split == .train })

    var stitcher = Stitcher(width: width, height: height, side: options.patchSize, blend: .gaussian)
    var stitched: [UInt8] = []
    for pair in dataset.pairs.sorted(by: { $0.index < $1.index }) {
      let mask = try ImageFile.read(pair.maskPath, channels: 1)
      stitcher.finish(upTo: pair.y) { stitched += $1 }
      mask.bytes.map { Float($0 >= 128 ? 1 : 0) }.withUnsafeBufferPointer { stitcher.add($0, x: pair.x, y: pair.y) }
    }
    stitcher.finish(upTo: height) { stitched += $1 }
    #expect(stitched == bits)
  }

  @Test func everyPositionIsInTheManifest() throws {
    _ = try slide("slides/DN/a_wsi.tiff", width: 100, height: 50, seed: 1)
    let report = try SlidePatching.run(
      SlideSet.find([folder.path + "/slides"]), to: folder.path + "/patches",
      options: options { ($0.minimumPositive, $0.split) = (0.3, .test) })
    let grid = PatchGrid(width: 100, height: 50, patch: 16, stride: 12, edge: .shift)
    let lines = try String(contentsOfFile: folder.path + "/patches/manifest.csv", encoding: .utf8).split(separator: "\n")
    #expect(lines[0] == "slide,index,x,y,positive,tissue,outcome,image" && lines.count == grid.count + 1)
    let records = lines.dropFirst().compactMap { PatchRecord(line: $0) }
    #expect(records.map(\.index) == Array(0..<grid.count))
    for record in records {
      #expect((record.x, record.y) == grid[record.index])
      #expect((record.outcome == .kept) == (record.positive >= 0.3))
      #expect((record.outcome == .kept) == !record.image.isEmpty)
      #expect(FileManager.default.fileExists(atPath: folder.path + "/patches/" + record.image))
    }
    #expect(report.kept == records.count { $0.outcome == .kept } && report.kept > 0 && report.fewPositives > 0)
    #expect(try files("patches").keys.allSatisfy { !$0.contains("part") })
  }

  @Test func stoppedWorkGoesOnToTheSameFiles() throws {
    for name in ["a", "b"] { _ = try slide("slides/DN/\(name)_wsi.tiff", width: 90, height: 70, seed: 3) }
    let cases = try SlideSet.find([folder.path + "/slides"])
    let options = options { ($0.minimumPositive, $0.keptNegatives) = (0.2, 0.3) }
    let straight = try SlidePatching.run(cases, to: folder.path + "/straight", options: options)
    #expect(straight.fewPositives > 0)
    for stopAfter in [5, 20, 40] {
      let count = Atomic<Int>(0)
      let part = try SlidePatching.run(
        cases, to: folder.path + "/parts", options: options,
        shouldStop: { count.add(1, ordering: .relaxed).newValue > stopAfter })
      #expect(part.wasInterrupted)
    }
    // Killed in the middle of a line.
    let journal = folder.path + "/parts/manifest.part.csv"
    let handle = try #require(FileHandle(forWritingAtPath: journal))
    handle.seekToEndOfFile()
    try handle.write(contentsOf: Data("train/DN/b,13,4".utf8))
    try handle.close()
    let whole = try SlidePatching.run(cases, to: folder.path + "/parts", options: options)
    #expect(whole == straight)
    #expect(try files("parts") == files("straight"))
    // Once more changes nothing, other options are refused, and so the folder stays whole.
    #expect(try SlidePatching.run(cases, to: folder.path + "/parts", options: options) == straight)
    #expect {
      try SlidePatching.run(cases, to: folder.path + "/parts", options: self.options { $0.overlap = 5 })
    } throws: { "\($0)".contains("cut otherwise") }
  }

  /// Another slide or mask under an old name is cut anew: the patches of the old one go, the other slides' stay as they were.
  @Test func whatChangedIsCutAnew() throws {
    for name in ["a", "b"] { _ = try slide("slides/DN/\(name)_wsi.tiff", width: 90, height: 70, seed: 3) }
    let cases = try SlideSet.find([folder.path + "/slides"])
    let options = options { $0.minimumPositive = 0.2 }
    _ = try SlidePatching.run(cases, to: folder.path + "/cut", options: options)
    let before = try files("cut")
    // A mask of another length, so that the stamp differs within the same second too.
    _ = try slide("other/b_wsi.tiff", width: 90, height: 70, seed: 8)
    let mask = folder.path + "/slides/DN/b_mask.tiff"
    try FileManager.default.removeItem(atPath: mask)
    try FileManager.default.moveItem(atPath: folder.path + "/other/b_mask.tiff", toPath: mask)
    let report = try SlidePatching.run(cases, to: folder.path + "/cut", options: options)
    #expect(report == (try SlidePatching.run(cases, to: folder.path + "/straight", options: options)))
    #expect(try files("cut") == files("straight"))
    let (now, ofA) = (try files("cut"), { (name: String) in name.contains("/a/") })
    #expect(now.filter { ofA($0.key) } == before.filter { ofA($0.key) })
    #expect(now.filter { $0.key.contains("/b/") } != before.filter { $0.key.contains("/b/") })
  }

  @Test func layoutsOfTheChallenge() throws {
    _ = try slide("kpis/train/DN/12_1_wsi.tiff", width: 20, height: 20, seed: 1)
    _ = try slide(
      "kpis/validation/NEP25/image_wsi/v_wsi.tiff", width: 20, height: 20, seed: 2,
      mask: "kpis/validation/NEP25/mask_wsi/v_mask.tiff")
    let found = try SlideSet.find([folder.path + "/kpis"])
    #expect(found.map(\.caseName) == ["12_1", "v"] && found.map(\.group) == ["DN", "NEP25"])
    #expect(found.map(\.split) == [.train, .validation] && found.allSatisfy { $0.maskPath != nil })
    let one = try SlideSet.find([folder.path + "/kpis/train/DN/12_1_wsi.tiff"], group: "other")
    #expect(one[0].group == "other" && one[0].split == .train)
    #expect { try SlideSet.find([folder.path + "/none"]) } throws: { "\($0)".contains("no such slide") }
  }

  /// Each group at its own scale: x and y are level-0 pixels whatever the patch's are.
  @Test func scalesGoByGroup() throws {
    _ = try slide("s/DN/a_wsi.tiff", width: 96, height: 64, seed: 1)
    _ = try slide("s/NEP25/b_wsi.tiff", width: 96, height: 64, seed: 1)
    _ = try SlidePatching.run(
      SlideSet.find([folder.path + "/s"]), to: folder.path + "/patches",
      options: options {
        $0.magnification = PatchingOptions.challengeMagnification
        ($0.minimumPositive, $0.overlap) = (0, 0)
      })
    let pairs = try PatchDataset.scan(root: folder.path + "/patches").pairs
    let half = pairs.filter { $0.group == "DN" }, full = pairs.filter { $0.group == "NEP25" }
    #expect(half.count == 6 && full.count == 24)
    #expect(Set(half.map(\.x)) == [0, 32, 64] && Set(full.map(\.x)) == [0, 16, 32, 48, 64, 80])
    #expect {
      let report = try SlidePatching.run(
        SlideSet.find([folder.path + "/s"]), to: folder.path + "/mpp",
        options: options { $0.magnification = .micronsPerPixel(0.5) })
      throw DatasetError.option(report.failures.joined())
    } throws: { "\($0)".contains("does not say its resolution") }
  }

  @Test func aBadSlideDoesNotKeepTheOthers() throws {
    _ = try slide("s/DN/a_wsi.tiff", width: 40, height: 40, seed: 1)
    _ = try slide("s/DN/b_wsi.tiff", width: 40, height: 40, seed: 1)
    try FileBytes.write([0x49, 0x49, 42, 0, 9], to: folder.path + "/s/DN/a_wsi.tiff")
    _ = try slide("s/DN/c_wsi.tiff", width: 40, height: 40, seed: 1, mask: "elsewhere/c_mask.png")
    let report = try SlidePatching.run(
      SlideSet.find([folder.path + "/s"]), to: folder.path + "/patches", options: options { $0.minimumPositive = 0 })
    #expect(report.slides == 1 && report.failures.count == 2)
    #expect(report.failures[0].contains("a_wsi.tiff") && report.failures[1].contains("has no mask"))
  }

  @Test func inspectionCountsAndWarns() throws {
    _ = try slide("s/DN/a_wsi.tiff", width: 64, height: 64, seed: 5)
    _ = try SlidePatching.run(
      SlideSet.find([folder.path + "/s"]), to: folder.path + "/p",
      options: options { ($0.minimumPositive, $0.format) = (0, .png) })
    // One patch lies in another split, too.
    for part in ["img", "mask"] {
      let from = folder.path + "/p/train/DN/a/\(part)"
      let name = try #require(try FileManager.default.contentsOfDirectory(atPath: from).sorted().first)
      try FileManager.default.createDirectory(atPath: folder.path + "/p/test/DN/z/\(part)", withIntermediateDirectories: true)
      try FileManager.default.copyItem(atPath: from + "/" + name, toPath: folder.path + "/p/test/DN/z/\(part)/" + name)
    }
    let data = try PatchDataset.scan(root: folder.path + "/p").verified()
    let inspection = DatasetInspection(data)
    #expect(inspection.rows.map(\.caseName) == ["a", nil, "z", nil])
    let all = inspection.rows[1]
    #expect(all.patches == 25 && all.size == "16×16" && all.pixels == 25 * 256)
    let foreground = data.pairs(in: .train).reduce(0) { $0 + ($1.foregroundCount ?? 0) }
    #expect(all.foreground == foreground && all.suggestedPositiveWeight == Double(6400 - foreground) / Double(foreground))
    #expect(inspection.duplicates.count == 1 && inspection.duplicates[0].count == 2)
    #expect(inspection.notes.contains { $0.contains("more than one split") })
    let sheet = try ContactSheet.draw(data, side: 20, columns: 4)
    #expect(sheet.rows == ["train/DN", "test/DN"] && sheet.sheet.height == 44 && sheet.sheet.width == 92)
  }

  @Test func aSyntheticSlideHasItsMask() throws {
    var options = SlideSynthesis.Options(width: 1500, height: 1200, seed: 4)
    options.threads = 2
    try SlideSynthesis.write(to: folder.path + "/synth", name: "s", options: options)
    let slide = try Slide.open(folder.path + "/synth/s_wsi.tiff")
    #expect(slide.levels.map(\.width) == [1500, 750, 375] && slide.micronsPerPixel == 0.5)
    let mask = try RunMask.read(folder.path + "/synth/s_mask.tiff", width: 1500, height: 1200)
    #expect(MaskObjects(mask).objects.count > 2)
    // Glomeruli lie in tissue.
    let tissue = try TissueMap(slide)
    for object in MaskObjects(mask).objects where object.area > 400 {
      #expect(tissue.touches(x: Double(object.left), y: Double(object.top), width: 40, height: 40))
    }
    try SlideSynthesis.write(to: folder.path + "/again", name: "s", options: options)
    #expect(try files("synth") == files("again"))
  }
}
