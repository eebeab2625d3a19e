import Foundation
import Images
import Testing

@testable import Slides

/// Real files, when they lie beside the package (`../shared/data`); the licence of some lets nobody publish them.
@Suite struct RealSlideTests {
  private static let data = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("shared/data").path

  private func open(_ name: String) throws -> (any SlideSource)? {
    let path = "\(Self.data)/\(name)"
    guard FileManager.default.fileExists(atPath: path) else {
      print("NOT RUN: there is no real slide at \(path)")
      return nil
    }
    return try Slide.open(path)
  }

  private func mean(_ image: PixelBuffer) -> [Double] {
    (0..<image.channels).map { c in
      stride(from: c, to: image.bytes.count, by: image.channels).reduce(0.0) { $0 + Double(image.bytes[$1]) }
        / Double(image.width * image.height)
    }
  }

  /// JPEG with shared tables, YCbCr under the name of RGB; a thumbnail, a label and a macro image beside it.
  @Test func anAperioSlide() throws {
    guard let slide = try open("tiff/CMU-1-Small-Region.svs") else { return }
    #expect(slide.levels.map(\.width) == [2220] && slide.height == 2967)
    #expect(slide.micronsPerPixel == 0.499 && slide.objectivePower == 20)
    let colours = mean(try slide.read(level: 0, x: 0, y: 0, width: 2220, height: 2967))
    // Pink tissue on glass: decoded without its colours' transform it would be green.
    #expect(colours[0] > colours[1] + 10 && colours[2] > colours[1] + 10, "\(colours)")
  }

  @Test func pyramidsOfPages() throws {
    if let slide = try open("tiff/openslide_boxes.tiff") {
      #expect(slide.levels.map(\.width) == [300, 150, 75, 37])
      #expect(mean(try slide.read(level: 3, x: 0, y: 0, width: 37, height: 31)).allSatisfy { $0 > 10 })
    }
    if let slide = try open("tiff/large_image_yb10kx5k.zstd.tiff") {
      #expect(slide.levels.map(\.width) == [10000, 5000, 2500, 1250, 625])
      // Every level is the same picture.
      let top = mean(try slide.read(level: 4, x: 0, y: 0, width: 625, height: 312))
      let next = mean(try slide.read(level: 3, x: 0, y: 0, width: 1250, height: 625))
      #expect(zip(top, next).allSatisfy { abs($0 - $1) < 2 })
    }
    if let slide = try open("tiff/pillow_hopper_lzw.tif") {
      let colours = mean(try slide.read(level: 0, x: 0, y: 0, width: 128, height: 128))
      #expect(colours.allSatisfy { (40...200).contains($0) })
    }
  }

  @Test func slidesWithTrueMasks() throws {
    guard let slide = try open("glomeruli/mosaic/validation_wsi.tiff") else { return }
    #expect(slide.levels.map(\.width) == [4608, 2304, 1152, 576])
    let mask = try RunMask.read(
      "\(Self.data)/glomeruli/mosaic/validation_mask.tiff", width: slide.width, height: slide.height, threads: 2)
    #expect(MaskObjects(mask).objects.count > 200)
    let tissue = try TissueMap(slide)
    let share = tissue.area / Double(slide.width * slide.height)
    // A third of the mosaic is black.
    #expect(share > 0.4 && share < 0.7 && tissue.hasOutside)
  }
}
