internal import CLBridge
import Glibc
import Randomness
import Synchronization

/// What was found of a device's matrix units.
public struct MatrixFinding: Sendable, Equatable {
  /// What the kernels use.
  public let units: MatrixUnits
  /// ``DeviceTraits/matrixMoves``.
  public let moves: Bool
  /// Why: one line.
  public let reason: String
  /// What else the compiler took or refused, a line each: nothing relies on it.
  public let notes: [String]
  let holds: Holds

  /// For how long an answer is one.
  enum Holds: Int {
    /// The device failed as it ran a product: one more time it may have been an accident.
    case faulted
    /// Out of memory, or taken by another process: the next process asks again.
    case once
    /// For this device and driver.
    case always
  }

  /// As it is kept between processes.
  var text: String { (["\(units.rawValue) \(moves ? 1 : 0)", reason] + notes).joined(separator: "\n") }

  init(_ units: MatrixUnits, moves: Bool = false, _ reason: String, notes: [String] = [], holds: Holds = .always) {
    self.moves = moves
    func line(_ text: String) -> String { String(text.map { $0.isNewline ? " " : $0 }) }
    (self.units, self.reason, self.notes, self.holds) = (units, line(reason), notes.map(line), holds)
  }

  init?(text: String) {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    guard lines.count >= 2 else { return nil }
    let numbers = lines[0].split(separator: " ").compactMap { Int($0) }
    guard numbers.count == 2, let units = MatrixUnits(rawValue: numbers[0]) else { return nil }
    self.init(units, moves: numbers[1] == 1, lines[1], notes: Array(lines[2...]))
  }
}

/// Finds out whether a device's matrix units can be used from its OpenCL: builds and runs a product of each precision, compares
/// it with double precision, and keeps the answer per device and driver. Nothing else decides; it never throws.
enum MatrixProbe {
  /// This process's answers, for where none can be kept: of what failed, too, which would fail again and may take the device with it.
  static let known = Mutex<[[UInt8]: MatrixFinding]>([:])

  /// - Parameters:
  ///   - device: of any class.
  ///   - store: where the answer is kept; nil asks the device each time.
  static func find(_ device: OpenCLDevice, store: KernelStore?) -> MatrixFinding {
    find(device, KernelChoice.matrix.filter { $0.deviceClass == device.deviceClass }, store: store)
  }

  /// - Parameters:
  ///   - choices: those of one vendor.
  ///   - asking: in place of the device, for tests; told what to call before each question.
  static func find(
    _ device: OpenCLDevice, _ choices: [KernelChoice], store: KernelStore?,
    asking: ((_ next: (MatrixFinding) -> Void) -> MatrixFinding)? = nil
  ) -> MatrixFinding {
    guard !choices.isEmpty else {
      return MatrixFinding(.none, "there are kernels for those of NVIDIA's, AMD's and Intel's GPUs alone")
    }
    let key = key(device)
    let kept = store?.binary(for: key).map { String(decoding: $0, as: UTF8.self) }
    if let kept = kept.flatMap({ MatrixFinding(text: $0) }) { return kept }
    if let known = known.withLock({ $0[key] }) { return known }
    let last = kept.flatMap(Attempt.read)
    if let last, last.attempt.isLast, !last.attempt.isRunning { return last.found }
    let number = last.map { $0.attempt.isRunning ? $0.attempt.number : $0.attempt.number + 1 } ?? 1
    let attempt = Attempt(process: getpid(), number: number)
    let next = { (finding: MatrixFinding) -> Void in store?.keep(Array(attempt.text(finding).utf8), for: key) }
    let found = asking?(next) ?? ask(device, choices, next: next)
    known.withLock { $0[key] = found }
    switch found.holds {
    case .always: store?.keep(Array(found.text.utf8), for: key)
    case .once: store?.remove(key)
    // As after a process that did not live to hear the answer; this one may go on for hours.
    case .faulted: store?.keep(Array(Attempt(process: Attempt.ended, number: number).text(found).utf8), for: key)
    }
    return found
  }

  /// What an answer is kept under.
  static func key(_ device: OpenCLDevice) -> [UInt8] {
    Array(
      (["matrix probe 6", device.platformVersion, device.name, device.deviceVersion, device.driverVersion]
        + Precision.allCases.map(\.rawValue)
        + ProgramCache.files.filter { $0.hasPrefix("matrix") || $0 == "prelude.clh" }.map { ProgramCache.source($0) ?? "" })
        .joined(separator: "\n").utf8)
  }

  /// One process's asking, for the next ones where a driver ends it or never answers.
  struct Attempt {
    let process: Int32
    /// From 1.
    let number: Int

    /// The number of no process.
    static let ended: Int32 = 0

