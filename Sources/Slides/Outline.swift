/// A closed line through the corners of pixels; the first point is not repeated.
public typealias Ring = [Point]

/// A point in pixels of a mask, from its upper left corner.
public struct Point: Sendable, Hashable {
  public var x: Double
  public var y: Double

  public init(x: Double, y: Double) {
    self.x = x
    self.y = y
  }
}

/// A polygon with holes. No ring crosses or touches itself; rings of one polygon touch at single points at most, and what they enclose is in one
/// piece (OGC's simple features).
public struct Polygon: Sendable, Equatable {
  /// Counter-clockwise in a plane with y upwards: its signed area is positive.
  public var exterior: Ring
  public var holes: [Ring]

  /// Without the holes.
  public var area: Double { holes.reduce(signedArea(exterior)) { $0 + signedArea($1) } }
}

/// Half the sum of cross products (the shoelace formula).
func signedArea(_ ring: Ring) -> Double {
  var sum = 0.0
  for (i, a) in ring.enumerated() {
    let b = ring[(i + 1) % ring.count]
    sum += a.x * b.y - b.x * a.y
  }
  return sum / 2
}

/// The outlines of one object along the sides of its pixels, so that the polygons' area is the object's pixels.
///
/// ```
/// horizontal sides   where a row's runs and those of the row above differ (exclusive or)
/// vertical sides     between two corners of one column: its corners sorted by row, taken in pairs
/// rings              followed from side to side around pixels that share sides; cut in two wherever one meets itself
/// polygons           rings of positive area, and the holes that lie in each
/// ```
struct OutlineTracer {
  private struct Side {
    let row: Int32
    /// In the direction that has foreground on the same hand throughout.
    let from: Int32
    let to: Int32
  }

  private struct Corner {
    let x: Int32
    let y: Int32
    let side: Int32
    let isEnd: Bool
    /// Whether the foreground is below its side. Where two pixels meet at this corner alone, the upper one's side goes first, so that each is
    /// followed to its own vertical side: a ring goes around pixels that share sides.
    let isLower: Bool
  }

  /// - Parameter rows: the object's runs by row, from row `top` on, ascending.
  static func polygons(top: Int, rows: [[RunMask.Run]]) -> [Polygon] {
    let sides = horizontalSides(top: top, rows: rows)
    let rings = follow(sides).flatMap(cut)
    var polygons = rings.filter { signedArea($0) > 0 }.map { Polygon(exterior: $0, holes: []) }
    for hole in rings where signedArea(hole) < 0 {
      if polygons.count == 1 {
        polygons[0].holes.append(hole)
        continue
      }
      // A hole's own polygon is the smallest one around a point of foreground beside it.
      let probe = foregroundBeside(hole)
      let owner = polygons.indices.filter { contains(polygons[$0].exterior, probe) }
        .min { signedArea(polygons[$0].exterior) < signedArea(polygons[$1].exterior) }
      if let owner { polygons[owner].holes.append(hole) }
    }
    return polygons
  }

  private static func horizontalSides(top: Int, rows: [[RunMask.Run]]) -> [Side] {
    var sides: [Side] = []
    for i in 0...rows.count {
      let above = i > 0 ? rows[i - 1] : [], below = i < rows.count ? rows[i] : []
      // The places where either row changes, ascending; between two of them both rows are constant.
      var places: [(x: Int32, above: Bool)] = []
      for run in above { places += [(run.start, true), (run.end, true)] }
      for run in below { places += [(run.start, false), (run.end, false)] }
      places.sort { $0.x < $1.x }
      var inAbove = false, inBelow = false
      var start: Int32 = 0
      for place in places {
        if inAbove != inBelow && place.x > start {
          let row = Int32(top + i)
          sides.append(
            inBelow ? Side(row: row, from: start, to: place.x) : Side(row: row, from: place.x, to: start))
        }
        if place.above { inAbove.toggle() } else { inBelow.toggle() }
        start = place.x
      }
    }
    return joined(sides)
  }

  /// Neighbouring sides of one row and direction are one side.
  private static func joined(_ sides: [Side]) -> [Side] {
    var result: [Side] = []
    for side in sides {
      if let last = result.last, last.row == side.row, (last.from < last.to) == (side.from < side.to) {
        if side.from < side.to, last.to == side.from {
          result[result.count - 1] = Side(row: side.row, from: last.from, to: side.to)
          continue
        }
        if side.from > side.to, last.from == side.to {
          result[result.count - 1] = Side(row: side.row, from: side.from, to: last.to)
          continue
        }
      }
      result.append(side)
    }
    return result
  }

