import Foundation

/// Polygons in files that QuPath reads and writes (RFC 7946, with level-0 pixels for coordinates).
public enum GeoJSON {
  /// One glomerulus with what was measured of it.
  public struct Feature: Sendable {
    public let polygons: [Polygon]
    /// Named numbers, shown by QuPath as the object's measurements.
    public let measurements: [(name: String, value: Double)]

    public init(polygons: [Polygon], measurements: [(name: String, value: Double)]) {
      self.polygons = polygons
      self.measurements = measurements
    }
  }

  /// A feature collection as text: annotations of the class Glomerulus.
  ///
  /// - Parameter scale: level-0 pixels in a unit of the polygons.
  public static func text(_ features: [Feature], scale: Double = 1) -> String {
    let lines = features.map { feature -> String in
      let shapes = feature.polygons.map { polygon in
        "[" + ([polygon.exterior] + polygon.holes).map { ring(_: $0, scale) }.joined(separator: ",") + "]"
      }
      let geometry =
        shapes.count == 1
        ? #"{"type":"Polygon","coordinates":\#(shapes[0])}"#
        : #"{"type":"MultiPolygon","coordinates":[\#(shapes.joined(separator: ","))]}"#
      let measurements = feature.measurements.map { #""\#($0.name)":\#(number($0.value))"# }.joined(separator: ",")
      return #"{"type":"Feature","geometry":\#(geometry),"properties":{"objectType":"annotation","#
        + #""classification":{"name":"Glomerulus","color":[255,220,0]},"measurements":{\#(measurements)}}}"#
    }
    return #"{"type":"FeatureCollection","features":["# + (lines.isEmpty ? "" : "\n" + lines.joined(separator: ",\n") + "\n")
      + "]}\n"
  }

  /// A closed ring: the first point again at the end.
  private static func ring(_ ring: Ring, _ scale: Double) -> String {
    "[" + (ring + ring.prefix(1)).map { "[\(number($0.x * scale)),\(number($0.y * scale))]" }.joined(separator: ",") + "]"
  }

  /// At most four decimals, and none where there is nothing behind the point.
  private static func number(_ value: Double) -> String {
    guard value.isFinite else { return "null" }
    let rounded = (value * 10_000).rounded() / 10_000
    return rounded == rounded.rounded() && abs(rounded) < 1e15 ? "\(Int(rounded))" : "\(rounded)"
  }

  // MARK: - Reading

  /// The mask of the polygons in a file; a pixel is inside where its middle is, and holes are left open.
  ///
  /// Where features are classified and some class has "glomerul" in its name, the others (tissue, say) are passed over.
  ///
  /// - Throws: `.damaged` for text that is no GeoJSON or has broken polygons. A file without polygons is an empty mask.
  static func readMask(_ path: String, width: Int, height: Int) throws(SlideError) -> RunMask {
    let polygons = try read(path)
    var rows: [Int: [RunMask.Run]] = [:]
    for rings in polygons {
      // The places where a row's middle crosses a side, by row.
      var crossings: [Int: [Double]] = [:]
      for ring in rings {
        for (i, a) in ring.enumerated() {
          let b = ring[(i + 1) % ring.count]
          guard a.y != b.y else { continue }
          let top = max(0, (min(a.y, b.y) - 0.5).rounded(.up)), bottom = min(Double(height), (max(a.y, b.y) - 0.5).rounded(.up))
          guard top < bottom else { continue }
          for row in Int(top)..<Int(bottom) {
            let y = Double(row) + 0.5
            crossings[row, default: []].append(a.x + (b.x - a.x) * (y - a.y) / (b.y - a.y))
          }
        }
      }
      for (row, places) in crossings {
        let sorted = places.sorted()
        for i in stride(from: 0, to: sorted.count - 1, by: 2) {
          let start = max(0, (sorted[i] - 0.5).rounded(.up)), end = min(Double(width), (sorted[i + 1] - 0.5).rounded(.up))
          if start < end { rows[row, default: []].append(.init(start: Int(start), end: Int(end))) }
        }
      }
    }
    var mask = RunMask(width: width, height: height)
    for row in 0..<height { mask.appendRow((rows[row] ?? []).sorted { $0.start < $1.start }) }
    return mask
  }

  /// The rings of each polygon of a file.
  private static func read(_ path: String) throws(SlideError) -> [[Ring]] {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw SlideError(.unreadable, path: path, reason: "there is no such file, or it cannot be opened")
    }
    guard let value = try? JSONSerialization.jsonObject(with: data) else {
      throw SlideError(.damaged, path: path, reason: "it is no JSON text")
    }
    // Those of features whose class is a glomerulus.
    var glomeruli: [[Ring]] = []
    var unclassified: [[Ring]] = []
    var (isGlomerulus, isClassified) = (false, false)
    var classes: Set<String> = []
    var problem: String?
    func polygon(_ value: Any?) {
      guard let rings = value as? [Any], !rings.isEmpty else {
        problem = problem ?? "a polygon has no coordinates"
        return
      }
      var result: [Ring] = []
      for ring in rings {
        let points = (ring as? [Any] ?? []).compactMap { point -> Point? in
          guard let numbers = point as? [Any], numbers.count >= 2, let x = (numbers[0] as? NSNumber)?.doubleValue,
            let y = (numbers[1] as? NSNumber)?.doubleValue, abs(x) < 1e9, abs(y) < 1e9
          else { return nil }
          return Point(x: x, y: y)
        }
        guard points.count >= 3 else {
          problem = problem ?? "a ring has fewer than three points"
          return
        }
        result.append(points)
      }
      if isGlomerulus { glomeruli.append(result) }
      if !isClassified { unclassified.append(result) }
    }
    func walk(_ value: Any, depth: Int) {
      if let list = value as? [Any] { return list.forEach { walk($0, depth: depth + 1) } }
      guard depth < 16, let object = value as? [String: Any] else { return }
      switch object["type"] as? String {
      case "FeatureCollection": walk(object["features"] ?? [], depth: depth + 1)
      case "Feature":
        let properties = object["properties"] as? [String: Any]
        let name = (properties?["classification"] as? [String: Any])?["name"] as? String
        if let name, !name.isEmpty { classes.insert(name) }
        (isGlomerulus, isClassified) = (name.map(isGlomerular) ?? false, !(name ?? "").isEmpty)
        walk(object["geometry"] ?? [], depth: depth + 1)
        (isGlomerulus, isClassified) = (false, false)
      case "GeometryCollection": walk(object["geometries"] ?? [], depth: depth + 1)
      case "Polygon": polygon(object["coordinates"])
      case "MultiPolygon": (object["coordinates"] as? [Any] ?? []).forEach { polygon($0) }
      default: break
      }
    }
    walk(value, depth: 0)
    if let problem { throw SlideError(.damaged, path: path, reason: problem) }
    // Tissue or a scan's border is not to count as a glomerulus because nothing else is there.
    guard !glomeruli.isEmpty || !unclassified.isEmpty || classes.isEmpty else {
      throw SlideError(
        .argument, path: path,
        reason: "none of its classes has 'glomerul' in its name (\(classes.sorted().joined(separator: ", "))): name the class of "
          + "the glomeruli so, or leave their outlines alone, without a class")
    }
    return glomeruli.isEmpty ? unclassified : glomeruli
  }

  /// "Glomerulus", "sclerotic glomeruli"; not "Non-glomerular tissue".
  private static func isGlomerular(_ name: String) -> Bool {
    let words = name.lowercased()
    return words.contains("glomerul") && !["non", "not", "no "].contains { words.hasPrefix($0) }
  }
}
