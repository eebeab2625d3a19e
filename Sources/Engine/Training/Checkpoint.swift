/// Files of a model's state, in safetensors.
///
/// A *model file* holds parameters and running statistics under PyTorch's names, so that `load_state_dict` takes it, and in
/// its metadata what is needed to rebuild the model. A *resume file* adds the optimiser's moments and the run's position.
public enum Checkpoint {
  static let format = "glomseg-1"

  /// Writes a model file: to a temporary file that is renamed, so that an interrupted save leaves the old one whole.
  public static func saveModel(
    _ state: any StateMemory, model: VariableUNet, stepsTaken: Int, metadata: [String: String], to path: String
  ) throws(EngineError) {
    var writer = SafetensorsWriter(metadata: describe(model, metadata, stepsTaken))
    try addModel(state, stepsTaken, &writer)
    try write(writer, path)
  }

  /// Writes a resume file: parameters, statistics, moments, and the parameters' average where one is kept.
  public static func saveResume(
    _ state: any StateMemory, model: VariableUNet, stepsTaken: Int, averages: Bool = false, metadata: [String: String],
    integers: [String: [Int64]] = [:], to path: String
  ) throws(EngineError) {
    var writer = SafetensorsWriter(metadata: describe(model, metadata, stepsTaken))
    try addModel(state, stepsTaken, &writer)
    for (name, values) in integers { writer.add(name, shape: [values.count], integers: values) }
    for (prefix, slab) in optimizerSlabs(averages: averages) {
      let values = try state.read(slab)
      for entry in state.layout.entries where entry.slab == .parameters {
        writer.add(
          prefix + entry.name, shape: entry.dimensions, floats: Array(values[entry.offset..<entry.offset + entry.count]))
      }
    }
    try write(writer, path)
  }

  private static func optimizerSlabs(averages: Bool) -> [(String, Slab)] {
    [("exp_avg.", .firstMoment), ("exp_avg_sq.", .secondMoment)] + (averages ? [("average.", .averaged)] : [])
  }

  private static func describe(_ model: VariableUNet, _ metadata: [String: String], _ steps: Int) -> [String: String] {
    metadata.merging(
      [
        "format": "pt", "glomseg": format, "base": "\(model.base)", "bottleneck": model.bottleneck.rawValue,
        "norm": model.norm.rawValue, "steps": "\(steps)",
      ], uniquingKeysWith: { $1 })
  }

  private static func addModel(
    _ state: any StateMemory, _ steps: Int, _ writer: inout SafetensorsWriter
  ) throws(EngineError) {
    let parameters = try state.read(.parameters)
    let running = try state.read(.running)
    for entry in state.layout.entries {
      let values = entry.slab == .parameters ? parameters : running
      writer.add(entry.name, shape: entry.dimensions, floats: Array(values[entry.offset..<entry.offset + entry.count]))
      if entry.name.hasSuffix(".running_var") {
        let name = String(entry.name.dropLast("running_var".count)) + "num_batches_tracked"
        writer.add(name, shape: [], integers: [Int64(steps)])
      }
    }
  }

  private static func write(_ writer: SafetensorsWriter, _ path: String) throws(EngineError) {
    do throws(SafetensorsError) { try writer.write(to: path) } catch { throw .file(path: path, problem: error.problem) }
  }

  /// A checkpoint's model and metadata, without its tensors.
  public static func open(_ path: String) throws(EngineError) -> (model: VariableUNet, metadata: [String: String]) {
    let file = try read(path)
    if let text = file.metadata["base"], let base = Int(text) {
      // Early files of version 0.1.0 name neither bottleneck nor norm: there was one of each.
      guard let bottleneck = Bottleneck(rawValue: file.metadata["bottleneck"] ?? Bottleneck.split.rawValue),
        let norm = Normalization(rawValue: file.metadata["norm"] ?? Normalization.batch.rawValue)
      else { throw .file(path: path, problem: "has a bottleneck or norm that this version does not know") }
      return (VariableUNet(base: base, bottleneck: bottleneck, norm: norm), file.metadata)
    }
    // A file that PyTorch wrote has no metadata of ours; the first convolution tells the width.
    guard let first = file.tensors["enc1.double_conv.0.weight"], let base = first.shape.first else {
      throw .file(path: path, problem: "has no tensor enc1.double_conv.0.weight, so it is no VariableUNet")
    }
    let bottleneck: Bottleneck =
      file.tensors["bottleneck.mix.weight"] != nil ? .sum : file.tensors["bottleneck.conv.weight"] != nil ? .plain : .split
    let norm: Normalization = file.tensors["enc1.double_conv.1.running_mean"] == nil ? .group : .batch
    return (VariableUNet(base: base, bottleneck: bottleneck, norm: norm), file.metadata)
  }

