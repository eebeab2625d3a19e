import Datasets
import Engine
import Foundation
import Images
import Slides

/// The files that a segmented slide gets.
struct SlideOutputs {
  let folder: String
  let name: String

  private var stem: String { folder + "/" + name }
  /// 0 and 255 at level 0, a pyramid of tiles.
  var mask: String { stem + "_mask.tiff" }
  /// A polygon a glomerulus, in level-0 pixels.
  var polygons: String { stem + ".geojson" }
  /// A line a glomerulus.
  var table: String { stem + "_glomeruli.csv" }
  /// The whole slide in small, with outlines.
  var overview: String { stem + "_overview.png" }
  var summary: String { stem + ".json" }
  /// The map while it is made; locked by the process that makes it.
  var map: String { stem + ".part" }

  /// What an earlier run found, if it finished.
  func finishedSummary() -> SlideSummary? {
    FileManager.default.contents(atPath: summary).flatMap { try? JSONDecoder().decode(SlideSummary.self, from: $0) }
  }

  /// Writes everything but the summary.
  func write(
    _ mask: RunMask, objects: MaskObjects, slide: any SlideSource, simplification: Double, threads: Int
  ) throws {
    try mask.writeTIFF(self.mask, micronsPerPixel: slide.micronsPerPixel, threads: threads)
    let outlines = objects.outlines(mask)
    let own = slide.micronsPerPixel
    let features = zip(objects.objects, outlines).map { object, polygons in
      var measurements = [("Area px", Double(object.area)), ("Mean probability", object.meanProbability)]
      if let own { measurements.insert(("Area um^2", Double(object.area) * own * own), at: 1) }
      return GeoJSON.Feature(
        polygons: simplification > 0 ? polygons.simplified(tolerance: simplification) : polygons,
        measurements: measurements.map { (name: $0.0, value: $0.1) })
    }
    try writeText(GeoJSON.text(features), to: polygons)

    var lines = ["id,area_px,area_um2,centroid_x,centroid_y,x,y,width,height,mean_probability"]
    for (i, object) in objects.objects.enumerated() {
      let square = own.map { String(format: "%.1f", Double(object.area) * $0 * $0) } ?? ""
      lines.append(
        "\(i + 1),\(object.area),\(square),"
          + String(format: "%.1f,%.1f", object.centroidX, object.centroidY)
          + ",\(object.left),\(object.top),\(object.right - object.left),\(object.bottom - object.top),"
          + String(format: "%.4f", object.meanProbability))
    }
    try writeText(lines.joined(separator: "\n") + "\n", to: table)
    try writeOverview(mask, slide)
  }

  private func writeOverview(_ mask: RunMask, _ slide: any SlideSource) throws {
    let longest = Double(max(slide.width, slide.height))
    let canvas = SlideCanvas(slide, downsample: max(1, longest / 2048))
    var picture = PixelBuffer(width: canvas.width, height: canvas.height, channels: 3)
    // A band at a time: a slide without a pyramid is read at level 0.
    for top in stride(from: 0, to: canvas.height, by: 64) {
      let band = try canvas.read(x: 0, y: top, width: canvas.width, height: min(64, canvas.height - top))
      picture.bytes.replaceSubrange(3 * top * canvas.width..<3 * top * canvas.width + band.bytes.count, with: band.bytes)
    }
    let small = mask.scaled(
      width: canvas.width, height: canvas.height, downsampleX: Double(mask.width) / Double(canvas.width),
      downsampleY: Double(mask.height) / Double(canvas.height))
    var bits = PixelBuffer(width: canvas.width, height: canvas.height, channels: 1)
    bits.bytes.withUnsafeMutableBufferPointer { bytes in
      for row in 0..<canvas.height {
        small.draw(
          row: row, from: 0,
          into: UnsafeMutableBufferPointer(rebasing: bytes[row * canvas.width..<(row + 1) * canvas.width]))
      }
    }
    try ImageFile.writePNG(picture.outlined(bits, in: .yellow, thickness: 2), to: overview)
  }

  func write(_ result: SlideSummary) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
    try writeText(String(decoding: try encoder.encode(result), as: UTF8.self) + "\n", to: summary)
  }

  private func writeText(_ text: String, to path: String) throws(ImageError) {
    try FileBytes.write(Array(text.utf8), to: path)
  }

  /// A file under one of these names that no run of segment left: a mask drawn by hand has the same name. Nil where there is none.
  func foreignFile() -> String? {
    // In this order: another process that finishes just now writes the summary before it removes its map.
    guard !FileManager.default.fileExists(atPath: map), finishedSummary() == nil else { return nil }
    return [mask, polygons, table, overview, summary].first { FileManager.default.fileExists(atPath: $0) }
  }

  /// Before other results are written: where there is a summary, the rest is whole and of its settings.
  func removeSummary() { unlink(summary) }
}
