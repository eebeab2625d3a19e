/// Finds backends by name, and picks one.
public enum DeviceSelection {
  /// A device that was passed over, and why.
  public struct Rejection: Sendable {
    public let device: String
    public let reason: String
  }

  /// The backend for a selector, with what was passed over on the way.
  ///
  /// - Parameters:
  ///   - selector: "auto": a GPU, else another OpenCL device that is no CPU, else an OpenCL CPU device, each after a self-check, else the CPU path;
  ///     "cpu": the CPU path; "opencl": the first OpenCL device; "gpu": the first GPU; "opencl:P:D" or part of a device's name.
  ///     An OpenCL device followed by "@gpu" or another ``KernelChoice`` runs those kernels.
  ///   - precision: what convolutions may round their operands to; a device that cannot profit computes in fp32.
  /// - Throws: `.request` listing the devices where the selector names none; the device's own error where it fails and was
  ///   named.
  public static func backend(
    _ selector: String, precision: Precision = .fp32
  ) throws(EngineError) -> (backend: any Backend, reason: String, passedOver: [Rejection]) {
    if selector == "cpu" { return (CPUBackend(precision: precision), "asked for", []) }
    let devices = OpenCLDevice.all()
    if selector == "auto" {
      let rank: [OpenCLDevice.Kind] = [.gpu, .accelerator, .other, .cpu]
      let ordered = rank.flatMap { kind in devices.filter { $0.kind == kind } }
      var rejections: [Rejection] = []
      for device in ordered {
        let forms = forms(of: device)
        let (found, rejected) = firstThatWorks(forms) { form throws(EngineError) in
          guard device.isAvailable else { throw .request("the driver says that it is not available") }
          let backend = try OpenCLBackend(device, as: form, precision: precision)
          try SelfCheck.run(backend)
          return backend
        }
        if let found {
          let reason =
            device.kind == .cpu
            ? "no OpenCL GPU\(rejections.isEmpty ? "" : " passed its self-check"); an OpenCL CPU device comes before the CPU path"
            : "the first OpenCL \(device.kind.rawValue) that passed its self-check"
              + (rejected.isEmpty
                ? "" : ", without \(forms[rejected.count] == .nvidiaMatrix ? "wgmma" : "its matrix units"): \(rejected[0])")
          return (found, reason, rejections)
        }
        rejections += rejected.prefix(1).map { Rejection(device: "\(device.selector) \(device.name)", reason: $0) }
      }
      return (
        CPUBackend(precision: precision), "no OpenCL device \(devices.isEmpty ? "found" : "passed its self-check")", rejections
      )
    }
    let (wanted, forced) = split(selector.lowercased())
    guard !wanted.isEmpty else { throw .request("--device names no device: it is empty") }
    let match = devices.first { means(wanted, selector: $0.selector, name: $0.name, isGPU: $0.kind == .gpu) }
    guard let match else {
      let known = (["cpu"] + devices.map { "\($0.selector) (\($0.name))" }).joined(separator: ", ")
      let classes = KernelChoice.selectable.map(\.description).joined(separator: ", ")
      let idle = IdleDriver.all().map { "; the driver \($0.library) \($0.reason)" }.joined()
      throw .request("no device '\(selector)'; there are: auto, \(known); an '@' after one may force a class: \(classes)\(idle)")
    }
    return (try OpenCLBackend(match, as: forced, precision: precision), "asked for", [])
  }

  /// How a device's kernels may be chosen, the best first: its own, and where those use its matrix units, the others.
  private static func forms(of device: OpenCLDevice) -> [KernelChoice?] {
    guard device.isAvailable else { return [nil] }
    return switch device.findMatrixUnits().units {
    case .none: [nil]
    case .nvidiaWarpgroup: [nil, .nvidiaMatrix, .nvidia]
    default: [nil, KernelChoice(device.deviceClass)]
    }
  }

  /// The first form that `open` does not throw for, and what it threw for those before.
  static func firstThatWorks<Opened>(
    _ forms: [KernelChoice?], open: (KernelChoice?) throws(EngineError) -> Opened
  ) -> (opened: Opened?, errors: [String]) {
    var errors: [String] = []
    for form in forms {
      do throws(EngineError) { return (try open(form), errors) } catch { errors.append("\(error)") }
    }
    return (nil, errors)
  }

  /// Whether a selector of an OpenCL device, without the kernels that it forces, means this one.
  package static func means(_ wanted: String, selector: String, name: String, isGPU: Bool) -> Bool {
    let wanted = wanted.lowercased()
    return wanted == "opencl" || wanted == selector || (wanted == "gpu" && isGPU)
      || (!wanted.hasPrefix("opencl") && wanted != "gpu" && name.lowercased().contains(wanted))
  }

  /// A selector without the kernels that it forces, and those; nil where what follows an "@" names none, as in the
  /// names of some processors.
  package static func split(_ selector: String) -> (device: String, forced: KernelChoice?) {
    guard let at = selector.lastIndex(of: "@"),
      let forced = KernelChoice(String(selector[selector.index(after: at)...]))
    else { return (selector, nil) }
    return (String(selector[..<at]), forced)
  }

  /// The CPU path and every OpenCL device.
  public static func all() throws(EngineError) -> [any Backend] {
    var backends: [any Backend] = [CPUBackend()]
    for device in OpenCLDevice.all() { backends.append(try OpenCLBackend(device)) }
    return backends
  }
}
