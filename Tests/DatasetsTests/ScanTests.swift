import Randomness
import Foundation
import Images
import Testing
import Threads

@testable import Datasets

@Suite struct ScanTests {
  @Test func namesAreReadFromTheEnd() throws {
    let name = try #require(PatchFileName("PAS_I4-b_S1_12_4096_-88_mask.PNG"))
    #expect(name.prefix == "PAS_I4-b_S1")
    #expect((name.index, name.x, name.y) == (12, 4096, -88))
    #expect(name.role == .mask)
    for bad in [
      "a_1_2_img.jpg", "a_1_2_x_img.jpg", "a_1_2_3_image.jpg", "a_1_2_3_img.tif", "._a_1_2_3_img.jpg", "img",
    ] {
      #expect(PatchFileName(bad) == nil, "\(bad)")
    }
  }

  @Test func pairsComeSortedWhateverTheListing() throws {
    var files: [String] = []
    for (split, group) in [("Train", "DN"), ("train", "dn"), ("VALIDATION", "normal"), ("test", "56Nx")] {
      for i in [10, 9, 2] {
        let folder = "/d/\(split)/\(group)/12_\(split)-x"
        files.append("\(folder)/img/12_x_\(i)_0_1024_img.jpg")
        files.append("\(folder)/mask/12_x_\(i)_0_1024_mask.png")
      }
    }
    let sorted = PatchDataset.pair(files)
    #expect(sorted.faults == [])
    let splits: [Split] = [.train, .train, .validation, .test]
    #expect(sorted.pairs.map(\.split) == splits.flatMap { [$0, $0, $0] })
    #expect(sorted.pairs.prefix(3).map(\.index) == [2, 9, 10])
    #expect(Set(sorted.pairs.prefix(6).map(\.group)) == ["DN"], "the first spelling is kept")
    for pair in sorted.pairs {
      let expected = pair.imagePath.replacing("/img/", with: "/mask/").replacing("_img.jpg", with: "_mask.png")
      #expect(pair.maskPath == expected)
    }
    for seed in 0..<5 {
      var random = RandomSource(seed: UInt64(seed))
      let shuffled = random.permutation(files.count).map { files[$0] }
      #expect(PatchDataset.pair(shuffled).pairs == sorted.pairs)
    }
  }

  @Test func anyFolderFromParentToCaseWillDo() throws {
    let folder = try TemporaryFolder()
    try folder.pair("some/where/train/DN/a_b", "a_b_0_0_0")
    try folder.pair("some/where/train/normal/c", "c_0_0_0")
    try folder.pair("some/where/test/DN/d", "d_0_0_0")
    for (root, count) in [
      ("", 3), ("/some/where", 3), ("/some/where/", 3), ("/some/where/train", 2), ("/some/where/train/DN", 1),
      ("/some/where/train/DN/a_b", 1), ("/some/where/test/../test", 1),
    ] {
      let dataset = try PatchDataset.scan(root: folder.path + root)
      #expect(dataset.pairs.count == count, "\(root)")
      #expect(dataset.faults == [])
    }
    let dataset = try PatchDataset.scan(root: folder.path)
    #expect(dataset.pairs[0].caseName == "a_b" && dataset.pairs[0].group == "DN")
    #expect(dataset.pairs[0].width == 4 && dataset.pairs[0].height == 4)
  }

  @Test func linksInCirclesEnd() throws {
    let folder = try TemporaryFolder()
    try folder.pair("train/DN/a", "a_0_0_0")
    try FileManager.default.createSymbolicLink(atPath: folder.path + "/train/up", withDestinationPath: folder.path)
    #expect(try PatchDataset.scan(root: folder.path).pairs.count == 1)
  }

