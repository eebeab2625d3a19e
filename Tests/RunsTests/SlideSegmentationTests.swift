import Datasets
import Engine
import Foundation
import Images
import Slides
import Testing

@testable import Runs

/// Whole slides by a network whose weights are set by hand: red pixels are glomeruli, whatever is around them.
@Suite(.serialized) final class SlideSegmentationTests {
  private let folder = FileManager.default.temporaryDirectory.appendingPathComponent("glomseg-\(UUID().uuidString)").path

  init() throws { try FileBytes.makeFolder(folder) }
  deinit { try? FileManager.default.removeItem(atPath: folder) }

  /// Every weight 0 but those that carry red − green straight through the first level: logit = 60 · (red − green − ½).
  private func redNetwork() throws -> InferenceSession {
    let model = VariableUNet(base: 4)
    return try InferenceSession(model, on: CPUBackend()) { state throws(EngineError) in
      for entry in state.layout.entries {
        var values = [Float](repeating: 0, count: entry.count)
        func set(_ place: [Int], _ value: Float) {
          values[zip(entry.dimensions, place).reduce(0) { $0 * $1.0 + $1.1 }] = value
        }
        switch entry.name {
        case "enc1.double_conv.0.weight":
          set([0, 0, 1, 1], 1)
          set([0, 1, 1, 1], -1)
        case "enc1.double_conv.3.weight", "dec1.double_conv.3.weight": set([0, 0, 1, 1], 1)
        // Two channels from below come before those of the first level.
        case "dec1.double_conv.0.weight": set([0, 2, 1, 1], 1)
        case "final.weight": set([0, 0, 0, 0], 60)
        case "final.bias": values = [-30]
        default:
          let isScale = entry.name.hasSuffix(".running_var") || (entry.dimensions.count == 1 && entry.name.hasSuffix(".weight"))
          if isScale { values = [Float](repeating: 1, count: entry.count) }
        }
        try state.write(values, to: entry.slab, offset: entry.offset)
      }
    }
  }

  /// Red discs in violet tissue on glass, black at the right.
  private func slide(_ name: String, width: Int, height: Int) throws -> (path: String, bits: [UInt8]) {
    var image = PixelBuffer(width: width, height: height, channels: 3, filledWith: 240)
    var bits = [UInt8](repeating: 0, count: width * height)
    let discs = [(30, 30, 12), (70, 41, 9), (33, 77, 15), (0, 60, 8), (76, 76, 4)]
    for y in 0..<height {
      for x in 0..<width {
        var colour: [UInt8] = [240, 240, 240]
        if x > width - 10 { colour = [3, 2, 4] } else if x < 85 && y > 10 { colour = [90, 50, 140] }
        for disc in discs where (x - disc.0) * (x - disc.0) + (y - disc.1) * (y - disc.1) <= disc.2 * disc.2 {
          colour = [230, 60, 120]
          bits[y * width + x] = 255
        }
        for c in 0..<3 { image[x, y, c] = colour[c] }
      }
    }
    let path = "\(folder)/\(name)"
    try FileBytes.makeFolder((path as NSString).deletingLastPathComponent)
    try ImageFile.writePNG(image, to: path)
    return (path, bits)
  }

  private func options(_ change: (inout SegmentationOptions) -> Void = { _ in }) -> SegmentationOptions {
    var options = SegmentationOptions()
    options.patchSize = 32
    options.smallestObject = .pixels(0)
    options.largestHole = .pixels(0)
    options.threads = 2
    options.batch = 3
    change(&options)
    return options
  }

  private func segment(
    _ path: String, to name: String, options: SegmentationOptions, session: InferenceSession, stopAfter: Int = .max
  ) throws -> SegmentationRun.SlideOutcome? {
    let run = SegmentationRun(
      SlideSegmenter(session, side: 32, modelDigest: "red", options: options), folder: folder + "/" + name)
    try FileBytes.makeFolder(folder + "/" + name)
    var outcome: SegmentationRun.SlideOutcome?
    var steps = 0
    let stopped = try run.run(
      SlideSet.find([path]), shouldStop: { steps >= stopAfter }, progress: { _, _, _ in steps += 1 }
    ) { outcome = $1 }
    #expect(stopped == (outcome == nil))
    return outcome
  }