    private static let words = "asked by process "

    /// - Parameter found: what is known so far, which counts where nothing more comes.
    func text(_ found: MatrixFinding) -> String { "\(Self.words)\(process), time \(number)\n\(found.text)" }

    /// - Returns: who asked, and what was known by then; nil where the text is a whole answer.
    static func read(_ text: String) -> (attempt: Attempt, found: MatrixFinding)? {
      let parts = text.split(separator: "\n", maxSplits: 1).map(String.init)
      guard parts.count == 2, parts[0].hasPrefix(words), let found = MatrixFinding(text: parts[1]) else { return nil }
      let numbers = parts[0].dropFirst(words.count).split(separator: ", time ").compactMap { Int32($0) }
      guard numbers.count == 2 else { return nil }
      return (Attempt(process: numbers[0], number: Int(numbers[1])), found)
    }

    /// Twice is no accident, as an interrupt by the user is.
    var isLast: Bool { number >= 2 }
    var isRunning: Bool { process > Self.ended && process != getpid() && (kill(process, 0) == 0 || errno == EPERM) }
  }

  /// Asks for one vendor's units of each kind; the first that work.
  ///
  /// - Parameter next: told before each question what counts where the process does not live to hear the answer.
  static func ask(
    _ device: OpenCLDevice, _ choices: [KernelChoice], next: (MatrixFinding) -> Void = { _ in }
  ) -> MatrixFinding {
    var (reasons, notes, holds): ([String], [String], MatrixFinding.Holds) = ([], [], .always)
    for kernels in choices {
      next(
        MatrixFinding(
          .none,
          "twice a process ended, or the device failed, while it asked for \(kernels); remove glomseg's kept kernels to ask again"
        ))
      let found = ask(device, kernels, next: next)
      guard found.units == .none else { return found }
      if !reasons.contains(found.reason) { reasons.append(found.reason) }
      notes += found.notes
      holds = least(holds, found.holds)
    }
    return MatrixFinding(.none, reasons.joined(separator: "; "), notes: notes, holds: holds)
  }

  /// Asks the device, whatever its class, for a vendor's own units.
  static func ask(
    _ device: OpenCLDevice, _ kernels: KernelChoice, next: (MatrixFinding) -> Void = { _ in }
  ) -> MatrixFinding {
    do throws(EngineError) {
      let extensionName = "cl_intel_subgroup_matrix_multiply_accumulate_tf32"
      let (macro, other, name) =
        switch kernels.matrixUnits {
        case .nvidia: ("__NV_CL_C_VERSION", "its compiler is not NVIDIA's", "mma.sync")
        case .amd: ("__AMDGCN__", "its compiler is not AMD's", "mfma")
        case .amdWMMA: ("__AMDGCN__", "its compiler is not AMD's", "wmma")
        default: (extensionName, "it has no \(extensionName)", "Intel's sub-group matrix extension")
        }
      // One that takes nothing may do so after a repair: that is no answer to keep.
      try build("__kernel void f(void) {}\n", on: device)
      // Another compiler may give up on the whole process where it meets a vendor's instructions.
      guard try builds("#ifndef \(macro)\n#error another compiler\n#endif\n__kernel void f(void) {}\n", on: device) else {
        return MatrixFinding(.none, other)
      }
      var notes: [String] = []
      // With what moves words beside them, else without.
      let first = problem(of: device, as: kernels)
      var (problem, moves) = (first, MatrixForm(kernels.matrixUnits, .bf16)?.moves == true)
      if moves, let first {
        problem = Self.problem(of: device, as: kernels, matrixMoves: false)
        moves = false
        notes.append("cp.async and ldmatrix: not used, \(first.words)")
      } else if moves {
        notes.append("cp.async and ldmatrix: used")
      }
      if let problem {
        return MatrixFinding(.none, problem.words, notes: notes, holds: least(first?.holds ?? .always, problem.holds))
      }
      let all = precisions(of: kernels.matrixUnits)
      let which = all == Precision.allCases ? "every precision" : all.map(\.rawValue).joined(separator: ", ")
      var (units, holds) = (kernels.matrixUnits, first?.holds ?? .always)
      let reason = "\(name) gives right products in \(which)"
      if units == .nvidia {
        next(
          MatrixFinding(
            units, moves: moves, reason,
            notes: notes + ["wgmma: not used, twice a process ended, or the device failed, while it asked for it"]))
        let problem = Self.problem(of: device, as: .warpgroup)
        notes.append("wgmma: \(problem.map { "not used, \($0.words)" } ?? "used")")
        if let problem { holds = least(holds, problem.holds) } else { units = .nvidiaWarpgroup }
      }
      return MatrixFinding(units, moves: moves, reason, notes: notes, holds: holds)
    } catch { return MatrixFinding(.none, "\(error)", holds: .once) }
  }

