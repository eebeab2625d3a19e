public import Images

/// A mask of a whole slide as runs of foreground, row by row: its memory follows the outlines, not the area.
///
/// A slide of 70,000 × 80,000 pixels with 200 glomeruli takes about 100,000 runs. Each run carries the sum of its pixels'
/// probabilities, so that objects have a mean.
public struct RunMask: Sendable, Equatable {
  public struct Run: Sendable, Equatable {
    /// First foreground pixel, and the one behind the last.
    public var start: Int32
    public var end: Int32
    /// Over the pixels that were found, not those of holes that were filled later.
    public var probabilitySum: Float
    /// How many pixels that are.
    public var probabilityCount: Int32

    public init(start: Int, end: Int, probabilitySum: Float? = nil) {
      self.start = Int32(start)
      self.end = Int32(end)
      self.probabilitySum = probabilitySum ?? Float(end - start)
      probabilityCount = Int32(end - start)
    }

    public var length: Int { Int(end - start) }
  }

  public let width: Int
  public let height: Int
  /// Of all rows, left to right, with background between two of a row.
  public private(set) var runs: [Run] = []
  /// Where each row's runs begin; one more at the end.
  public private(set) var rowStarts: [Int] = [0]

  /// More runs than this are noise, not glomeruli: 1 GiB.
  public static let runLimit = 1 << 26

  /// A mask without rows; `appendRow` adds them from the top.
  public init(width: Int, height: Int) {
    self.width = width
    self.height = height
    rowStarts.reserveCapacity(height + 1)
  }

  /// The foreground of a grey image: bytes above `limit`.
  public init(_ image: PixelBuffer, above limit: UInt8) {
    precondition(image.channels == 1, "a mask has one channel")
    self.init(width: image.width, height: image.height)
    image.bytes.withUnsafeBufferPointer { bytes in
      for row in 0..<image.height {
        appendRow(UnsafeBufferPointer(rebasing: bytes[row * width..<(row + 1) * width]), above: limit)
      }
    }
  }

  public var isComplete: Bool { rowStarts.count == height + 1 }

  /// The runs of a row.
  public subscript(row: Int) -> ArraySlice<Run> { runs[rowStarts[row]..<rowStarts[row + 1]] }

  /// Adds the next row's runs: ascending, touching runs joined.
  public mutating func appendRow(_ row: some Sequence<Run>) {
    precondition(!isComplete, "a mask has as many rows as its height")
    let first = runs.count
    for run in row where run.start < run.end {
      if runs.count > first, let last = runs.last, last.end >= run.start {
        // Touching runs become one.
        runs[runs.count - 1].end = max(last.end, run.end)
        runs[runs.count - 1].probabilitySum += run.probabilitySum
        runs[runs.count - 1].probabilityCount += run.probabilityCount
      } else {
        runs.append(run)
      }
    }
    rowStarts.append(runs.count)
  }

  /// Adds the next row from bytes, foreground where they are above `limit`.
  public mutating func appendRow(_ bytes: UnsafeBufferPointer<UInt8>, above limit: UInt8) {
    precondition(bytes.count == width, "a row has the mask's width")
    let raw = UnsafeRawBufferPointer(bytes)
    var found: [Run] = []
    var x = 0
    while x < width {
      // Background goes eight pixels at a time.
      if bytes[x] == 0 {
        while x + 8 <= width, raw.loadUnaligned(fromByteOffset: x, as: UInt64.self) == 0 { x += 8 }
        if x >= width { break }
      }
      guard bytes[x] > limit else {
        x += 1
        continue
      }
      let start = x
      var sum = 0
      while x < width, bytes[x] > limit {
        sum += Int(bytes[x])
        x += 1
      }
      found.append(Run(start: start, end: x, probabilitySum: Float(sum) / 255))
    }
    appendRow(found)
  }

  /// Adds background to the end.
  public mutating func complete() {
    while !isComplete { rowStarts.append(runs.count) }
  }

  /// Foreground pixels.
  public var area: Int { runs.reduce(0) { $0 + $1.length } }

