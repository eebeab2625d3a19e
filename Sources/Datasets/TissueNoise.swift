import Randomness

/// Smooth noise of −1 … 1 over a square: random values on a grid, joined by smoothstep.
struct NoiseField {
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
struct Loops {
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
