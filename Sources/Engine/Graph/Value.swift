/// Names a value of a graph.
public struct ValueID: Hashable, Sendable, Comparable {
  let index: Int32
  public static func < (a: ValueID, b: ValueID) -> Bool { a.index < b.index }
}

/// How a value's elements are stored. Arithmetic is fp32 throughout.
public enum Storage: Sendable {
  case float32
  /// IEEE half precision: activations (`ActivationStorage.fp16`). Rounded as they are written, to nearest even, finite values beyond
  /// ±65504 to that.
  case float16
  var bytesPerElement: Int { self == .float16 ? 2 : 4 }
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

/// How an operand is read: its view, and whether the activation in that is stored in 16 bits.
public struct Reading: Sendable, Equatable {
  public let view: ViewMode
  public let isHalf: Bool

  static let depth = Reading(view: .depth, isHalf: false)
  /// As kernels and `VectorMath` know it.
  var code: Int { view.rawValue + (isHalf ? 8 : 0) }
  /// Bytes of an element, of a gradient with its activation.
  var bytesPerElement: Int { (isHalf ? 2 : 4) + (view.isGradient ? 4 : 0) }
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
