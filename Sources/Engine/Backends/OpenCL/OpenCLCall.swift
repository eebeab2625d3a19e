internal import CLBridge

/// Every OpenCL call passes here: a status that is not success becomes an error that names the call and the device, and
/// tests can make the n-th call of a kind fail.
struct OpenCLCall: Sendable {
  let device: String
  var faults: FaultPlan?

  /// Runs a call that returns its status.
  func run(_ call: String, _ body: () -> cl_int) throws(EngineError) {
    let status = faults?.status(for: call) ?? body()
    guard status == CL_SUCCESS else { throw error(call, status) }
  }

  /// Runs a call that returns an object and gives its status by pointer.
  func make(_ call: String, _ body: (UnsafeMutablePointer<cl_int>) -> OpaquePointer?) throws(EngineError) -> OpaquePointer {
    if let status = faults?.status(for: call) { throw error(call, status) }
    var status: cl_int = CL_SUCCESS
    let made = body(&status)
    guard status == CL_SUCCESS, let made else { throw error(call, status) }
    return made
  }

  func error(_ call: String, _ status: cl_int) -> EngineError {
    .device(status: CLStatus(code: status, name: String(cString: clb_status_name(status))), call: call, device: device)
  }
}

/// Which call of a kind fails, and with which status: for tests of the error paths. Used from one thread.
public final class FaultPlan: @unchecked Sendable {
  private let call: String
  private var left: Int
  private let code: Int32
  private let lasts: Bool
  /// Whether calls count; true at first.
  public var isArmed = true
  /// Whether the fault happened.
  public private(set) var happened = false

  /// The `number`-th call (from 1) named `call` returns `code` without being made; with `lasts` every later one too.
  public init(call: String, number: Int, code: Int32, lasts: Bool = false) {
    self.call = call
    left = number
    self.code = code
    self.lasts = lasts
  }

  func status(for call: String) -> Int32? {
    guard isArmed, call == self.call else { return nil }
    if happened && lasts { return code }
    guard left > 0 else { return nil }
    left -= 1
    guard left == 0 else { return nil }
    happened = true
    return code
  }
}
