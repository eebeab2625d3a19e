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
  /// the leading channels are taken: of each part, where a weight's input is concatenated of several. Models for small patches are
  /// narrower than those for large ones.
  ///
  /// - Throws: `.file` where nothing fits.
  public static func transfer(_ path: String, into state: any StateMemory) throws(EngineError) -> Transfer {
    let file = try read(path)
    let parts = try inputParts(path)
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
        copyLeading(values, tensor.shape, parts[entry.name], to: &all, entry)
        try state.write(all, to: entry.slab, offset: entry.offset)
        outcome.widened += 1
      }
    }
    guard outcome.whole + outcome.widened > 0 else {
      throw .file(path: path, problem: "has no tensor that the model could start from")
    }
    return outcome
  }

  /// What the inputs of the file's own model are concatenated from, by a weight's name: empty where it is none that is known.
  private static func inputParts(_ path: String) throws(EngineError) -> [String: [Int]] {
    guard let model = try? open(path).model else { return [:] }
    var builder = ModelBuilder(training: false)
    let side = VariableUNet.sideMultiple
    let image = builder.graph.source("image", Shape(1, VariableUNet.inputChannels, side, side), .input)
    guard (try? model(image, &builder)) != nil else { return [:] }
    let named = builder.layout.entries.compactMap { entry in entry.inputs.map { (entry.name, $0.parts) } }
    return Dictionary(named) { first, _ in first }
  }

  /// Copies the rows and columns (the first two dimensions) that both tensors have: the leading ones, of each part of an input that is
  /// concatenated of as many in both.
  private static func copyLeading(
    _ from: [Float], _ shape: [Int], _ parts: [Int]?, to: inout [Float], _ entry: StateLayout.Entry
  ) {
    let columns = (from: shape.count > 1 ? shape[1] : 1, to: entry.dimensions.count > 1 ? entry.dimensions[1] : 1)
    let inner = shape.dropFirst(2).reduce(1, *)
    func pairs(_ dimension: Int) -> [(from: Int, to: Int)] {
      var lengths = [
        (shape.count > dimension ? shape[dimension] : 1, entry.dimensions.count > dimension ? entry.dimensions[dimension] : 1)
      ]
      if let inputs = entry.inputs, inputs.dimension == dimension, let parts, parts.count == inputs.parts.count,
        parts.reduce(0, +) == shape[dimension]
      {
        lengths = Array(zip(parts, inputs.parts))
      }
      var (start, found) = ((from: 0, to: 0), [(from: Int, to: Int)]())
      for (a, b) in lengths {
        found += (0..<min(a, b)).map { (start.from + $0, start.to + $0) }
        start = (start.from + a, start.to + b)
      }
      return found
    }
    let across = pairs(1)
    for row in pairs(0) {
      for column in across {
        let (source, target) = ((row.from * columns.from + column.from) * inner, (row.to * columns.to + column.to) * inner)
        for i in 0..<inner { to[target + i] = from[source + i] }
      }
    }
  }
}
