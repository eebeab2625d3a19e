public import Engine

/// One operation at one size with one set of attributes: data that the conformance tests, the gradient check and the
/// benchmark share.
public struct OpCase: Sendable, CustomStringConvertible {
  /// How much a case costs, and so when it runs.
  public enum Tier: Int, Sendable, Comparable {
    /// Seconds in all; together they reach every kernel function.
    case quick
    case standard
    /// Sizes at which only size is at fault: gigabytes, minutes.
    case large

    public static func < (a: Tier, b: Tier) -> Bool { a.rawValue < b.rawValue }
  }

  /// The operation that the case is about, such as `convolution`.
  public let operation: String
  /// Everything that makes the case: `convolution/n2_c5+3_o7_h17_w33_k3_d2_view-relu+plain_seed7`.
  public let name: String
  public let seed: UInt64
  public let tier: Tier
  /// The constant of ``ErrorBound``.
  public let tolerance: Double
  let definition: any CaseDefinition

  init(
    _ definition: some CaseDefinition, seed: UInt64 = 1, tier: Tier = .standard, tolerance: Double = ErrorBound.constant
  ) {
    self.definition = definition
    self.seed = seed
    self.tier = tier
    self.tolerance = tolerance
    operation = type(of: definition).operation
    name = "\(operation)/\(definition.label)_seed\(seed)"
  }

  public var description: String { name }

  /// Whether its activations or gradients are in 16 bits.
  public var isHalved: Bool { definition is any StoredInHalf }

  /// The same with activations, gradients or both in 16 bits.
  func halved(_ kinds: HalvedKinds, tier: Tier? = nil) -> OpCase {
    func halve(_ definition: some CaseDefinition) -> OpCase {
      OpCase(Halved(definition, kinds), seed: seed, tier: tier ?? self.tier, tolerance: tolerance)
    }
    return halve(definition)
  }

  /// The graph that the case runs, gradients included.
  public func graph() throws(EngineError) -> Graph { try builder(definition.inputs(seed: seed)).graph }

  func builder(_ inputs: [CaseInput]) throws(EngineError) -> CaseBuilder {
    var builder = CaseBuilder(inputs)
    try definition.build(&builder)
    return builder
  }
}
