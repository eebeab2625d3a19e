import Randomness

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

/// One training step of a tiny network on a device against the CPU path: loss and every gradient. And a loop as long as those of large
/// planes.
enum SelfCheck {
  /// - Throws: the device's error, or `.request` saying by how much it is wrong.
  static func run(_ backend: any Backend) throws(EngineError) {
    let turns = 100_000, done = try count(turns, on: backend)
    guard done == Float(turns) else {
      throw .request(
        "its self-check is off: it ended a loop of \(turns) turns after \(done.isFinite ? "\(Int(done))" : "\(done)"), without a word"
      )
    }
    // To enough channels for the products that four warps make together, where there are those.
    let channels = backend.traits.matrixForm?.multipliesTogether == true ? 40 : 8
    let ours = try gradients(backend, channels: channels)
    let theirs = try gradients(CPUBackend(threads: 1), channels: channels)
    var difference = 0.0
    var norm = 0.0
    for (a, b) in zip(ours, theirs) {
      difference += Double(a - b) * Double(a - b)
      norm += Double(b) * Double(b)
    }
    let error = (difference / max(norm, 1e-30)).squareRoot()
    // A ReLU whose input is within an operand's rounding of zero may fall to its other side.
    guard error < max(1e-4, 40 * backend.traits.arithmetic.unitRoundoff) else {
      throw .request("its self-check is off: a gradient differs from the CPU path's by \(error) (relative)")
    }
  }

  /// What a work-item counts to in so many turns of a loop. Mesa's llvmpipe ends one after 65,535 (docs/devices.md).
  private static func count(_ turns: Int, on backend: any Backend) throws(EngineError) -> Float {
    var graph = Graph()
    let zero = graph.source("zero", .vector(1), .input)
    let counted = try graph.apply(RoofArithmetic(rounds: turns, factor: 1, addend: 1), [zero])[0]
    graph.keep(counted)
    let layout = StateLayout()
    let executable = try backend.load(
      Plan(graph, layout: layout, for: backend.traits), state: backend.makeState(layout, slabs: []))
    try executable.write([0], to: zero)
    try executable.runAll()
    return try executable.read(counted)[0]
  }

  /// Two convolutions with batch norm, a pool and a transposed convolution between them, and the loss.
  private static func gradients(_ backend: any Backend, channels: Int) throws(EngineError) -> [Float] {
    var b = ModelBuilder(training: true)
    let image = b.graph.source("image", Shape(2, 3, 16, 32), .input)
    let target = b.graph.source("target", Shape(2, 1, 16, 32), .input)
    var a = try b.normReLU([("n1", channels)], b.convolution(["c1"], [image], ConvolutionShape(channels: channels, kernel: 3)))
    let skip = a
    a = try b.graph.apply(MaxPool(), [a])[0]
    a = try b.transposedConvolution("u", a, channels: 4)
    a = try b.normReLU([("n2", 5)], b.convolution(["c2"], [a, skip], ConvolutionShape(channels: 5, kernel: 3)))
    let logits = try b.convolution(["f"], [a], ConvolutionShape(channels: 1, kernel: 1))
    let loss = try b.graph.apply(BCEDiceLoss(), [logits, target])[0]
    b.graph.keep(loss)
    let graph = try Differentiation.run(b.graph, seeds: [(value: loss, gradient: loss)]).graph
    let state = try backend.makeState(b.layout, slabs: [.parameters, .gradients, .running])
    var random = RandomSource(state: 1)
    try state.write((0..<b.layout.count(of: .parameters)).map { _ in Float(random.unit() - 0.4) }, to: .parameters)
    let executable = try backend.load(Plan(graph, layout: b.layout, for: backend.traits), state: state)
    try executable.write((0..<2 * 3 * 16 * 32).map { _ in Float(random.unit()) }, to: image)
    try executable.write((0..<2 * 16 * 32).map { _ in random.unit() < 0.2 ? 1 : 0 }, to: target)
    try executable.runAll()
    return try executable.read(loss) + state.read(.gradients)
  }
}
