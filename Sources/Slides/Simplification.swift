extension [Polygon] {
  /// The polygons of one object with fewer points, none of the old line further than `tolerance` from the new (Douglas &
  /// Peucker 1973).
  ///
  /// Where that would make lines cross or touch, within a polygon or between two, the tolerance is halved, in the end to 0:
  /// the result is as valid as what was given.
  public func simplified(tolerance: Double) -> [Polygon] {
    var tolerance = tolerance
    while tolerance >= 0.25 {
      let fewer = map { polygon in
        Polygon(
          exterior: Polygon.simplified(polygon.exterior, tolerance),
          holes: polygon.holes.map { Polygon.simplified($0, tolerance) })
      }
      let keepSides = fewer.allSatisfy { polygon in
        signedArea(polygon.exterior) > 0 && polygon.holes.allSatisfy { signedArea($0) < 0 }
      }
      if keepSides && fewer.areSimple { return fewer }
      tolerance /= 2
    }
    return self
  }

  /// Whether no two sides of any rings meet except neighbours at their common point, each hole lies inside and in no other hole, and no
  /// polygon lies in another: a bay that is straightened may swallow what lay in it.
  var areSimple: Bool {
    Polygon.areApart(flatMap { [$0.exterior] + $0.holes })
      && allSatisfy { polygon in
        polygon.holes.allSatisfy { hole in hole.allSatisfy { OutlineTracer.contains(polygon.exterior, $0) } }
          && polygon.holes.indices.allSatisfy { i in
            polygon.holes.indices.allSatisfy { i == $0 || !OutlineTracer.contains(polygon.holes[$0], polygon.holes[i][0]) }
          }
      }
      && indices.allSatisfy { i in indices.allSatisfy { i == $0 || !self[$0].holds(self[i].exterior[0]) } }
  }
}

extension Polygon {
  /// Whether a point that is on no line lies in it.
  fileprivate func holds(_ point: Point) -> Bool {
    OutlineTracer.contains(exterior, point) && !holes.contains { OutlineTracer.contains($0, point) }
  }

  fileprivate static func simplified(_ ring: Ring, _ tolerance: Double) -> Ring {
    guard ring.count > 4 else { return ring }
    // A ring has no ends: it is halved at the point furthest from its first.
    let far = ring.indices.max { squared(ring[0], ring[$0]) < squared(ring[0], ring[$1]) } ?? 0
    guard far > 0 else { return ring }
    var keeps = [Bool](repeating: false, count: ring.count + 1)
    (keeps[0], keeps[far]) = (true, true)
    var pending = [(0, far), (far, ring.count)]
    while let (first, last) = pending.popLast() {
      guard last - first > 1 else { continue }
      let a = ring[first], b = ring[last % ring.count]
      var worst = 0.0, place = first
      for i in first + 1..<last {
        let distance = segmentDistance(ring[i], a, b)
        if distance > worst { (worst, place) = (distance, i) }
      }
      if worst > tolerance {
        keeps[place] = true
        pending += [(first, place), (place, last)]
      }
    }
    let kept = ring.indices.filter { keeps[$0] }.map { ring[$0] }
    return kept.count >= 3 ? kept : ring
  }

  private static func squared(_ a: Point, _ b: Point) -> Double {
    (a.x - b.x) * (a.x - b.x) + (a.y - b.y) * (a.y - b.y)
  }

  private static func segmentDistance(_ p: Point, _ a: Point, _ b: Point) -> Double {
    let dx = b.x - a.x, dy = b.y - a.y, length = dx * dx + dy * dy
    let t = length > 0 ? max(0, min(1, ((p.x - a.x) * dx + (p.y - a.y) * dy) / length)) : 0
    return squared(p, Point(x: a.x + t * dx, y: a.y + t * dy)).squareRoot()
  }

  /// Whether no two sides of any rings meet except neighbours at their common point.
  ///
  /// Sides are compared where their ranges of y overlap, in the order of their upper ends.
  fileprivate static func areApart(_ rings: [Ring]) -> Bool {
    struct Side {
      let a, b: Point
      let ring, place, count: Int
      var top: Double { min(a.y, b.y) }
      var bottom: Double { max(a.y, b.y) }
    }
    var sides: [Side] = []
    for (number, ring) in rings.enumerated() {
      guard ring.count >= 3 else { return false }
      for i in ring.indices {
        sides.append(Side(a: ring[i], b: ring[(i + 1) % ring.count], ring: number, place: i, count: ring.count))
      }
    }
    sides.sort { $0.top < $1.top }
    for i in sides.indices {
      let one = sides[i]
      for j in i + 1..<max(i + 1, sides.count) {
        let two = sides[j]
        if two.top > one.bottom { break }
        if max(one.a.x, one.b.x) < min(two.a.x, two.b.x) || max(two.a.x, two.b.x) < min(one.a.x, one.b.x) { continue }
        let isNext =
          one.ring == two.ring
          && ((one.place + 1) % one.count == two.place || (two.place + 1) % two.count == one.place)
        if Self.meet(one.a, one.b, two.a, two.b, areNeighbours: isNext) { return false }
      }
    }
    return true
  }

  /// Whether two sides have a point in common; neighbours, one besides their common end.
  private static func meet(_ a: Point, _ b: Point, _ c: Point, _ d: Point, areNeighbours: Bool) -> Bool {
    func turn(_ p: Point, _ q: Point, _ r: Point) -> Double { (q.x - p.x) * (r.y - p.y) - (q.y - p.y) * (r.x - p.x) }
    func isBetween(_ p: Point, _ q: Point, _ r: Point) -> Bool {
      min(p.x, q.x) <= r.x && r.x <= max(p.x, q.x) && min(p.y, q.y) <= r.y && r.y <= max(p.y, q.y)
    }
    let (t1, t2, t3, t4) = (turn(a, b, c), turn(a, b, d), turn(c, d, a), turn(c, d, b))
    if areNeighbours {
      // They overlap where they lie on one line and turn back.
      let common = a == c || a == d ? a : b
      let p = common == a ? b : a, q = common == c ? d : c
      return turn(common, p, q) == 0 && (p.x - common.x) * (q.x - common.x) + (p.y - common.y) * (q.y - common.y) > 0
    }
    if (t1 > 0) != (t2 > 0), (t3 > 0) != (t4 > 0), t1 != 0, t2 != 0, t3 != 0, t4 != 0 { return true }
    return (t1 == 0 && isBetween(a, b, c)) || (t2 == 0 && isBetween(a, b, d)) || (t3 == 0 && isBetween(c, d, a))
      || (t4 == 0 && isBetween(c, d, b))
  }
}