  /// What is wrong with a product, and for how long.
  struct Problem {
    let words: String
    let holds: MatrixFinding.Holds
  }

  private static func least(_ a: MatrixFinding.Holds, _ b: MatrixFinding.Holds) -> MatrixFinding.Holds {
    a.rawValue < b.rawValue ? a : b
  }

  /// In which they are used.
  private static func precisions(of units: MatrixUnits) -> [Precision] {
    Precision.allCases.filter { MatrixForm(units, $0) != nil }
  }

  /// What is wrong with a product, in any precision that the units are used in; nil where all are right.
  static func problem(
    of device: OpenCLDevice, as kernels: KernelChoice, matrixMoves: Bool = true, edit: ProgramCache.SourceEdit? = nil
  ) -> Problem? {
    for precision in precisions(of: kernels.matrixUnits) {
      var opened: OpenCLBackend?
      do throws(EngineError) {
        let backend = try OpenCLBackend(device, as: kernels, precision: precision, edit: edit, matrixMoves: matrixMoves)
        opened = backend
        if let error = try excess(backend) {
          return Problem(words: "a product in \(precision.rawValue) is off by \(error) times what is allowed", holds: .always)
        }
      } catch {
        let isRefused = if case .build = error { true } else { false }
        return Problem(
          words: "a product in \(precision.rawValue): \(brief("\(error)"))",
          holds: isRefused ? .always : error.mayBeFault && opened?.responds == false ? .faulted : .once)
      }
    }
    return nil
  }

  /// The largest error as a part of what is allowed, where that is more than 1. Allowed is, of Σ|a||b|, what rounding both
  /// operands of each product gives, and a unit in the last place of fp32 for each of the sums.
  private static func excess(_ backend: OpenCLBackend) throws(EngineError) -> Double? {
    let k = 64
    var graph = Graph()
    let a = graph.source("a", Shape(1, 1, 16, k), .input)
    let b = graph.source("b", Shape(1, 1, k, 16), .input)
    let y = try graph.apply(MatrixProduct(), [a, b])[0]
    graph.keep(y)
    let layout = StateLayout()
    let executable = try backend.load(
      Plan(graph, layout: layout, for: backend.traits), state: backend.makeState(layout, slabs: []))
    var random = RandomSource(state: 5)
    let left = (0..<16 * k).map { _ in Float(random.unit() * 2 - 1) }
    let right = (0..<k * 16).map { _ in Float(random.unit() * 2 - 1) }
    try executable.write(left, to: a)
    try executable.write(right, to: b)
    try executable.runAll()
    let got = try executable.read(y)
    let unit = 2 * backend.traits.arithmetic.unitRoundoff + 0x1p-23 * Double(k / 8)
    var worst = 0.0
    for row in 0..<16 {
      for column in 0..<16 {
        var (sum, size) = (0.0, 0.0)
        for i in 0..<k {
          let product = Double(left[row * k + i]) * Double(right[i * 16 + column])
          (sum, size) = (sum + product, size + abs(product))
        }
        let error = abs(Double(got[row * 16 + column]) - sum) / (unit * size)
        worst = max(worst, error.isNaN ? .infinity : error)
      }
    }
    return worst > 1 ? worst : nil
  }

  /// The lines of a compiler's log that say what is wrong, three at most, else the first.
  static func brief(_ log: String) -> String {
    let lines = log.split(whereSeparator: \.isNewline)
    let telling = lines.filter { $0.lowercased().contains("error") }.prefix(3)
    return (telling.isEmpty ? lines.prefix(1) : telling).map { String($0.prefix(200)) }.joined(separator: " | ")
  }

  /// Whether the device's compiler takes a text, which nobody runs.
  private static func builds(_ text: String, on device: OpenCLDevice) throws(EngineError) -> Bool {
    do throws(EngineError) { try build(text, on: device) } catch {
      if case .build = error { return false }
      throw error
    }
    return true
  }

  private static func build(_ text: String, on device: OpenCLDevice) throws(EngineError) {
    let call = OpenCLCall(device: device.name, faults: nil)
    let program = try OpenCLProgram(OpenCLContext(device: device.raw, call), sources: [text], call)
    try program.build(for: device.raw, ProgramCache.options, file: "a probe", call)
  }
}

extension OpenCLDevice {
  /// What is known, or found now, of its matrix units: on a GPU the first time takes a second.
  public func findMatrixUnits() -> MatrixFinding { MatrixProbe.find(self, store: givesBinaries ? KernelStore.ofUser() : nil) }
}
