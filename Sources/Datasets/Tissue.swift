import Randomness
import Glibc
import Images

/// Draws one patch.
///
/// ```
/// sites     glomeruli, vessels and tubules thrown without overlap (Poisson disks, large ones first)
/// cells     each pixel, its place bent by smooth noise, goes to the site with the smallest distance − radius;
///           the difference to the second smallest gives its depth inside: neighbours flatten each other as in cortex
/// stains    by kind of site and depth: membrane, epithelium, lumen; capsule, Bowman's space, tuft of loops
/// nuclei    ellipses of haematoxylin, in rings (tubules), dense (tuft, some vessels), in clusters (infiltrates)
/// light     glass · exp(−(PAS + haematoxylin)), blurred, with noise
/// ```
///
/// Lengths are in 1/256 of the patch's side and scaled by `unit`.
struct Tissue {
  enum Kind { case glomerulus, vessel, tubule }

  struct Site {
    let kind: Kind
    let x, y, radius: Float
    /// From the middle to an end of the axis: a tubule cut along its length.
    var axisX: Float = 0
    var axisY: Float = 0
    /// Inner over outer radius.
    var lumen: Float = 0
    var stain: Float = 0
    var hasBrushBorder = false
    /// Direction of the widest part of Bowman's space, and of the lobes.
    var phase: Float = 0
    var lobeCount: Float = 0
    var spaceWidth: Float = 0
  }

  let size: Int
  let unit: Float
  let style: TissueStyle
  var random: RandomSource
  var sites: [Site] = []
  /// Per pixel: the site (−1 for none), its distance − radius, and the depth in its cell.
  var owner: [Int32]
  var nearest: [Float]
  var depth: [Float]
  var bentX: [Float]
  var bentY: [Float]
  var pas: [Float]
  var haematoxylin: [Float]

  init(size: Int, style: TissueStyle, random: RandomSource) {
    self.size = size
    self.style = style
    self.random = random
    unit = Float(size) / 256
    let zeros = [Float](repeating: 0, count: size * size)
    owner = [Int32](repeating: -1, count: size * size)
    (nearest, depth, bentX, bentY, pas, haematoxylin) = (zeros, zeros, zeros, zeros, zeros, zeros)
  }

  mutating func draw() -> (image: PixelBuffer, mask: PixelBuffer) {
    throwSites()
    divide()
    stain()
    drawNuclei()
    let mask = (0..<size * size).map { i -> UInt8 in isGlomerulus(i) ? 255 : 0 }
    return (light(), PixelBuffer(width: size, height: size, channels: 1, bytes: mask))
  }

  func isGlomerulus(_ i: Int) -> Bool {
    owner[i] >= 0 && nearest[i] < 0 && sites[Int(owner[i])].kind == .glomerulus
  }

  mutating func uniform(_ low: Float, _ high: Float) -> Float {
    Float(random.uniform(Double(low), Double(high)))
  }

  // MARK: - Sites

  private mutating func throwSites() {
    let side = Float(size)
    let glomerulusCount = [0, 1, 1, 2, 2, 2, 3, 3][random.below(8)]
    for _ in 0..<glomerulusCount {
      place(attempts: 20, gap: 12) { tissue in
        let radius = tissue.uniform(29, 49) * tissue.style.glomerulusScale * tissue.unit
        var site = Site(
          kind: .glomerulus, x: tissue.uniform(-0.04, 1.04) * side, y: tissue.uniform(-0.04, 1.04) * side,
          radius: radius)
        site.phase = tissue.uniform(0, 2 * .pi)
        site.lobeCount = Float(4 + tissue.random.below(4))
        site.spaceWidth = tissue.uniform(1.5, 5) * tissue.unit
        return site
      }
    }
    for _ in 0..<1 + random.below(3) {
      place(attempts: 10, gap: 2) { tissue in
        var site = Site(
          kind: .vessel, x: tissue.uniform(0, 1) * side, y: tissue.uniform(0, 1) * side,
          radius: tissue.uniform(10, 26) * tissue.unit)
        site.lumen = tissue.uniform(0.3, 0.65)
        site.stain = tissue.uniform(0.38, 0.6)
        return site
      }
    }
    // Long ones while there is room, then ever smaller round ones into the gaps.
    for (count, low, high, reach) in [(14, 13, 19, 34), (60, 13, 20, 8), (90, 9, 14, 4), (120, 6, 9, 0)]
      as [(Int, Float, Float, Float)]
    {
      for _ in 0..<count {
        place(attempts: 3, gap: -2.5) { tissue in
          let angle = tissue.uniform(0, .pi), half = tissue.uniform(0, reach) * tissue.unit
          var site = Site(
            kind: .tubule, x: tissue.uniform(-0.08, 1.08) * side, y: tissue.uniform(-0.08, 1.08) * side,
            radius: tissue.uniform(low, high) * tissue.unit)
          site.axisX = half * cos(angle)
          site.axisY = half * sin(angle)
          // A third are proximal: narrow star-like lumen with a brush border; a few are cut solid.
          site.hasBrushBorder = tissue.random.below(3) > 0
          site.lumen = site.hasBrushBorder ? tissue.uniform(0.0, 0.4) : tissue.uniform(0.35, 0.68)
          site.stain = site.hasBrushBorder ? tissue.uniform(0.36, 0.56) : tissue.uniform(0.22, 0.4)
          site.phase = tissue.uniform(0, 2 * .pi)
          return site
        }
      }
    }
  }

