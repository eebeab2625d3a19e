/// Seconds of the same work, several times.
public struct Timing: Sendable {
  /// In ascending order; at least one.
  public let seconds: [Double]

  public init(_ seconds: [Double]) {
    precondition(!seconds.isEmpty, "a timing has at least one run")
    self.seconds = seconds.sorted()
  }

  public var least: Double { seconds[0] }
  public var median: Double { quantile(0.5) }
  public var p90: Double { quantile(0.9) }

  /// The value that a share of the runs does not exceed; of an even number, the upper of the two in the middle.
  public func quantile(_ share: Double) -> Double {
    seconds[min(seconds.count - 1, Int(share * Double(seconds.count)))]
  }
}