  private func mask(_ name: String, _ slide: String, width: Int, height: Int) throws -> [UInt8] {
    let mask = try RunMask.read("\(folder)/\(name)/\(slide)_mask.tiff", width: width, height: height)
    var bits = [UInt8](repeating: 0, count: width * height)
    bits.withUnsafeMutableBufferPointer { bytes in
      for row in 0..<height {
        mask.draw(row: row, from: 0, into: UnsafeMutableBufferPointer(rebasing: bytes[row * width..<(row + 1) * width]))
      }
    }
    return bits
  }

  /// The network's answer depends on the pixel alone: any stride, edge, blend, batch and view gives the same mask, the true one.
  @Test func seamsAreInvisible() throws {
    let session = try redNetwork()
    let (path, bits) = try slide("s/odd.png", width: 121, height: 99)
    for (i, change)
      in ([
        { $0.overlap = 0 },
        { $0.overlap = 0.25 },
        {
          $0.overlap = 0.6; $0.blend = .flat
        },
        {
          $0.overlap = 0.9; $0.batch = 7
        },
        {
          $0.edge = .pad; $0.batch = 1
        },
        { $0.views = 8 },
        { $0.skipsEmpty = false },
        {
          $0.overlap = 0.5; $0.blend = .vote; $0.edge = .shift; $0.skipsEmpty = false
        },
      ] as [(inout SegmentationOptions) -> Void]).enumerated()
    {
      guard case .finished(let summary, false) = try segment(path, to: "o\(i)", options: options(change), session: session)
      else {
        Issue.record("options \(i) did not finish")
        continue
      }
      let found = try mask("o\(i)", "odd", width: 121, height: 99)
      let isTrue = found == bits
      #expect(isTrue, "options \(i)")
      #expect(summary.glomeruli == 5)
    }
  }

