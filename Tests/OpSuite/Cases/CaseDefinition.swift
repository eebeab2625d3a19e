import Engine

/// A tensor that a case gives to its graph; every element is a number that fp32 holds exactly.
struct CaseInput: Sendable {
  /// Where the graph keeps it: gradients of parameters go to the gradient slab, of inputs to the arena.
  enum Home: Sendable {
    case input
    case slab(Slab)
  }

  let name: String
  let value: Tensor64
  var home: Home = .input
  var needsGradient = false
  /// What it becomes in the steps after the first; elsewhere it is written once.
  var laterSteps: [Tensor64] = []

  init(
    _ name: String, _ value: Tensor64, _ home: Home = .input, needsGradient: Bool = false, laterSteps: [Tensor64] = []
  ) {
    self.name = name
    self.value = value.roundedToFloat
    self.home = home
    self.needsGradient = needsGradient
    self.laterSteps = laterSteps.map(\.roundedToFloat)
  }

  /// The tensor's extents as the engine counts them; a vector lies along the channels.
  var shape: Shape {
    let s = value.shape
    return s.count == 4 ? Shape(s[0], s[1], s[2], s[3]) : .vector(value.count)
  }
}

extension Tensor64 {
  /// The nearest values that fp32 holds.
  var roundedToFloat: Tensor64 { Tensor64(shape, values.map { Double(Float($0)) }) }

  /// √(mean of squares): the size of a typical element.
  var rootMeanSquare: Double { (Reference.sumOfSquares(self) / Double(max(1, count))).squareRoot() }
}

/// What is known of a result's rounding: see ``ErrorBound``.
struct Accuracy: Sendable {
  /// Terms of the longest sum behind an element.
  var reduction: Int
  /// How much the mathematics itself enlarges an error of its inputs: |mean|/σ for a batch norm.
  var condition: Double = 1
  /// The size that the result would have by chance, where the sum may cancel.
  var magnitude: Double = 0
  /// How many convolutions in a row have a part in it, whose operands a device may round.
  var products: Double = 0
  /// A gradient through a ReLU of what a convolution gives.
  var jumps = false
  /// What storing it adds: the unit roundoff of 16 bits, as often as it is rounded to them.
  var storageRoundoff = 0.0

  /// The same with `products` in it.
  func after(products: Double, jumps: Bool = false) -> Accuracy {
    var copy = self
    (copy.products, copy.jumps) = (products, jumps)
    return copy
  }
}

/// What a kind of case has to say: its inputs, its graph, and the Double reference for both.
///
/// Results are named: what the operation computes `y` (and so on), the gradient with respect to the input `NAME`
/// `grad_NAME`. The gradient that comes from above is the input `grad_y`.
protocol CaseDefinition: Sendable {
  /// The operation that the case is about: the first part of its name.
  static var operation: String { get }
  /// Shapes and attributes: the second part.
  var label: String { get }
  /// The tensors given, the same for the same seed.
  func inputs(seed: UInt64) -> [CaseInput]
  func build(_ builder: inout CaseBuilder) throws(EngineError)
  /// The outputs whose projection on their upstream gradients is differentiated.
  func forward(_ inputs: [String: Tensor64]) -> [String: Tensor64]
  /// Every result, gradients included; of several steps, the results of each by number.
  func reference(_ inputs: [String: Tensor64], _ step: Int) -> [String: Tensor64]
  func accuracy(_ result: String, _ inputs: [String: Tensor64]) -> Accuracy
  var steps: Int { get }
  /// So large that values can't have memory of their own: the case runs on plans that share memory alone.
  var fillsMemory: Bool { get }
}

extension CaseDefinition {
  var steps: Int { 1 }
  var fillsMemory: Bool { false }
}

/// Inputs by name; what an input becomes at step k is `NAME@k`.
func byName(_ inputs: [CaseInput]) -> [String: Tensor64] {
  var tensors: [String: Tensor64] = [:]
  for input in inputs {
    tensors[input.name] = input.value
    for (index, value) in input.laterSteps.enumerated() { tensors["\(input.name)@\(index + 1)"] = value }
  }
  return tensors
}

/// Collects a case's graph: sources by name, and the values to compare.
struct CaseBuilder {
  var graph = Graph()
  private(set) var layout = StateLayout()
  private(set) var sources: [(value: ValueID, input: CaseInput)] = []
  /// What is compared, and the value that it shows.
  private(set) var outputs: [(name: String, value: ValueID, shown: ValueID)] = []
  /// Inputs that are read in 16 bits, by way of a copy.
  var storage: [String: Storage] = [:]
  /// How what operations give is stored, and gradients where all that touch them can.
  var resultStorage = Storage.float32
  var gradientStorage = GradientStorage.fp32
  private let inputs: [String: CaseInput]
  private var known: [String: ValueID] = [:]

  init(_ inputs: [CaseInput]) {
    self.inputs = Dictionary(inputs.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// The graph's value for an input of the case.
  mutating func source(_ name: String) throws(EngineError) -> ValueID {
    if let value = known[name] { return value }
    guard let input = inputs[name] else { throw .request("the case has no input named \(name)") }
    let residence: Residence
    switch input.home {
    case .input: residence = .input
    case .slab(let slab):
      let dimensions = input.value.shape
      // Gradients and moments that a case gives itself are those of its first parameter.
      let offset = slab == .parameters || slab == .running ? layout.reserve([(name, dimensions)], in: slab) : 0
      residence = .persistent(slab, offset: offset)
    }
    let value = graph.source(name, input.shape, residence, needsGradient: input.needsGradient)
    sources.append((value, input))
    known[name] = value
    if let storage = storage[name], storage != .float32 {
      let copy = try graph.apply(Materialize(), [value])[0]
      graph.store(copy, as: storage)
      known[name] = copy
    }
    return known[name]!
  }

  /// A value to compare; a view is written out.
  mutating func output(_ name: String, _ value: ValueID) throws(EngineError) {
    var stored = value
    if resultStorage != .float32, graph.phase == .forward, graph[value].residence.isArena {
      graph.store(value, as: resultStorage)
    }
    let isGradient = graph.phase != .forward && graph[value].residence.isArena && gradientStorage != .fp32
    if graph[value].residence.isView || graph[value].storage != .float32 || isGradient {
      stored = try graph.apply(Materialize(), [value], named: name, differentiable: false)[0]
    }
    graph.keep(stored)
    outputs.append((name, stored, value))
  }

  /// Appends the gradients of `seeds`, pairs of a value and the input that holds its gradient, and compares those that
  /// reach an input which wants one.
  mutating func differentiate(_ seeds: [(ValueID, String)]) throws(EngineError) {
    var pairs: [(value: ValueID, gradient: ValueID)] = []
    for (value, name) in seeds { pairs.append((value, try source(name))) }
    let gradients: [ValueID: ValueID]
    (graph, gradients) = try Differentiation.run(graph, seeds: pairs)
    for (value, input) in sources where input.needsGradient {
      guard let gradient = gradients[value] else { continue }
      try output("grad_\(input.name)", gradient)
    }
  }
}

extension Residence {
  fileprivate var isArena: Bool { if case .arena = self { true } else { false } }
  fileprivate var isView: Bool { if case .view = self { true } else { false } }
}
