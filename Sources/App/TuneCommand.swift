import ArgumentParser
import Benchmarks
import Engine
import Foundation
import Runs

/// `glomseg tune`.
struct TuneCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tune", abstract: "Find faster tiles for a device's convolutions, and keep them for later runs.",
    discussion: """
      Each size of the tiles is tried in turn at the most expensive convolutions of a training step, beside the best so \
      far; a value is taken where it is faster and its results are those of the class's own tiles. What was found is kept \
      in $XDG_CACHE_HOME/glomseg/tuning, else ~/.cache/glomseg/tuning, for this device, driver, version and arithmetic, and \
      every later command takes it. It is never needed; GLOMSEG_TUNING=off ignores it. A run that is resumed keeps the tiles that it \
      began with.

      Numbers are ratios: seconds of the best so far divided by those with the value. Above 1 the value is faster. Without a size: \
      512 x 512, base 64, batch 1. Ctrl-C ends the search and keeps what was found. \
      Example: glomseg tune --patch 2048 --base 64
      """)

  @OptionGroup var size: BenchSize
  @Option(help: "Seconds that the search may take.") var seconds = 15.0
  @Option(help: "auto, gpu, opencl, opencl:P:D, or part of a device's name.") var device = "auto"
  @Option(help: precisionHelp) var precision: Precision = .fp32
  @Flag(help: "Only say what is kept for the device.") var show = false
  @Flag(help: "Delete what is kept for the device.") var reset = false
  @Option(help: "Write JSON to a file, or to standard output with '-'.") var json: String?

  func validate() throws {
    if show && reset { throw ValidationError("--show and --reset exclude each other.") }
    guard seconds > 0, seconds.isFinite else { throw ValidationError("--seconds takes a positive number.") }
  }

  func run() throws { try failing { try tune() } }

  private func tune() throws {
    let start = monotonicSeconds()
    let output = try JSONOutput(path: json)
    guard let backend = try chooseBackend(device, precision: precision) as? OpenCLBackend else {
      throw EngineError.request("the CPU path has no tiles to tune: name an OpenCL device with --device")
    }
    guard let store = TuningStore.ofUser() else {
      throw EngineError.request(
        "there is no folder for tuned tiles: GLOMSEG_TUNING is off, or neither XDG_CACHE_HOME nor HOME is set")
    }
    if reset {
      let removed = try store.remove(backend.tuningKey)
      output.say(removed ? "deleted \(store.path(backend.tuningKey))" : "nothing is kept for \(backend.name)")
      return
    }
    if show { return try say(store, backend, output) }
    let size = size.asked ?? BenchSize.Values(patch: 512, base: 64, batch: 1)
    let tuner = try Tuner(
      patch: size.patch, base: size.base, batch: size.batch, on: backend, seconds: seconds - (monotonicSeconds() - start))
    output.say(
      "\(backend.name), kernels for \(backend.traits.deviceClass.rawValue), \(backend.traits.arithmetic): convolutions of base \(size.base), "
        + "\(tuner.batch) x \(tuner.patch) x \(tuner.patch)")
    // Interrupted it keeps what it found.
    Interrupt.install()
    var choices: [TunedSize] = []
    let result = try tuner.run(shouldStop: { Interrupt.isRequested }) { choice in
      choices.append(TunedSize(choice))
      output.say("  \(choice.description)")
      flushOutput()
    }
    let took = monotonicSeconds() - start
    if !result.isComplete {
      output.say(
        Interrupt.isRequested
          ? "interrupted: this is what was found by then" : "the time was up before every size had its turn; --seconds gives more"
      )
    }
    var found: [String: String] = [
      "date": Date().ISO8601Format(), "size": "base \(size.base), \(tuner.batch) x \(tuner.patch) x \(tuner.patch)",
    ]
    for (family, ratio) in result.ratios { found["ratio of \(family.rawValue)"] = String(format: "%.3f", ratio) }
    var path: String?
    if result.tiles == backend.traits.curatedTiles {
      _ = try store.remove(backend.tuningKey)
      output.say(String(format: "nothing is faster than the tiles of the class; none are kept (%.1f s)", took))
    } else {
      let kept = try store.keep(TuningStore.Entry(key: backend.tuningKey, tiles: result.tiles, found: found))
      path = kept
      for (family, ratio) in result.ratios.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
        output.say(String(format: "%@: %.2f times as fast as with the tiles of the class", family.rawValue, ratio))
      }
      output.say(String(format: "kept in %@ (%.1f s)", kept, took))
    }
    try output.writeLines([
      TuneResult(
        BenchDevice(backend), patch: tuner.patch, base: size.base, batch: tuner.batch, seconds: took,
        complete: result.isComplete, tiles: result.tiles.sizes, fingerprint: result.tiles.fingerprint,
        ratios: Dictionary(uniqueKeysWithValues: result.ratios.map { ($0.key.rawValue, $0.value) }), choices: choices, path: path)
    ])
  }

  private func say(_ store: TuningStore, _ backend: OpenCLBackend, _ output: JSONOutput) throws {
    let key = backend.tuningKey
    output.say("\(backend.name), kernels for \(key.deviceClass.rawValue), \(key.arithmetic)")
    let entry = store.entry(key)
    let tiles = entry?.tiles ?? backend.traits.curatedTiles
    let usual = backend.traits.curatedTiles.sizes
    output.say(entry == nil ? "nothing is kept: these are the tiles of the class" : "kept in \(store.path(key))")
    for (name, value) in tiles.sizes.sorted(by: { $0.key < $1.key }) {
      let other = usual[name] == value ? "" : "  (the class: \(usual[name] ?? 0))"
      output.say("  \(name)  \(value)\(other)")
    }
    for (name, text) in (entry?.found ?? [:]).sorted(by: { $0.key < $1.key }) { output.say("\(name): \(text)") }
    let path = entry == nil ? nil : store.path(key)
    try output.writeLines([
      TuneShown(BenchDevice(backend), fingerprint: tiles.fingerprint, tiles: tiles.sizes, path: path)
    ])
  }
}

