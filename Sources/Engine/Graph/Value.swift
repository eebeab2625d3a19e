/// Names a value of a graph.
public struct ValueID: Hashable, Sendable, Comparable {
  let index: Int32
  public static func < (a: ValueID, b: ValueID) -> Bool { a.index < b.index }
}

/// What the graph knows of a value.
public struct ValueInfo: Sendable {
  public let shape: Shape
  public let name: String
  public let residence: Residence
  public internal(set) var storage: Storage
  /// Whether a gradient with respect to this value is wanted (parameters, and all that depends on them).
  public let needsGradient: Bool

  /// Whole words.
  public var byteCount: Int { (shape.count * storage.bytesPerElement + 3) / 4 * 4 }
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