  /// Throws a site until it keeps `gap` to all others, at most `attempts` times.
  private mutating func place(attempts: Int, gap: Float, _ make: (inout Tissue) -> Site) {
    for _ in 0..<attempts {
      let site = make(&self)
      if sites.allSatisfy({ Self.distance(site, $0) > site.radius + $0.radius + gap * unit }) {
        sites.append(site)
        return
      }
    }
  }

  /// About the distance of two axes: the least over five points of each.
  private static func distance(_ a: Site, _ b: Site) -> Float {
    if a.axisX == 0 && a.axisY == 0 { return axisDistance(b, a.x, a.y) }
    var least = Float.infinity
    for step in [-1, -0.5, 0, 0.5, 1] as [Float] {
      least = min(least, axisDistance(b, a.x + step * a.axisX, a.y + step * a.axisY))
    }
    return least
  }

  @inline(__always)
  private static func axisDistance(_ site: Site, _ x: Float, _ y: Float) -> Float {
    let dx = x - site.x, dy = y - site.y
    let squared = site.axisX * site.axisX + site.axisY * site.axisY
    let along = squared > 0 ? max(-1, min(1, (dx * site.axisX + dy * site.axisY) / squared)) : 0
    let ex = dx - along * site.axisX, ey = dy - along * site.axisY
    return (ex * ex + ey * ey).squareRoot()
  }

  // MARK: - Cells

  private mutating func divide() {
    let coarseX = NoiseField(size: size, cell: 26 * unit, random: &random)
    let coarseY = NoiseField(size: size, cell: 26 * unit, random: &random)
    let fineX = NoiseField(size: size, cell: 8 * unit, random: &random)
    let fineY = NoiseField(size: size, cell: 8 * unit, random: &random)
    for y in 0..<size {
      for x in 0..<size {
        let i = y * size + x
        bentX[i] = Float(x) + (7 * coarseX.values[i] + 1.6 * fineX.values[i]) * unit
        bentY[i] = Float(y) + (7 * coarseY.values[i] + 1.6 * fineY.values[i]) * unit
      }
    }

    let far: Float = 14 * unit
    nearest = [Float](repeating: far, count: size * size)
    var second = nearest
    for (number, site) in sites.enumerated() {
      // The box covers the bend (at most 9 units) and the margin in which a site still presses on its neighbours.
      let reachX = site.radius + abs(site.axisX) + 23 * unit, reachY = site.radius + abs(site.axisY) + 23 * unit
      let left = max(0, Int(site.x - reachX)), right = min(size - 1, Int(site.x + reachX))
      let top = max(0, Int(site.y - reachY)), bottom = min(size - 1, Int(site.y + reachY))
      guard left <= right, top <= bottom else { continue }
      for y in top...bottom {
        for x in left...right {
          let i = y * size + x
          let distance = Self.axisDistance(site, bentX[i], bentY[i]) - site.radius
          if distance < nearest[i] {
            second[i] = nearest[i]
            nearest[i] = distance
            owner[i] = Int32(number)
          } else if distance < second[i] {
            second[i] = distance
          }
        }
      }
    }
    // A tubule swells by 4.5 units into free room; a glomerulus keeps its radius.
    for i in 0..<size * size where owner[i] >= 0 {
      let swelling: Float = sites[Int(owner[i])].kind == .tubule ? 4.5 * unit : 0
      depth[i] = min(swelling - nearest[i], (second[i] - nearest[i]) / 2 - 0.6 * unit)
    }
  }
}