extension Tuner.Choice {
  var description: String {
    let change = "\(size.rawValue) \(before) to \(value)"
    let measured = ratio.map { String(format: "%.2f", $0) } ?? ""
    switch outcome {
    case .taken: return "\(change): \(measured), taken"
    case .slower: return "\(change): \(measured)"
    case .refused(let problem): return "\(change): refused, \(problem)"
    }
  }
}

/// One value that was tried.
private struct TunedSize: Encodable {
  let size: String
  let before: Int
  let value: Int
  let ratio: Double?
  let outcome: String

  init(_ choice: Tuner.Choice) {
    size = choice.size.rawValue
    before = choice.before
    value = choice.value
    ratio = choice.ratio
    switch choice.outcome {
    case .taken: outcome = "taken"
    case .slower: outcome = "not faster"
    case .refused(let problem): outcome = "refused: \(problem)"
    }
  }
}

/// A line of JSON.
private struct TuneResult: Encodable {
  let benchmark = "tune"
  let device: String
  let driver: String
  let patch: Int
  let base: Int
  let batch: Int
  let seconds: Double
  let complete: Bool
  let tiles: [String: Int]
  let fingerprint: String
  let ratios: [String: Double]
  let choices: [TunedSize]
  let path: String?

  init(
    _ device: BenchDevice, patch: Int, base: Int, batch: Int, seconds: Double, complete: Bool, tiles: [String: Int],
    fingerprint: String, ratios: [String: Double], choices: [TunedSize], path: String?
  ) {
    self.device = device.device
    driver = device.driver
    self.patch = patch
    self.base = base
    self.batch = batch
    self.seconds = seconds
    self.complete = complete
    self.tiles = tiles
    self.fingerprint = fingerprint
    self.ratios = ratios
    self.choices = choices
    self.path = path
  }
}

private struct TuneShown: Encodable {
  let device: String
  let driver: String
  let fingerprint: String
  let tiles: [String: Int]
  let path: String?

  init(_ device: BenchDevice, fingerprint: String, tiles: [String: Int], path: String?) {
    self.device = device.device
    driver = device.driver
    self.fingerprint = fingerprint
    self.tiles = tiles
    self.path = path
  }
}
