import TIFFBridge

/// What a TIFF file says of its magnification: Aperio's and OME's descriptions, else the resolution tags.
struct TIFFResolution {
  var micronsPerPixel: Double?
  var objectivePower: Double?

  init(_ directory: tb_directory, description: String) {
    if description.hasPrefix("Aperio") {
      // "…|AppMag = 20|MPP = 0.4990|…"
      for field in description.split(separator: "|") {
        let parts = field.split(separator: "=", maxSplits: 1).map { $0.trimmed }
        guard parts.count == 2, let value = Double(parts[1]) else { continue }
        if parts[0] == "AppMag" { objectivePower = Self.plausible(value, 0.5...200) }
        if parts[0] == "MPP" { micronsPerPixel = Self.plausible(value, Self.range) }
      }
    } else if description.contains("<OME") {
      let unit = Self.attribute("PhysicalSizeXUnit", description) ?? "µm"
      let factor = ["µm": 1, "um": 1, "nm": 0.001, "mm": 1000][unit]
      if let factor, let x = Self.attribute("PhysicalSizeX", description).flatMap({ Double($0) }) {
        let y = Self.attribute("PhysicalSizeY", description).flatMap { Double($0) } ?? x
        micronsPerPixel = Self.plausible((x + y) / 2 * factor, Self.range)
      }
      objectivePower = Self.attribute("NominalMagnification", description).flatMap { Double($0) }
        .flatMap { Self.plausible($0, 0.5...200) }
    }
    let micronsPerUnit: Double? = [2: 25_400, 3: 10_000][Int(directory.resolution_unit)]
    if micronsPerPixel == nil, let micronsPerUnit, directory.x_resolution > 0 {
      let x = Double(directory.x_resolution), y = directory.y_resolution > 0 ? Double(directory.y_resolution) : x
      micronsPerPixel = Self.plausible(micronsPerUnit * 2 / (x + y), Self.range)
    }
  }

  /// Slides lie within; 72 or 300 dots an inch, which programs write when they know nothing, don't.
  private static let range = 0.01...25.0

  private static func plausible(_ value: Double, _ range: ClosedRange<Double>) -> Double? {
    range.contains(value) ? value : nil
  }

  /// The value of `name="…"`, wherever it first stands.
  private static func attribute(_ name: String, _ text: String) -> String? {
    let bytes = Array(text.utf8), pattern = Array((name + "=\"").utf8)
    guard bytes.count > pattern.count else { return nil }
    for start in 0..<bytes.count - pattern.count where bytes[start..<start + pattern.count].elementsEqual(pattern) {
      // "SizeX" must not match inside "PhysicalSizeX": an attribute begins after white space.
      guard start == 0 || bytes[start - 1] == 32 || bytes[start - 1] == 10 else { continue }
      let rest = bytes[(start + pattern.count)...].prefix { $0 != 34 }
      return String(decoding: rest, as: UTF8.self)
    }
    return nil
  }
}

extension Substring {
  fileprivate var trimmed: String {
    String(
      self.drop { $0 == " " || $0 == "\r" || $0 == "\n" }.reversed().drop { $0 == " " || $0 == "\r" || $0 == "\n" }.reversed())
  }
}
