import Foundation
import Images
import Runs

extension Report.Slide {
  private static let longestSide = 1400

  /// Overviews that `glomseg segment` wrote into a folder or into folders in it, in the order of their names.
  public static func find(in folder: String) throws -> [Report.Slide] {
    func names(_ path: String) -> [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() }
    let folders = [folder] + names(folder).map { folder + "/" + $0 }
    return try folders.flatMap { folder in
      try names(folder).filter { $0.hasSuffix("_overview.png") }.map { name in
        let stem = String(name.dropLast("_overview.png".count))
        let picture = try ImageFile.read(folder + "/" + name, channels: 3)
        let scale = min(1, Double(longestSide) / Double(max(picture.width, picture.height)))
        let small =
          scale == 1
          ? picture
          : picture.resized(
            width: max(1, Int(Double(picture.width) * scale)), height: max(1, Int(Double(picture.height) * scale)),
            filter: .bilinear)
        let summary = FileManager.default.contents(atPath: folder + "/" + stem + ".json")
          .flatMap { try? JSONDecoder().decode(SlideSummary.self, from: $0) }
        return Report.Slide(name: stem, glomeruli: summary?.glomeruli, picture: try ImageFile.encodeJPEG(small, quality: 82))
      }
    }
  }
}
