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
