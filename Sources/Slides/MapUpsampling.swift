/// Enlarges a probability map to a slide's pixels and takes what is above a threshold, a row at a time.
///
/// Between the middles of four map pixels probabilities are interpolated; only runs are kept, so memory is two map rows.
public struct MapUpsampler {
  public let mapWidth: Int
  public let mapHeight: Int
  /// Pixels of the result in a map pixel.
  public let factor: Double
  public let width: Int
  public let height: Int
  /// Map bytes above this are foreground.
  public let limit: Float
  /// Takes the map pixel under each pixel instead: for votes, which are counts.
  public let isNearest: Bool
  /// The first pixel right of (or at) the middle of each map column.
  private let middles: [Int]

  public init(
    mapWidth: Int, mapHeight: Int, factor: Double, width: Int, height: Int, limit: Float, isNearest: Bool = false
  ) {
    self.mapWidth = mapWidth
    self.mapHeight = mapHeight
    self.factor = factor
    self.width = width
    self.height = height
    self.limit = limit
    self.isNearest = isNearest
    middles = (0..<mapWidth).map { min(width, max(0, Int(((Double($0) + 0.5) * factor - 0.5).rounded(.up)))) }
  }

  /// The mask.
  ///
  /// - Parameters:
  ///   - progress: called with each row that is done.
  ///   - row: the bytes of a map row; asked for in ascending order, each once or twice.
  public func mask(
    progress: (Int) -> Void = { _ in }, row: (Int) throws -> [UInt8]
  ) throws -> RunMask {
    var mask = RunMask(width: width, height: height)
    var rows: [Int: (bytes: [UInt8], highest: UInt8)] = [:]
    func mapRow(_ y: Int) throws -> (bytes: [UInt8], highest: UInt8) {
      if let known = rows[y] { return known }
      rows = rows.filter { $0.key >= y - 1 }
      let bytes = try row(y)
      let entry = (bytes, bytes.max() ?? 0)
      rows[y] = entry
      return entry
    }
    var mixed = [Float](repeating: 0, count: mapWidth)
    let isSame = factor == 1 && mapWidth == width
    for y in 0..<height {
      defer { progress(y) }
      let place = (Double(y) + 0.5) / factor
      if isNearest || isSame {
        let entry = try mapRow(min(mapHeight - 1, Int(place)))
        mask.appendRow(Float(entry.highest) > limit ? nearest(entry.bytes) : [])
        continue
      }
      let v = max(0, place - 0.5)
      let above = min(mapHeight - 1, Int(v)), below = min(mapHeight - 1, above + 1)
      let upper = try mapRow(above), lower = try mapRow(below)
      guard Float(max(upper.highest, lower.highest)) > limit else {
        mask.appendRow([])
        continue
      }
      let t = Float(v - Double(above))
      for x in 0..<mapWidth {
        let a = Float(upper.bytes[x])
        mixed[x] = a + (Float(lower.bytes[x]) - a) * t
      }
      mask.appendRow(mixed.withUnsafeBufferPointer { interpolated($0) })
    }
    return mask
  }

  private func run(_ start: Int, _ end: Int, _ value: Float) -> RunMask.Run {
    RunMask.Run(start: start, end: end, probabilitySum: value / 255 * Float(end - start))
  }

  private func nearest(_ bytes: [UInt8]) -> [RunMask.Run] {
    var runs: [RunMask.Run] = []
    for x in 0..<mapWidth where Float(bytes[x]) > limit {
      // Pixels whose middle lies in the map pixel.
      let start = max(0, Int((Double(x) * factor - 0.5).rounded(.up)))
      let end = x == mapWidth - 1 ? width : min(width, Int((Double(x + 1) * factor - 0.5).rounded(.up)))
      runs.append(run(start, end, Float(bytes[x])))
    }
    return runs
  }

  private func interpolated(_ values: UnsafeBufferPointer<Float>) -> [RunMask.Run] {
    var runs: [RunMask.Run] = []
    // Left of the first middle and right of the last the border's value goes on.
    if values[0] > limit { runs.append(run(0, middles[0], values[0])) }
    for x in 0..<max(0, mapWidth - 1) {
      let a = values[x], b = values[x + 1]
      if a <= limit && b <= limit { continue }
      let start = middles[x], end = middles[x + 1]
      if start >= end { continue }
      if a > limit && b > limit {
        runs.append(run(start, end, (a + b) / 2))
        continue
      }
      // A straight line crosses the limit once.
      let first = (Double(start) + 0.5) / factor - 0.5 - Double(x)
      var found: (start: Int, end: Int, sum: Float)?
      for i in start..<end {
        let value = a + (b - a) * Float(first + Double(i - start) / factor)
        if value > limit { found = (found?.start ?? i, i + 1, (found?.sum ?? 0) + value) }
      }
      if let found {
        runs.append(run(found.start, found.end, found.sum / Float(found.end - found.start)))
      }
    }
    if let last = values.last, last > limit { runs.append(run(middles[mapWidth - 1], width, last)) }
    return runs
  }
}
