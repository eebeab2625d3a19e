import Glibc

extension Tissue {
  mutating func stain() {
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
  func tuftMargin(_ site: Site, _ i: Int) -> Float {
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
}