  /// Fills a state's parameters and running statistics.
  ///
  /// - Throws: `.file` naming the first tensor that is missing, unknown, of another shape, or not finite.
  public static func load(_ path: String, into state: any StateMemory) throws(EngineError) {
    let file = try read(path)
    try fill(file, path, state, prefix: "", slab: nil, whollyFinite: true)
  }

  /// Fills parameters, running statistics, moments and average from a resume file, and returns its metadata.
  public static func resume(
    _ path: String, into state: any StateMemory, averages: Bool = false
  ) throws(EngineError) -> (stepsTaken: Int, metadata: [String: String]) {
    let file = try read(path)
    guard let text = file.metadata["steps"], let steps = Int(text) else {
      throw .file(path: path, problem: "does not say how many steps were taken, so a run cannot resume from it")
    }
    try fill(file, path, state, prefix: "", slab: nil)
    for (prefix, slab) in optimizerSlabs(averages: averages) { try fill(file, path, state, prefix: prefix, slab: slab) }
    return (steps, file.metadata)
  }

  /// Integers that `saveResume` was given; empty where there are none of the name.
  public static func integers(_ name: String, in path: String) throws(EngineError) -> [Int64] {
    let file = try read(path)
    guard file.tensors[name] != nil else { return [] }
    do throws(SafetensorsError) { return try file.integers(name) } catch { throw .file(path: path, problem: error.problem) }
  }

  static func read(_ path: String) throws(EngineError) -> SafetensorsFile {
    do throws(SafetensorsError) { return try SafetensorsFile(open: path) } catch {
      throw .file(path: path, problem: error.problem)
    }
  }

  /// Checks every tensor first, so that a bad file changes nothing.
  ///
  /// - Parameter whollyFinite: refuses a NaN or an infinity. A run that got lost has them, and says so when it goes on.
  private static func fill(
    _ file: SafetensorsFile, _ path: String, _ state: any StateMemory, prefix: String, slab: Slab?, whollyFinite: Bool = false
  ) throws(EngineError) {
    let entries = state.layout.entries.filter { slab == nil || $0.slab == .parameters }
    for entry in entries {
      guard let tensor = file.tensors[prefix + entry.name] else {
        throw .file(path: path, problem: "has no tensor \(prefix + entry.name)")
      }
      guard tensor.shape == entry.dimensions else {
        throw .file(
          path: path, problem: "tensor \(prefix + entry.name) has shape \(tensor.shape), the model wants \(entry.dimensions)")
      }
    }
    var tensors: [[Float]] = []
    for entry in entries { tensors.append(try floats(prefix + entry.name, in: file, path, finite: whollyFinite)) }
    for (entry, values) in zip(entries, tensors) { try state.write(values, to: slab ?? entry.slab, offset: entry.offset) }
  }

  /// A tensor's elements; where they should be finite, a NaN or an infinity is refused, for it makes every prediction one.
  static func floats(_ name: String, in file: SafetensorsFile, _ path: String, finite: Bool) throws(EngineError) -> [Float] {
    let values: [Float]
    do throws(SafetensorsError) { values = try file.floats(name) } catch { throw .file(path: path, problem: error.problem) }
    guard !finite || values.allSatisfy(\.isFinite) else {
      throw .file(path: path, problem: "tensor \(name) has an element that is NaN or infinite, so the model cannot be used")
    }
    return values
  }
}