  /// Follows sides to closed rings.
  private static func follow(_ sides: [Side]) -> [Ring] {
    var corners: [Corner] = []
    corners.reserveCapacity(2 * sides.count)
    for (i, side) in sides.enumerated() {
      // A side from left to right has foreground below it.
      let isLower = side.from < side.to
      corners.append(Corner(x: side.from, y: side.row, side: Int32(i), isEnd: false, isLower: isLower))
      corners.append(Corner(x: side.to, y: side.row, side: Int32(i), isEnd: true, isLower: isLower))
    }
    corners.sort { ($0.x, $0.y, $0.isLower ? 1 : 0) < ($1.x, $1.y, $1.isLower ? 1 : 0) }
    // The side that follows each side.
    var next = [Int32](repeating: -1, count: sides.count)
    for i in stride(from: 0, to: corners.count - 1, by: 2) {
      let (a, b) = (corners[i], corners[i + 1])
      // A vertical side leads from the end of one horizontal side to the start of another.
      if a.isEnd { next[Int(a.side)] = b.side } else { next[Int(b.side)] = a.side }
    }
    var rings: [Ring] = []
    var isDone = [Bool](repeating: false, count: sides.count)
    for first in sides.indices where !isDone[first] {
      var ring: Ring = []
      var i = first
      repeat {
        isDone[i] = true
        ring.append(Point(x: Double(sides[i].from), y: Double(sides[i].row)))
        ring.append(Point(x: Double(sides[i].to), y: Double(sides[i].row)))
        i = Int(next[i])
      } while i != first && i >= 0 && !isDone[i]
      rings.append(ring)
    }
    return rings
  }

  /// Cuts a ring at every point that it passes twice.
  private static func cut(_ ring: Ring) -> [Ring] {
    var rings: [Ring] = []
    var path: Ring = []
    var places: [Point: Int] = [:]
    for point in ring {
      if let place = places[point] {
        let loop = Array(path[place...])
        for passed in loop { places[passed] = nil }
        path.removeSubrange(place...)
        if loop.count >= 4 { rings.append(loop) }
      }
      places[point] = path.count
      path.append(point)
    }
    if path.count >= 4 { rings.append(path) }
    return rings.map(withoutStraightPoints)
  }

  private static func withoutStraightPoints(_ ring: Ring) -> Ring {
    ring.indices.filter { i in
      let a = ring[(i + ring.count - 1) % ring.count], b = ring[i], c = ring[(i + 1) % ring.count]
      return !(a.x == b.x && b.x == c.x) && !(a.y == b.y && b.y == c.y)
    }.map { ring[$0] }
  }

  /// The middle of a foreground pixel at a hole's first horizontal side.
  private static func foregroundBeside(_ hole: Ring) -> Point {
    for (i, a) in hole.enumerated() {
      let b = hole[(i + 1) % hole.count]
      // Left to right has foreground below it, right to left above.
      if a.y == b.y { return a.x < b.x ? Point(x: a.x + 0.5, y: a.y + 0.5) : Point(x: a.x - 0.5, y: a.y - 0.5) }
    }
    return hole[0]
  }

  /// Whether a point that is on no line of the ring lies inside (even–odd).
  static func contains(_ ring: Ring, _ point: Point) -> Bool {
    var isInside = false
    for (i, a) in ring.enumerated() {
      let b = ring[(i + 1) % ring.count]
      if (a.y > point.y) != (b.y > point.y), point.x < (b.x - a.x) * (point.y - a.y) / (b.y - a.y) + a.x {
        isInside.toggle()
      }
    }
    return isInside
  }
}

extension MaskObjects {
  /// The polygons of every object, in their order; more than one where an object's parts touch at corners only.
  public func outlines(_ mask: RunMask) -> [[Polygon]] {
    var rows = objects.map { [[RunMask.Run]](repeating: [], count: $0.bottom - $0.top) }
    for row in 0..<mask.height {
      for i in mask.rowStarts[row]..<mask.rowStarts[row + 1] {
        let label = Int(labels[i])
        rows[label][row - objects[label].top].append(mask.runs[i])
      }
    }
    return zip(objects, rows).map { OutlineTracer.polygons(top: $0.top, rows: $1) }
  }
}
