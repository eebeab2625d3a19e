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
  private enum Kind { case glomerulus, vessel, tubule }

  private struct Site {
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

  private let size: Int
  private let unit: Float
  private let style: TissueStyle
  private var random: RandomSource
  private var sites: [Site] = []
  /// Per pixel: the site (−1 for none), its distance − radius, and the depth in its cell.
  private var owner: [Int32]
  private var nearest: [Float]
  private var depth: [Float]
  private var bentX: [Float]
  private var bentY: [Float]
  private var pas: [Float]
  private var haematoxylin: [Float]

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

  private func isGlomerulus(_ i: Int) -> Bool {
    owner[i] >= 0 && nearest[i] < 0 && sites[Int(owner[i])].kind == .glomerulus
  }

  private mutating func uniform(_ low: Float, _ high: Float) -> Float {
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

  // MARK: - Stains

  private mutating func stain() {
    let texture = NoiseField(size: size, cell: 2.6 * unit, random: &random)
    let patchy = NoiseField(size: size, cell: 48 * unit, random: &random)
    let loops = Loops(cell: 6.4 * unit, salt: random.next())
    for i in 0..<size * size {
      let grain = texture.values[i], shade = 1 + 0.12 * patchy.values[i]
      // Stroma.
      var p: Float = 0.2 + 0.07 * grain, h: Float = 0.05
      if owner[i] >= 0 {
        let site = sites[Int(owner[i])], t = depth[i] / unit
        switch site.kind {
        case .tubule where t > 0:
          let inner = (nearest[i] + site.radius) / max(site.radius, 1)
          // The lumen's edge is frayed by the texture.
          let edge = inner - site.lumen - 0.09 * grain
          if t < 1.5 {
            p = 0.78 + 0.1 * grain
          } else if edge < 0 {
            p = 0.05 + 0.02 * grain
            h = 0.01
          } else {
            p = site.stain + 0.09 * grain
            h = 0.1
            if site.hasBrushBorder && edge < 0.14 { p += 0.24 }
          }
        case .vessel where t > 0:
          let inner = (nearest[i] + site.radius) / max(site.radius, 1) - site.lumen
          if inner < 0 {
            p = 0.04
            h = 0.01
          } else {
            // Muscle in rings.
            p = site.stain + 0.12 * sin(inner * site.radius / unit * 1.9) + 0.08 * grain
            h = 0.12
          }
        case .glomerulus where nearest[i] < 0:
          (p, h) = glomerulus(site, i, grain: grain, loops: loops)
        default: break
        }
      }
      pas[i] = p * shade
      haematoxylin[i] = h * shade
    }
  }

  /// Width of Bowman's space at a pixel plus the furrows between lobes, from the capsule inwards.
  private func tuftMargin(_ site: Site, _ i: Int) -> Float {
    let angle = atan2(bentY[i] - site.y, bentX[i] - site.x)
    let crescent = 0.5 + 0.5 * cos(angle - site.phase)
    let lobes = abs(sin(angle * site.lobeCount / 2 + site.phase))
    let furrow = max(0, 0.3 - lobes) * 16 * unit
    return 2.2 * unit + site.spaceWidth * (0.25 + crescent * crescent) + furrow
  }

  private func glomerulus(_ site: Site, _ i: Int, grain: Float, loops: Loops) -> (pas: Float, haematoxylin: Float) {
    let t = -nearest[i]
    if t < 1.6 * unit { return (0.75 + 0.1 * grain, 0.06) }
    if t < tuftMargin(site, i) { return (0.06 + 0.02 * grain, 0.02) }
    let (wall, kind) = loops.at(bentX[i], bentY[i])
    if wall < 0.26 { return (0.55 + style.mesangium + 0.1 * grain, 0.08) }
    // Open capillary, cell body, or mesangium.
    if kind < 0.3 { return (0.12 + 0.05 * grain, 0.04) }
    if kind < 0.75 { return (0.32 + style.mesangium + 0.1 * grain, 0.12) }
    return (0.48 + 2 * style.mesangium + 0.1 * grain, 0.1)
  }

  // MARK: - Nuclei

  private mutating func drawNuclei() {
    for (number, site) in sites.enumerated() {
      switch site.kind {
      case .tubule: ring(of: site, number: number)
      case .vessel:
        let count = Int(site.radius / unit * uniform(0.5, 1.6))
        for _ in 0..<count {
          let angle = uniform(0, 2 * .pi), inner = uniform(site.lumen + 0.05, 0.97) * site.radius
          nucleus(
            site.x + inner * cos(angle), site.y + inner * sin(angle), long: uniform(2, 3.4), wide: uniform(1, 1.6),
            angle: angle + .pi / 2
          ) { $0.owner[$1] == Int32(number) }
        }
      case .glomerulus: tuft(of: site, number: number)
      }
    }

    // Fibroblasts in the stroma, and in some patches an infiltrate as dense as a tuft.
    for _ in 0..<70 {
      nucleus(
        uniform(0, 1) * Float(size), uniform(0, 1) * Float(size), long: uniform(1.8, 3), wide: uniform(0.8, 1.4),
        angle: uniform(0, .pi)
      ) { !$0.isGlomerulus($1) && $0.depth[$1] < 0.8 * $0.unit }
    }
    if random.below(5) < 2 {
      let x = uniform(0, 1) * Float(size), y = uniform(0, 1) * Float(size), spread = uniform(9, 17) * unit
      for _ in 0..<60 + random.below(60) {
        let dx = spread * Float(random.roughlyNormal()), dy = spread * Float(random.roughlyNormal())
        nucleus(x + dx, y + dy, long: uniform(1.5, 2.1), wide: uniform(1.4, 1.9), angle: 0) {
          !$0.isGlomerulus($1) && $0.depth[$1] < 4 * $0.unit
        }
      }
    }
  }

  /// Nuclei of a tubule's epithelium, about evenly spaced around its axis.
  private mutating func ring(of site: Site, number: Int) {
    let half = (site.axisX * site.axisX + site.axisY * site.axisY).squareRoot()
    let around = 2 * .pi * site.radius + 4 * half
    let spacing = uniform(7.5, 11) * unit
    let middle = (max(site.lumen, 0.35) + 1) / 2
    let direction = atan2(site.axisY, site.axisX)
    var along = uniform(0, 1) * spacing
    while along < around {
      defer { along += spacing * uniform(0.7, 1.3) }
      if random.below(6) == 0 { continue }
      // Two half circles and two straight sides.
      let inner = site.radius * (middle + uniform(-0.1, 0.1))
      let cap = .pi * site.radius
      var x: Float, y: Float
      var rest = along
      let isSecond = rest >= cap + 2 * half
      if isSecond { rest -= cap + 2 * half }
      if rest < cap {
        let angle = rest / site.radius - .pi / 2
        (x, y) = (half + inner * cos(angle), inner * sin(angle))
      } else {
        (x, y) = (half - (rest - cap), inner)
      }
      if isSecond { (x, y) = (-x, -y) }
      let worldX = site.x + x * cos(direction) - y * sin(direction)
      let worldY = site.y + x * sin(direction) + y * cos(direction)
      let size = uniform(2, 2.9)
      nucleus(worldX, worldY, long: size * uniform(1, 1.25), wide: size, angle: uniform(0, .pi)) {
        $0.owner[$1] == Int32(number) && $0.depth[$1] > 2 * $0.unit
      }
    }
  }

  private mutating func tuft(of site: Site, number: Int) {
    let radius = site.radius / unit
    let count = Int(radius * radius * uniform(0.085, 0.12))
    for _ in 0..<count {
      let angle = uniform(0, 2 * .pi), inner = uniform(0, 1).squareRoot() * site.radius
      let size = uniform(1.6, 2.6)
      nucleus(
        site.x + inner * cos(angle), site.y + inner * sin(angle), long: size * uniform(1, 1.4), wide: size,
        angle: uniform(0, .pi)
      ) { $0.owner[$1] == Int32(number) && -$0.nearest[$1] > $0.tuftMargin(site, $1) + 1.2 * $0.unit }
    }
    // Flat cells that line the capsule.
    for _ in 0..<Int(radius / 5) {
      let angle = uniform(0, 2 * .pi), inner = site.radius - 2 * unit
      nucleus(
        site.x + inner * cos(angle), site.y + inner * sin(angle), long: uniform(2, 2.8), wide: uniform(0.8, 1.1),
        angle: angle + .pi / 2
      ) { $0.owner[$1] == Int32(number) && $0.nearest[$1] < 0 }
    }
  }

  /// An ellipse of haematoxylin with a soft edge, if its middle is where `allowed` says. Lengths in units.
  private mutating func nucleus(
    _ x: Float, _ y: Float, long: Float, wide: Float, angle: Float, allowed: (Tissue, Int) -> Bool
  ) {
    let strength = uniform(0.65, 1.2), speckle = uniform(0, 6)
    // The tissue is bent; the place in the picture is found by going back once, near enough for a nucleus.
    var px = Int(x), py = Int(y)
    guard px >= 0, py >= 0, px < size, py < size else { return }
    let bent = py * size + px
    let centreX = 2 * x - bentX[bent], centreY = 2 * y - bentY[bent]
    px = Int(centreX)
    py = Int(centreY)
    guard centreX >= 0, centreY >= 0, px < size, py < size, allowed(self, py * size + px) else { return }
    let reach = Int((max(long, wide) + 1) * unit) + 1
    let (c, s) = (cos(angle), sin(angle))
    for row in max(0, py - reach)...min(size - 1, py + reach) {
      for column in max(0, px - reach)...min(size - 1, px + reach) {
        let dx = Float(column) - centreX, dy = Float(row) - centreY
        let u = (dx * c + dy * s) / (long * unit), v = (dy * c - dx * s) / (wide * unit)
        let inside = max(0, min(1, (1.25 - (u * u + v * v).squareRoot()) * 2.2))
        guard inside > 0 else { continue }
        let i = row * size + column
        // Chromatin is uneven.
        let density = strength * (0.9 + 0.16 * sin(3.1 * u + speckle) * cos(2.7 * v - speckle))
        haematoxylin[i] += (density - haematoxylin[i]) * inside
        pas[i] *= 1 - 0.6 * inside
      }
    }
  }

  // MARK: - Light

  private mutating func light() -> PixelBuffer {
    for _ in 0..<style.blurPasses {
      blur(&pas)
      blur(&haematoxylin)
    }
    let vignette = NoiseField(size: size, cell: 120 * unit, random: &random)
    let (p0, p1, p2) = style.pasAbsorbance, (h0, h1, h2) = style.haematoxylinAbsorbance
    var bytes = [UInt8](repeating: 0, count: 3 * size * size)
    for i in 0..<size * size {
      let p = style.pas * pas[i], h = style.haematoxylin * haematoxylin[i]
      let shade = 1 + 0.02 * vignette.values[i]
      let common = Float(random.roughlyNormal()) * style.noise * 0.7
      let own = random.next()
      bytes[3 * i] = level(style.glass.0 * shade * exp(-p * p0 - h * h0), common, own)
      bytes[3 * i + 1] = level(style.glass.1 * shade * exp(-p * p1 - h * h1), common, own >> 16)
      bytes[3 * i + 2] = level(style.glass.2 * shade * exp(-p * p2 - h * h2), common, own >> 32)
    }
    return PixelBuffer(width: size, height: size, channels: 3, bytes: bytes)
  }

  /// A byte with noise: `common` to the channels, and two bytes of `bits` for its own.
  @inline(__always)
  private func level(_ value: Float, _ common: Float, _ bits: UInt64) -> UInt8 {
    let own = (Float(bits & 0xff) + Float(bits >> 8 & 0xff) - 255) / 104 * style.noise * 0.7
    return UInt8(max(0, min(255, (value + common + own).rounded())))
  }

  /// ¼ ½ ¼ along rows and columns; the border is held.
  private func blur(_ plane: inout [Float]) {
    var rows = plane
    for y in 0..<size {
      for x in 0..<size {
        let i = y * size + x
        let left = plane[x > 0 ? i - 1 : i], right = plane[x + 1 < size ? i + 1 : i]
        rows[i] = 0.5 * plane[i] + 0.25 * (left + right)
      }
    }
    for y in 0..<size {
      for x in 0..<size {
        let i = y * size + x
        let above = rows[y > 0 ? i - size : i], below = rows[y + 1 < size ? i + size : i]
        plane[i] = 0.5 * rows[i] + 0.25 * (above + below)
      }
    }
  }
}

/// Smooth noise of −1 … 1 over a square: random values on a grid, joined by smoothstep.
private struct NoiseField {
  let values: [Float]

  init(size: Int, cell: Float, random: inout RandomSource) {
    let cell = max(cell, 1)
    let count = Int(Float(size) / cell) + 3
    var grid = [Float](repeating: 0, count: count * count)
    for i in grid.indices { grid[i] = Float(random.uniform(-1, 1)) }
    let axis = (0..<size).map { i -> (index: Int, weight: Float) in
      let place = Float(i) / cell
      let fraction = place - place.rounded(.down)
      return (Int(place), fraction * fraction * (3 - 2 * fraction))
    }
    values = [Float](unsafeUninitializedCapacity: size * size) { out, filled in
      for y in 0..<size {
        let (row, v) = axis[y]
        for x in 0..<size {
          let (column, u) = axis[x]
          let i = row * count + column
          let top = grid[i] + (grid[i + 1] - grid[i]) * u
          let bottom = grid[i + count] + (grid[i + count + 1] - grid[i + count]) * u
          out[y * size + x] = top + (bottom - top) * v
        }
      }
      filled = size * size
    }
  }
}

/// Capillary loops: the cells of jittered points on a grid (Worley, "A Cellular Texture Basis Function", 1996).
private struct Loops {
  let cell: Float
  let salt: UInt64

  /// `wall`: 0 on the border of two cells, about 1 in the middle of one; `kind`: a number of 0 ..< 1 for the cell.
  func at(_ x: Float, _ y: Float) -> (wall: Float, kind: Float) {
    let (gx, gy) = (x / cell, y / cell)
    let (column, row) = (Int(gx.rounded(.down)), Int(gy.rounded(.down)))
    var first = Float.infinity, second = Float.infinity, kind: Float = 0
    for r in row - 1...row + 1 {
      for c in column - 1...column + 1 {
        var state = RandomSource(
          state: salt ^ UInt64(bitPattern: Int64(c)) &* 0x9e37_79b9 ^ UInt64(bitPattern: Int64(r)) &* 0x85eb_ca6b_0000)
        let bits = state.next()
        let dx = Float(c) + Float(bits & 0xffff) / 65536 - gx, dy = Float(r) + Float(bits >> 16 & 0xffff) / 65536 - gy
        let distance = (dx * dx + dy * dy).squareRoot()
        if distance < first {
          (second, first) = (first, distance)
          kind = Float(bits >> 40 & 0xffff) / 65536
        } else if distance < second {
          second = distance
        }
      }
    }
    return (second - first, kind)
  }
}
