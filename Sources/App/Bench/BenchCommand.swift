import ArgumentParser
import Benchmarks
import Engine

/// `glomseg bench`.
struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench", abstract: "Measure speed and memory on a device.",
    discussion: """
      roof: what the device can do at most. ops: each operation beside it. step: a whole step and where its time goes. \
      memory: planned against measured. compiler: what became of the kernels. With --json, each result is one line of JSON.
      """,
    subcommands: [
      BenchRoofCommand.self, BenchOpsCommand.self, BenchStepCommand.self, BenchMemoryCommand.self, BenchCompilerCommand.self,
    ])
}

/// The size of a step.
struct BenchSize: ParsableArguments {
  @Option(help: "Side of the square input, a multiple of 16 (256 where only others are given).") var patch: Int?
  @Option(help: "Channels of the first level (max(16, 64*patch/2048) where only others are given).") var base: Int?
  @Option(help: "Images per step (1 where only others are given).") var batch: Int?

  struct Values: Equatable {
    let patch: Int
    let base: Int
    let batch: Int

    var description: String { "base \(base), \(batch) x \(patch) x \(patch)" }
  }

  /// The sizes that every figure in docs/performance.md is quoted at.
  static let standard = [Values(patch: 256, base: 16, batch: 16), Values(patch: 2048, base: 64, batch: 1)]

  /// The size asked for; nil where no option was given.
  var asked: Values? {
    guard patch != nil || base != nil || batch != nil else { return nil }
    let side = patch ?? 256
    return Values(patch: side, base: base ?? VariableUNet.base(forPatch: side), batch: batch ?? 1)
  }

  func validate() throws {
    if let patch, !VariableUNet.sides.contains(patch) {
      throw ValidationError("--patch should be a multiple of 16, at most 65520.")
    }
    if let batch, batch < 1 { throw ValidationError("--batch should be at least 1.") }
    if let base, base < 2 || base % 2 != 0 { throw ValidationError("--base should be even and at least 2.") }
  }
}

/// What every line of a benchmark's JSON says of the device.
struct BenchDevice: Encodable {
  let device: String
  let driver: String
  /// Where the tiles of its convolutions come from; nil on the CPU path, which has none.
  let tiles: String?

  init(_ backend: any Backend) {
    device = backend.name
    tiles = (backend as? OpenCLBackend).map { "\($0.tilesOrigin.word), \($0.traits.tiles.fingerprint)" }
    if let device = (backend as? OpenCLBackend)?.device {
      driver = "\(device.platformName) \(device.driverVersion)"
    } else {
      driver = backend.traits.name
    }
  }
}

extension TilesOrigin {
  /// For JSON.
  var word: String {
    switch self {
    case .curated, .ignored: "class"
    case .tuned: "tuned"
    case .given: "given"
    }
  }

  /// For people.
  var description: String {
    switch self {
    case .curated: "of the class"
    case .tuned(let path): "tuned, from \(path)"
    case .given: "given"
    case .ignored(let path, let problem): "of the class: \(path) \(problem)"
    }
  }
}

func milliseconds(_ seconds: Double) -> String { decimals(seconds * 1e3) }
/// Thousands of millions a second, of floating-point operations or bytes.
func giga(_ count: Double, per seconds: Double) -> String { seconds > 0 ? String(Int((count / seconds / 1e9).rounded())) : "0" }
func percent(_ share: Double) -> String { String(Int((share * 100).rounded())) + "%" }
