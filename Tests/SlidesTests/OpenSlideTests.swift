import Foundation
import Images
import Testing

@testable import Slides

/// Where the library is installed it reads what libtiff reads too; where it is not, its absence is what the error says.
@Suite struct OpenSlideTests {
  private let folder = try! TemporaryFolder()

  @Test func aScannersFormatNeedsTheLibrary() throws {
    guard OpenSlideLibrary.shared == nil else { return }
    let path = try folder.file("slide.mrxs", [1, 2, 3, 4, 5])
    #expect { try Slide.open(path) } throws: { "\($0)".contains("slide.mrxs") && "\($0)".contains("libopenslide0") }
  }

  @Test func bothReadersGiveOnePicture() throws {
    guard OpenSlideLibrary.shared != nil else {
      print("NOT RUN: OpenSlide's library is not installed")
      return
    }
    let image = Pictures.noise(width: 90, height: 70, channels: 3, seed: 3)
    let half = image.resized(width: 45, height: 35, filter: .bilinear)
    var page = try TestTIFF.page(image, block: (32, 32), packing: .deflate)
    page.resolution = 20_000
    var small = try TestTIFF.page(half, block: (32, 32), packing: .deflate)
    small.isReduced = true
    let path = try folder.file("slide.tiff", TestTIFF(pages: [page, small]).bytes())
    let (ours, theirs) = (try TIFFSlide(path), try OpenSlideSource(path))
    #expect(ours.levels == theirs.levels && ours.micronsPerPixel == theirs.micronsPerPixel)
    for level in 0..<2 {
      #expect(
        try ours.read(level: level, x: 5, y: 9, width: 40, height: 20)
          == theirs.read(level: level, x: 5, y: 9, width: 40, height: 20))
    }
    let broken = try folder.file("broken.mrxs", [1, 2, 3, 4, 5])
    #expect { try Slide.open(broken) } throws: { "\($0)".contains("broken.mrxs") }
  }
}
