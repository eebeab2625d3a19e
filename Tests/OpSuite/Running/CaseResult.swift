/// What became of a case on a device.
public struct CaseResult: Sendable, CustomStringConvertible {
  public let name: String
  /// The device, such as `cpu` or `opencl:0:0 …`.
  public let device: String
  public var tensors: [TensorResult] = []
  /// What else went wrong, one sentence each: an error thrown, a write out of bounds, two runs that differ.
  public var problems: [String] = []
  /// Whether a kernel did not build, so that nothing was computed.
  public var didNotBuild = false
  /// Why a large case was not run: the device's memory does not hold it. Neither passed nor failed.
  public var skipReason: String?
  public var elapsedSeconds = 0.0

  init(_ name: String, on device: String) {
    self.name = name
    self.device = device
  }

  public var passed: Bool { problems.isEmpty && !tensors.isEmpty && tensors.allSatisfy(\.passed) }

  /// The tensor nearest to, or furthest beyond, its bound.
  public var worst: TensorResult? { tensors.max { $0.ratio < $1.ratio } }

  /// The name, and the failures a line each.
  public var description: String {
    let failures = problems + tensors.filter { !$0.passed }.map(\.description)
    let verdict = skipReason != nil ? "skipped" : passed ? "passed" : failures.isEmpty ? "compared nothing" : "failed"
    return (["\(name) on \(device): \(verdict)"] + failures.map { "  \($0)" }).joined(separator: "\n")
  }
}
