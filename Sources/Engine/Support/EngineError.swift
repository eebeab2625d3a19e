/// What can go wrong in the engine. Each case's description is one sentence that names the operation, device or file
/// and, where there is one, the way out.
public enum EngineError: Error, Sendable, CustomStringConvertible {
  /// Shapes that an operation cannot take.
  case shape(operation: String, problem: String)
  /// An OpenCL call that failed.
  case device(status: CLStatus, call: String, device: String)
  /// A kernel that did not build, with the compiler's whole log.
  case build(file: String, options: String, device: String, log: String)
  /// More memory than there is; `wayOut` says what would fit.
  case memory(neededBytes: Int, availableBytes: Int, purpose: String, wayOut: String? = nil)
  /// A checkpoint or data file that cannot be used.
  case file(path: String, problem: String)
  /// An operation that a backend cannot run, or a graph that cannot be differentiated.
  case unsupported(operation: String, problem: String)
  /// A loss, a gradient or, where there is no step, a prediction that became NaN or infinite; `first` is the first such tensor, where it
  /// is known.
  case notFinite(step: Int?, value: String, first: String?)
  /// A request that makes no sense, such as an unknown device name.
  case request(String)

  public var description: String {
    switch self {
    case .shape(let operation, let problem): "\(operation): \(problem)"
    case .device(let status, let call, let device):
      "\(call) failed on \(device): \(status)"
        + (mayBeFault ? "; a kernel may have failed there" : "")
        + (status.isOutOfMemory
          ? "\(mayBeFault ? ", or its" : "; where its") memory is used up, by other programs too\(mayBeFault ? ": then" : ",") a smaller batch, patch or --memory-limit takes less"
          : "")
    case .build(let file, let options, let device, let log):
      "\(file) did not build for \(device) with options '\(options)':\n\(log)"
    case .memory(let needed, let available, let purpose, let wayOut):
      "\(purpose) needs \(formatBytes(needed)) but only \(formatBytes(available)) are available"
        + (wayOut.map { ": \($0)" } ?? "")
    case .file(let path, let problem): "\(path): \(problem)"
    case .unsupported(let operation, let problem): "\(operation): \(problem)"
    case .notFinite(let step, let value, let first):
      "\(value) is not finite" + (step.map { " at step \($0)" } ?? "") + (first.map { " (first of all: \($0))" } ?? "")
    case .request(let problem): problem
    }
  }

  /// Whether a kernel may have failed that was running, as one does that touches memory which is not its own: drivers say so at a call that
  /// waits, by codes that they have for want of memory, too.
  var mayBeFault: Bool {
    guard case .device(let status, let call, _) = self else { return false }
    return Self.waitingCalls.contains(call) && Self.faultCodes.contains(status.code)
  }
  private static let waitingCalls = ["clFinish", "clEnqueueReadBuffer", "clGetEventProfilingInfo"]
  /// CL_OUT_OF_RESOURCES, CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST, CL_INVALID_COMMAND_QUEUE; and NVIDIA's, which has no name.
  private static let faultCodes: [Int32] = [-5, -14, -36, -9999]
}

/// An OpenCL status code with its name.
public struct CLStatus: Hashable, Sendable, CustomStringConvertible {
  public let code: Int32
  public let name: String

  public var description: String { "\(name) (\(code))" }

  /// Whether it is one that drivers give where memory is at an end: for a buffer, for anything else, on the host.
  public var isOutOfMemory: Bool { (-6 ... -4).contains(code) }
}

/// Bytes for people: "8.80 GiB", "512 B".
public func formatBytes(_ count: Int) -> String {
  let units = ["B", "KiB", "MiB", "GiB", "TiB"]
  var value = Double(count)
  var unit = 0
  while value >= 1024 && unit < units.count - 1 {
    value /= 1024
    unit += 1
  }
  if unit == 0 { return "\(count) B" }
  let scaled = (value * 100).rounded() / 100
  let whole = Int(scaled)
  let hundredths = Int(((scaled - Double(whole)) * 100).rounded())
  return "\(whole).\(hundredths < 10 ? "0" : "")\(hundredths) \(units[unit])"
}
