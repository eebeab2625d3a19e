/// Where parameters and running statistics live in their slabs, and under which names.
///
/// A parameter may be several named tensors stacked over their first dimension: the dilated bottleneck's three
/// convolutions are one convolution to the engine and three to a checkpoint.
public struct StateLayout: Sendable, Equatable {
  /// A named tensor as checkpoints know it.
  public struct Entry: Sendable, Equatable {
    public let name: String
    /// As PyTorch would print it: (out, in, k, k), or (channels).
    public let dimensions: [Int]
    public let slab: Slab
    /// In elements, from the slab's start.
    public let offset: Int
    /// What its input channels are, of a convolution's weight.
    let inputs: Inputs?
    public var count: Int { dimensions.reduce(1, *) }
  }

  /// Channels of the tensors that a weight's input was concatenated from, in order, and which of its dimensions they are.
  struct Inputs: Sendable, Equatable {
    let dimension: Int
    let parts: [Int]
  }

  public private(set) var entries: [Entry] = []
  /// Elements of the parameter slab (and of the gradient and moment slabs), and of the running statistics.
  public private(set) var parameterCount = 0
  public private(set) var runningCount = 0
  /// Regions begin at multiples of so many elements, 1 KiB: of more bytes than any device known wants a buffer's part aligned to.
  static let alignment = 256

  public init() {}

  /// Reserves a region for tensors stacked in order, and returns its offset in elements.
  public mutating func reserve(_ tensors: [(name: String, dimensions: [Int])], in slab: Slab) -> Int {
    reserve(tensors, inputs: nil, in: slab)
  }

  mutating func reserve(_ tensors: [(name: String, dimensions: [Int])], inputs: Inputs?, in slab: Slab) -> Int {
    var offset = slab == .running ? runningCount : parameterCount
    let start = offset
    for tensor in tensors {
      let entry = Entry(name: tensor.name, dimensions: tensor.dimensions, slab: slab, offset: offset, inputs: inputs)
      entries.append(entry)
      offset += entry.count
    }
    offset = (offset + Self.alignment - 1) / Self.alignment * Self.alignment
    if slab == .running { runningCount = offset } else { parameterCount = offset }
    return start
  }

  /// Elements of a slab, at least one region.
  public func count(of slab: Slab) -> Int {
    max(Self.alignment, slab == .running ? runningCount : parameterCount)
  }

  /// Trainable numbers, padding not counted.
  public var trainableCount: Int {
    entries.reduce(0) { $0 + ($1.slab == .parameters ? $1.count : 0) }
  }
}
