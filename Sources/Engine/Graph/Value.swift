/// Names a value of a graph.
public struct ValueID: Hashable, Sendable, Comparable {
  let index: Int32
  public static func < (a: ValueID, b: ValueID) -> Bool { a.index < b.index }
}

/// How a value's elements are stored, rounded to nearest even as they are written; raw values as in `storage.clh` and `VectorMath.h`.
/// Arithmetic is fp32 throughout.
public enum Storage: Int, Sendable {
  case float32 = 0
  /// IEEE half precision: activations (`ActivationStorage.fp16`). Finite values beyond ±65504 are set to that.
  case float16 = 1
  /// The upper half of an fp32: gradients (`GradientStorage.bf16`).
  case bfloat16 = 2

  public var bytesPerElement: Int { self == .float32 ? 4 : 2 }
}

/// The order of a value's elements in memory. Channel-innermost layouts are to come.
public enum Layout: Sendable {
  case nchw
}

/// The persistent memory kinds. All but `running` share one layout, so that an optimiser step is one launch.
public enum Slab: String, CaseIterable, Sendable {
  case parameters, gradients, firstMoment, secondMoment, running
  /// Gradients added up over micro-batches.
  case accumulated
  /// A moving average of the parameters.
  case averaged
}

/// Where a value's bytes are.
public enum Residence: Sendable {
  /// The host writes it before a step; it keeps its place for the plan's whole life.
  case input
  /// Computed; lives from its first write to its last use.
  case arena
  /// Part of a slab that outlives steps and plans; offset in elements.
  case persistent(Slab, offset: Int)
  /// Never stored: computed by whoever loads it.
  case view(View)

  var isArena: Bool { if case .arena = self { true } else { false } }
}

/// A value that is computed where it is loaded.
public enum View: Sendable {
  /// f((z − mean)·scale + beta) with f ReLU or the identity; `table` (1, C, 1, 4) holds mean, scale, beta, 1/σ a channel.
  case normalized(z: ValueID, table: ValueID, relu: Bool)
  /// The gradient with respect to z of the above, given `gradient` with respect to its result; `table` (1, C, 1, 8) holds
  /// mean, scale, beta, q, r a channel: scale·g·f′ + q·(z − mean) + r.
  case normalizedGradient(gradient: ValueID, z: ValueID, table: ValueID, relu: Bool)

  var values: [ValueID] {
    switch self {
    case .normalized(let z, let table, _): [z, table]
    case .normalizedGradient(let gradient, let z, let table, _): [gradient, z, table]
    }
  }

  /// The same view of other values.
  func mapping(_ change: (ValueID) -> ValueID) -> View {
    switch self {
    case .normalized(let z, let table, let relu): .normalized(z: change(z), table: change(table), relu: relu)
    case .normalizedGradient(let gradient, let z, let table, let relu):
      .normalizedGradient(gradient: change(gradient), z: change(z), table: change(table), relu: relu)
    }
  }

  var mode: ViewMode {
    switch self {
    case .normalized(_, _, let relu): relu ? .normalizedReLU : .normalized
    case .normalizedGradient(_, _, _, let relu): relu ? .normalizedReLUGradient : .normalizedGradient
    }
  }
}

/// What of an operand is read; raw values as in `prelude.clh` and `VectorMath.h`.
public enum ViewMode: Int, Sendable {
  case plain = 0
  case normalized, normalizedReLU, normalizedGradient, normalizedReLUGradient
  /// (n, C/4, 2h, 2w) read as (n, C, h, w).
  case depth

  /// Whether it reads a gradient beside the activation.
  var isGradient: Bool { self == .normalizedGradient || self == .normalizedReLUGradient }
}

/// How an operand is read: its view, and how the tensors in that are stored.
public struct Reading: Sendable, Equatable {
  public let view: ViewMode
  /// What the view shows: a gradient where it is one, otherwise the activation or whatever else.
  public let data: Storage
  /// The activation beside a gradient; fp32 where there is none.
  public let aux: Storage

  /// - Precondition: a gradient beside its activation is not fp16, nor that bf16: kernels have no names for it.
  init(view: ViewMode, data: Storage = .float32, aux: Storage = .float32) {
    precondition(view.isGradient ? data != .float16 && aux != .bfloat16 : aux == .float32, "a storage that no kernel reads")
    self.view = view
    self.data = data
    self.aux = aux
  }

  /// A plain tensor (n, c, 2h, 2w) read as (n, 4c, h, w).
  var depth: Reading { Reading(view: .depth, data: data) }
  /// As kernels and `VectorMath` know it.
  var code: Int { view.rawValue + (data == .float16 || aux == .float16 ? 8 : 0) + (data == .bfloat16 ? 16 : 0) }
  /// Bytes of an element, of a gradient with its activation.
  var bytesPerElement: Int { data.bytesPerElement + (view.isGradient ? aux.bytesPerElement : 0) }
}

/// What the graph knows of a value.
public struct ValueInfo: Sendable {
  public let shape: Shape
  public let name: String
  public let residence: Residence
  public internal(set) var storage: Storage
  public let layout: Layout
  /// Whether a gradient with respect to this value is wanted (parameters, and all that depends on them).
  public let needsGradient: Bool

  /// Whole words.
  public var byteCount: Int { (shape.count * storage.bytesPerElement + 3) / 4 * 4 }
}
