import Randomness

import Glibc

extension Tissue {
  mutating func drawNuclei() {
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
}