  @Test func magnifiedMasksHaveNoSeamsEither() throws {
    let session = try redNetwork()
    let (path, bits) = try slide("s/odd.png", width: 121, height: 99)
    var first: [UInt8]?
    for overlap in [0, 0.3, 0.7] {
      _ = try segment(
        path, to: "m\(overlap)", options: options { ($0.overlap, $0.magnification) = (overlap, .scales([:], others: 1.5)) },
        session: session)
      let found = try mask("m\(overlap)", "odd", width: 121, height: 99)
      if let first { #expect(found == first) } else { first = found }
    }
    // Half a pixel and a half of blur at the outlines.
    let differing = zip(first ?? [], bits).count { $0 != $1 }
    #expect(differing < 200 && differing > 0)
  }

  @Test func stoppedWorkGoesOnToTheSameFiles() throws {
    let session = try redNetwork()
    let (path, _) = try slide("s/a.png", width: 121, height: 99)
    let options = options { ($0.overlap, $0.skipsEmpty) = (0.5, false) }
    _ = try segment(path, to: "straight", options: options, session: session)
    for stop in [3, 2, 5] { #expect(try segment(path, to: "parts", options: options, session: session, stopAfter: stop) == nil) }
    // Killed in the middle of a row.
    let map = folder + "/parts/a.part"
    let handle = try #require(FileHandle(forWritingAtPath: map))
    handle.seekToEndOfFile()
    try handle.write(contentsOf: Data([1, 2, 3]))
    try handle.close()
    _ = try segment(path, to: "parts", options: options, session: session)
    let names = try FileManager.default.contentsOfDirectory(atPath: folder + "/straight").sorted()
    #expect(names == ["a.geojson", "a.json", "a_glomeruli.csv", "a_mask.tiff", "a_overview.png"])
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder + "/parts").sorted() == names)
    for name in names where name != "a.json" {
      #expect(
        FileManager.default.contentsEqual(atPath: folder + "/straight/" + name, andPath: folder + "/parts/" + name), "\(name)")
    }
    // Done is done; other options are an error that says so, and nothing is lost.
    guard case .finished(_, true) = try segment(path, to: "parts", options: options, session: session) else {
      Issue.record("a finished slide was segmented again")
      return
    }
    guard case .failed(let reason) = try segment(path, to: "parts", options: self.options(), session: session) else {
      Issue.record("results of other options were taken")
      return
    }
    #expect(reason.contains("a.json") && reason.contains("--overwrite"))
  }

  /// A mask drawn by hand has the name of one that would be written: it stays, whatever may be replaced.
  @Test func annotationsAreNeverReplaced() throws {
    let session = try redNetwork()
    let (path, _) = try slide("s/a.png", width: 121, height: 99)
    let annotation = folder + "/s/a_mask.tiff"
    try FileBytes.write([1, 2, 3], to: annotation)
    for overwrites in [false, true] {
      let run = SegmentationRun(
        SlideSegmenter(session, side: 32, modelDigest: "red", options: options()), folder: folder + "/s", overwrites: overwrites)
      var reasons: [String] = []
      _ = try run.run(SlideSet.find([path]), shouldStop: { false }, progress: { _, _, _ in }) { _, outcome in
        if case .failed(let reason) = outcome { reasons.append(reason) }
      }
      #expect(reasons.count == 1 && reasons[0].contains("a_mask.tiff") && reasons[0].contains("was not written by"))
      #expect(FileManager.default.contents(atPath: annotation) == Data([1, 2, 3]))
    }
  }

  @Test func aFolderGoesThroughAndIsShared() throws {
    let session = try redNetwork()
    for name in ["a", "b", "d"] { _ = try slide("s/\(name)_wsi.tiff", width: 121, height: 99) }
    try FileBytes.write([0x49, 0x49, 42, 0, 9, 9, 9, 9], to: folder + "/s/c_wsi.tiff")
    let out = folder + "/out"
    try FileBytes.makeFolder(out)
    // Another process has b: its map is locked.
    let held = try MapFile.open(out + "/b.part", width: 5, height: 5, settings: "another's")
    let refused = try MapFile.open(out + "/b.part", width: 5, height: 5, settings: "mine")
    #expect(held != nil && refused == nil)
    var outcomes: [String] = []
    let run = SegmentationRun(
      SlideSegmenter(session, side: 32, modelDigest: "red", options: options()), folder: out)
    _ = try run.run(SlideSet.find([folder + "/s"]), shouldStop: { false }, progress: { _, _, _ in }) { slide, outcome in
      switch outcome {
      case .finished: outcomes.append("\(slide.caseName) done")
      case .busy: outcomes.append("\(slide.caseName) busy")
      case .failed(let reason): outcomes.append("\(slide.caseName) failed \(reason.contains("c_wsi.tiff"))")
      }
    }
    #expect(outcomes == ["a done", "b busy", "c failed true", "d done"])
    withExtendedLifetime(held) {}
  }

  @Test func postProcessingAndTables() throws {
    let session = try redNetwork()
    let (path, _) = try slide("s/a.png", width: 121, height: 99)
    guard
      case .finished(let summary, _) = try segment(
        path, to: "o", options: options { $0.smallestObject = .pixels(100) }, session: session)
    else {
      Issue.record("it did not finish")
      return
    }
    #expect(summary.glomeruli == 4 && summary.microns_per_pixel == nil && summary.density_per_mm2 == nil)
    let lines = try String(contentsOfFile: folder + "/o/a_glomeruli.csv", encoding: .utf8).split(separator: "\n")
    #expect(lines.count == 5 && lines[0].hasPrefix("id,area_px,area_um2,centroid_x"))
    let first = try #require(lines.first { $0.contains(",30.5,30.5,") }).split(separator: ",", omittingEmptySubsequences: false)
    #expect(first[5...8] == ["18", "18", "25", "25"])
    #expect((Double(first[9]) ?? 0) > 0.99)
    let areas = lines.dropFirst().compactMap { Int($0.split(separator: ",")[1]) }
    #expect(areas.reduce(0, +) == summary.glomerular_area_px)
    // Micrometres are no use where the slide has none.
    guard
      case .failed(let reason) = try segment(
        path, to: "um", options: options { $0.smallestObject = .squareMicrons(300) }, session: session)
    else {
      Issue.record("it did not fail")
      return
    }
    #expect(reason.contains("--min-object") && reason.contains("resolution"))
    let picture = try ImageFile.header(folder + "/o/a_overview.png")
    #expect(picture.width == 121 && picture.height == 99)
  }

  @Test func viewsGoThereAndBack() {
    let side = 6
    let planes = (0..<2 * side * side).map { Float($0) }
    var seen: Set<[Float]> = []
    for view in 0..<8 {
      let turned = WindowInference.viewed(planes, side: side, view: view, back: false)
      #expect(WindowInference.viewed(turned, side: side, view: view, back: true) == planes)
      seen.insert(turned)
    }
    #expect(seen.count == 8)
  }
}