  @Test func aLinkMayBeTheSplit() throws {
    let folder = try TemporaryFolder()
    try folder.pair("store/part7/DN/a", "a_0_0_0")
    let link = folder.path + "/train"
    try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: folder.path + "/store/part7")
    let dataset = try PatchDataset.scan(root: link)
    #expect(dataset.faults == [] && dataset.pairs.map(\.split) == [.train])
    #expect(FolderWalk.absolutePath(".") == FileManager.default.currentDirectoryPath)
  }

  @Test func everyFaultNamesItsFile() throws {
    let folder = try TemporaryFolder()
    let root = folder.path
    try folder.pair("train/DN/a", "good_0_0_0")
    try folder.picture("train/DN/a/img/lonely_1_0_0_img.jpg")
    try folder.picture("train/DN/a/mask/widow_2_0_0_mask.jpg")
    try folder.picture("train/DN/a/img/size_3_0_0_img.png", width: 4)
    try folder.picture("train/DN/a/mask/size_3_0_0_mask.png", width: 5)
    try folder.picture("train/DN/a/img/text_4_0_0_img.jpg")
    try folder.file("train/DN/a/mask/text_4_0_0_mask.jpg", Array("no image at all".utf8))
    try folder.pair("train/DN/a", "twice_5_0_0")
    try folder.picture("train/DN/a/img/twice_5_0_0_img.png")
    try folder.picture("train/DN/a/img/IMG_0815.jpg")
    try folder.pair("elsewhere", "out_6_0_0")
    try folder.file("train/DN/a/img/Thumbs.db", [1, 2, 3])

    let dataset = try PatchDataset.scan(root: root)
    #expect(dataset.pairs.map(\.prefix) == ["good", "twice"])
    let found = Dictionary(uniqueKeysWithValues: dataset.faults.map { ($0.path, $0.kind) })
    #expect(
      found == [
        "\(root)/train/DN/a/img/lonely_1_0_0_img.jpg": .imageWithoutMask,
        "\(root)/train/DN/a/mask/widow_2_0_0_mask.jpg": .maskWithoutImage,
        "\(root)/train/DN/a/mask/size_3_0_0_mask.png": .sizeMismatch,
        "\(root)/train/DN/a/mask/text_4_0_0_mask.jpg": .badFile(.notAnImage),
        "\(root)/train/DN/a/img/twice_5_0_0_img.png": .duplicate,
        "\(root)/train/DN/a/img/IMG_0815.jpg": .misnamed,
        "\(root)/elsewhere/img": .misplaced,
        "\(root)/elsewhere/mask": .misplaced,
      ])
    #expect(throws: DatasetError.faults(dataset.faults)) { try dataset.requireFaultless() }
    #expect("\(DatasetError.faults(dataset.faults))".hasPrefix("the data set has 8 faults:\n  \(root)/"))
  }

  @Test func aCutFileIsFoundByVerifying() throws {
    let folder = try TemporaryFolder()
    for i in 0..<6 { try folder.pair("train/DN/a", "p_\(i)_0_0", value: UInt8(i % 2 * 255)) }
    let whole = try ImageFile.encodeJPEG(PixelBuffer(width: 64, height: 64, channels: 3, filledWith: 3))
    let cut = try folder.file("train/DN/a/img/p_6_0_0_img.jpg", Array(whole.dropLast(20)))
    try folder.picture("train/DN/a/mask/p_6_0_0_mask.jpg", width: 64, height: 64)

    let scanned = try PatchDataset.scan(root: folder.path)
    #expect(scanned.faults == [] && scanned.pairs.count == 7, "the header alone is fine")
    let calls = Monitor<[Int]>([])
    let verified = scanned.verified(threads: 3) { done, total in
      calls.change { $0.append(done) }
      #expect(total == 7)
    }
    #expect(calls.change { $0 } == Array(1...7))
    #expect(verified.pairs.map(\.index) == [0, 1, 2, 3, 4, 5])
    #expect(verified.faults.map(\.path) == [cut])
    #expect(verified.faults.map(\.kind) == [.badFile(.truncated)])
    #expect(verified.pairs.map(\.foregroundCount) == [0, 16, 0, 16, 0, 16])
    #expect(verified.summary.foregroundFraction == 0.5)
  }

  @Test func nothingThereIsExplained() throws {
    let folder = try TemporaryFolder()
    for root in [folder.path, folder.path + "/missing", try folder.file("file.txt", [1])] {
      do {
        _ = try PatchDataset.scan(root: root)
        Issue.record("\(root) is no data set")
      } catch {
        #expect("\(error)".hasPrefix(root) && "\(error)".contains("{train,validation,test}/<group>/<case>"))
      }
    }
    try folder.pair("train/DN/a", "p_0_0_0")
    let dataset = try PatchDataset.scan(root: folder.path)
    #expect(throws: DatasetError.self) { try dataset.requirePairs(in: .test) }
    #expect(try dataset.requirePairs(in: .train).count == 1)
  }

  @Test func summaryCounts() throws {
    let folder = try TemporaryFolder()
    try folder.pair("train/DN/a", "a_0_0_0")
    try folder.pair("train/DN/a", "a_1_0_0")
    try folder.pair("train/normal/b", "b_0_0_0")
    try folder.pair("test/dn/a", "a_0_0_0")
    let summary = try PatchDataset.scan(root: folder.path).summary
    #expect(summary.patchCount == 4 && summary.patchCount(in: .train) == 3 && summary.caseCount(in: .train) == 2)
    #expect(summary.groups.map(\.name) == ["DN", "normal", "DN"])
    #expect(summary.sizes == [.init(width: 4, height: 4, patchCount: 4)])
    #expect(summary.foregroundFraction == nil)
    #expect(summary.casesInSeveralSplits == ["DN/a"])
    #expect(summary.description.hasPrefix("train: 3 patches of 2 cases (DN 2, normal 1)"))
  }
}
