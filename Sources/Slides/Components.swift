/// Sets of numbers that are joined (union–find with path halving).
struct DisjointSets {
  private var parents: [Int32] = []

  init(count: Int) { parents = (0..<Int32(count)).map { $0 } }

  mutating func find(_ item: Int) -> Int {
    var i = item
    while Int(parents[i]) != i {
      parents[i] = parents[Int(parents[i])]
      i = Int(parents[i])
    }
    return i
  }

  /// The smaller number stands for the joined set.
  mutating func join(_ a: Int, _ b: Int) {
    let (a, b) = (find(a), find(b))
    if a != b { parents[max(a, b)] = Int32(min(a, b)) }
  }
}

/// A connected piece of a mask: pixels that touch along a side or at a corner.
public struct MaskObject: Sendable, Equatable {
  /// Pixels.
  public internal(set) var area = 0
  /// The middle of its pixels, in pixels from the mask's upper left corner (a single pixel at 0, 0 is at ½, ½).
  public internal(set) var centroidX = 0.0
  public internal(set) var centroidY = 0.0
  public internal(set) var left = Int.max
  public internal(set) var top = Int.max
  /// Behind the last column and row.
  public internal(set) var right = 0
  public internal(set) var bottom = 0
  public internal(set) var meanProbability = 0.0
}

/// The objects of a mask, and which run belongs to which.
public struct MaskObjects: Sendable {
  /// In the order of their first pixels, row by row.
  public private(set) var objects: [MaskObject] = []
  /// For each run of the mask, the number of its object.
  public private(set) var labels: [Int32]

  /// Finds the 8-connected components.
  public init(_ mask: RunMask) {
    let runs = mask.runs
    var sets = DisjointSets(count: runs.count)
    // Runs touch at a corner too, so ends reach one further.
    mask.eachTouchingPair(reach: 1) { sets.join($0, $1) }
    labels = [Int32](repeating: 0, count: runs.count)
    var numbers: [Int: Int32] = [:]
    var sums: [(x: Double, y: Double, probability: Double, count: Int)] = []
    for row in 0..<mask.height {
      for i in mask.rowStarts[row]..<mask.rowStarts[row + 1] {
        let root = sets.find(i)
        if numbers[root] == nil {
          numbers[root] = Int32(objects.count)
          objects.append(MaskObject())
          sums.append((0, 0, 0, 0))
        }
        let number = Int(numbers[root] ?? 0), run = runs[i], length = run.length
        labels[i] = Int32(number)
        objects[number].area += length
        objects[number].left = min(objects[number].left, Int(run.start))
        objects[number].right = max(objects[number].right, Int(run.end))
        objects[number].top = min(objects[number].top, row)
        objects[number].bottom = row + 1
        sums[number].x += Double(length) * Double(run.start + run.end) / 2
        sums[number].y += Double(length) * (Double(row) + 0.5)
        sums[number].probability += Double(run.probabilitySum)
        sums[number].count += Int(run.probabilityCount)
      }
    }
    for (i, sum) in sums.enumerated() {
      objects[i].centroidX = sum.x / Double(objects[i].area)
      objects[i].centroidY = sum.y / Double(objects[i].area)
      objects[i].meanProbability = sum.count > 0 ? sum.probability / Double(sum.count) : 0
    }
  }
}

extension RunMask {
  /// Calls `body` with every two runs of neighbouring rows that touch: `reach` 0 along a side, 1 at a corner too.
  func eachTouchingPair(reach: Int32, _ body: (Int, Int) -> Void) {
    for row in 1..<max(1, height) {
      var a = rowStarts[row - 1], b = rowStarts[row]
      while a < rowStarts[row], b < rowStarts[row + 1] {
        if runs[a].start < runs[b].end + reach && runs[b].start < runs[a].end + reach { body(a, b) }
        if runs[a].end < runs[b].end { a += 1 } else { b += 1 }
      }
    }
  }

  /// Fills holes: background that foreground encloses (background touches along sides only).
  ///
  /// - Parameter limit: the largest hole that is filled, in pixels; `nil` for every hole.
  public mutating func fillHoles(upTo limit: Int? = nil) {
    if let limit, limit < 1 { return }
    // The gaps between runs, and the stretches to the borders.
    var gaps = RunMask(width: width, height: height)
    for row in 0..<height {
      var x: Int32 = 0
      var line: [Run] = []
      for run in self[row] {
        line.append(Run(start: Int(x), end: Int(run.start)))
        x = run.end
      }
      line.append(Run(start: Int(x), end: width))
      gaps.appendRow(line)
    }
    var sets = DisjointSets(count: gaps.runs.count)
    gaps.eachTouchingPair(reach: 0) { sets.join($0, $1) }
    var areas: [Int: Int] = [:]
    var open: Set<Int> = []
    for row in 0..<height {
      for i in gaps.rowStarts[row]..<gaps.rowStarts[row + 1] {
        let root = sets.find(i), gap = gaps.runs[i]
        if row == 0 || row == height - 1 || gap.start == 0 || Int(gap.end) == width { open.insert(root) }
        areas[root, default: 0] += gap.length
      }
    }
    let filled = Set(areas.filter { !open.contains($0.key) && $0.value <= limit ?? Int.max }.keys)
    guard !filled.isEmpty else { return }
    let gapRows = gaps
    replaceRows { row, runs in
      var line = Array(runs)
      for i in gapRows.rowStarts[row]..<gapRows.rowStarts[row + 1] where filled.contains(sets.find(i)) {
        var run = gapRows.runs[i]
        (run.probabilitySum, run.probabilityCount) = (0, 0)
        line.append(run)
      }
      return line.sorted { $0.start < $1.start }
    }
  }

  /// Removes objects of fewer than `limit` pixels.
  public mutating func removeObjects(smallerThan limit: Int) {
    guard limit > 1 else { return }
    let found = MaskObjects(self)
    let starts = rowStarts
    replaceRows { row, runs in
      zip(starts[row]..., runs).filter { found.objects[Int(found.labels[$0.0])].area >= limit }.map(\.1)
    }
  }
}