  /// Writes a stretch of a row to bytes: `value` where there is foreground, else 0.
  public func draw(row: Int, from x: Int, into bytes: UnsafeMutableBufferPointer<UInt8>, value: UInt8 = 255) {
    bytes.update(repeating: 0)
    guard row < height else { return }
    for i in firstRun(row: row, endingAfter: x)..<rowStarts[row + 1] {
      let run = runs[i]
      guard Int(run.start) < x + bytes.count else { return }
      let left = max(0, Int(run.start) - x), right = min(bytes.count, Int(run.end) - x)
      for place in left..<right { bytes[place] = value }
    }
  }

  /// Foreground pixels of a rectangle; what lies outside the mask is background.
  public func area(x: Int, y: Int, width: Int, height: Int) -> Int {
    var count = 0
    for row in max(0, y)..<max(max(0, y), min(self.height, y + height)) {
      for i in firstRun(row: row, endingAfter: x)..<rowStarts[row + 1] {
        let left = max(x, Int(runs[i].start)), right = min(x + width, Int(runs[i].end))
        if left >= right { break }
        count += right - left
      }
    }
    return count
  }

  /// The first run of a row whose end is right of x, by bisection.
  func firstRun(row: Int, endingAfter x: Int) -> Int {
    var low = rowStarts[row], high = rowStarts[row + 1]
    while low < high {
      let middle = (low + high) / 2
      if Int(runs[middle].end) > x { high = middle } else { low = middle + 1 }
    }
    return low
  }

  /// Replaces all runs, row by row.
  mutating func replaceRows(_ body: (_ row: Int, _ runs: ArraySlice<Run>) -> [Run]) {
    var result = RunMask(width: width, height: height)
    for row in 0..<height { result.appendRow(body(row, self[row])) }
    self = result
  }
}

extension RunMask {
  /// The mask on a canvas of another size: each new pixel takes the pixel under its middle.
  ///
  /// - Parameter downsample: pixels of this mask in a new pixel.
  public func scaled(width newWidth: Int, height newHeight: Int, downsampleX: Double, downsampleY: Double) -> RunMask {
    if newWidth == width && newHeight == height && downsampleX == 1 && downsampleY == 1 { return self }
    var result = RunMask(width: newWidth, height: newHeight)
    for row in 0..<newHeight {
      let source = min(height - 1, Int((Double(row) + 0.5) * downsampleY))
      result.appendRow(
        self[source].map { run in
          // The pixels whose middle (i + ½) · downsample lies in [start, end).
          let start = max(0, Int((Double(run.start) / downsampleX - 0.5).rounded(.up)))
          var end = min(newWidth, Int((Double(run.end) / downsampleX - 0.5).rounded(.up)))
          // A canvas that was rounded up shows the last pixel again, as images do.
          if Int(run.end) == width { end = newWidth }
          guard start < end else { return Run(start: 0, end: 0) }
          let mean = run.probabilityCount > 0 ? run.probabilitySum / Float(run.probabilityCount) : 1
          return Run(start: start, end: end, probabilitySum: mean * Float(end - start))
        })
    }
    return result
  }

  /// On the canvas of a slide of this mask's size.
  public func scaled(downsample: Double) -> RunMask {
    scaled(
      width: SlideCanvas.size(width, downsample), height: SlideCanvas.size(height, downsample),
      downsampleX: downsample, downsampleY: downsample)
  }

  /// Foreground pixels of both masks, which have one size.
  public func intersectionArea(_ other: RunMask) -> Int {
    precondition(width == other.width && height == other.height, "masks of one size are compared")
    var count = 0
    for row in 0..<height {
      var a = rowStarts[row], b = other.rowStarts[row]
      while a < rowStarts[row + 1], b < other.rowStarts[row + 1] {
        let left = max(runs[a].start, other.runs[b].start), right = min(runs[a].end, other.runs[b].end)
        if left < right { count += Int(right - left) }
        if runs[a].end < other.runs[b].end { a += 1 } else { b += 1 }
      }
    }
    return count
  }
}
