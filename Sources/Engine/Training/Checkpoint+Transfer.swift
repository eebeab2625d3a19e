extension Checkpoint {
  /// What a transfer took over.
  public struct Transfer: Sendable, Equatable {
    /// Tensors taken whole, widened, and left as they were because the file has none of the name or one of another kind.
    public internal(set) var whole = 0
    public internal(set) var widened = 0
    public internal(set) var left: [String] = []
  }

  /// Starts a model from another one's file: tensors of the same name and shape are taken over. Where the file's are
  /// narrower, they become the leading channels, and the other channels keep their starting values; where they are wider,
  /// the leading channels are taken. Models for small patches are narrower than those for large ones.
  ///
  /// - Throws: `.file` where nothing fits.
  public static func transfer(_ path: String, into state: any StateMemory) throws(EngineError) -> Transfer {
    let file = try read(path)
    var outcome = Transfer()
    for entry in state.layout.entries {
      guard let tensor = file.tensors[entry.name], tensor.shape.count == entry.dimensions.count,
        tensor.shape.dropFirst(2) == entry.dimensions.dropFirst(2)
      else {
        outcome.left.append(entry.name)
        continue
      }
      let values = try floats(entry.name, in: file, path, finite: true)
      if tensor.shape == entry.dimensions {
        try state.write(values, to: entry.slab, offset: entry.offset)
        outcome.whole += 1
      } else {
        var all = try state.read(entry.slab, offset: entry.offset, count: entry.count)
        copyLeading(values, tensor.shape, to: &all, entry.dimensions)
        try state.write(all, to: entry.slab, offset: entry.offset)
        outcome.widened += 1
      }
    }
    guard outcome.whole + outcome.widened > 0 else {
      throw .file(path: path, problem: "has no tensor that the model could start from")
    }
    return outcome
  }

  /// Copies the leading rows and columns (the first two dimensions) that both tensors have.
  private static func copyLeading(_ from: [Float], _ fromShape: [Int], to: inout [Float], _ toShape: [Int]) {
    func sizes(_ shape: [Int]) -> (rows: Int, columns: Int) { (shape.first ?? 1, shape.count > 1 ? shape[1] : 1) }
    let (a, b) = (sizes(fromShape), sizes(toShape))
    let inner = fromShape.dropFirst(2).reduce(1, *)
    for row in 0..<min(a.rows, b.rows) {
      let count = min(a.columns, b.columns) * inner
      for i in 0..<count { to[row * b.columns * inner + i] = from[row * a.columns * inner + i] }
    }
  }
}
