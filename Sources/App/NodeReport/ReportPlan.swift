import Engine
import Foundation

/// The sections of a node's report, in the order of what one would miss most.
struct ReportPlan {
  let program: String
  /// Of the whole report, seconds.
  let budget: Double
  let folder: String

  private func glomseg(_ words: String...) -> [String] { [program] + words }
  private func share(_ part: Double) -> Double { part * budget }

  /// What there is: before a device is chosen.
  var first: [ReportSection] {
    [
      ReportSection(name: "gpus", title: "NVIDIA's view", commands: [["nvidia-smi"]], most: max(5, share(0.05))),
      ReportSection(
        name: "devices", title: "Devices", commands: [glomseg("devices", "--json", "-")],
        most: max(min(20, share(0.2)), share(0.15))),
    ]
  }

  /// Everything else, on one device; `kernels`: its class.
  func sections(device: String, kernels: String = "nvidia") -> [ReportSection] {
    let sizes = BenchSize.standard
    // Facts that nothing else gives, of a GPU's compiler alone: first, and no longer than they deserve.
    let first = device == "cpu" || kernels == "cpu" ? [] : [compiler(device, "compiler", most: 0.04)]
    let beside = [Peer(.tf32, "channels_last"), Peer(.fp32, "contiguous")]
    let more = [Peer(.bf16, "channels_last"), Peer(.bf16, "channels_last", halved: true), Peer(.tf32, "contiguous")]
    let compiled = [Peer(.tf32, "channels_last"), Peer(.fp32, "contiguous"), Peer(.bf16, "channels_last")]
    let probe = ReportSection(
      name: "torch", title: "PyTorch", commands: [["python3", "-c", Self.probe]], most: max(20, share(0.1)), kept: share(0.02))
    return basis(device) + first + [probe] + measured(device) + torch(device, sizes[1], beside, kept: 0.05) + tuned(device, .tf32)
      + lowerSteps(device, sizes[1]) + torch(device, sizes[1], more) + torch(device, sizes[0], beside + more)
      + training(device) + tuned(device, .fp32) + tuned(device, .bf16)
      + memory(device) + [proof(device)] + lowerSteps(device, sizes[0]) + others(device, kernels) + largest(device)
      + [compiler(device, "compiler-all", most: 0.1)] + operations(device)
      + sizes.flatMap { torch(device, $0, compiled, "-compiled") }
  }

  /// Why a section makes no sense where another came to nothing.
  private func failed(_ name: String) -> ([SectionRecord]) -> String? {
    { records in Self.result(of: name, records) == nil ? "there is no result of '\(name)'" : nil }
  }

  /// A section's record where it came to its end, the first or the second time.
  private static func result(of name: String, _ records: [SectionRecord]) -> SectionRecord? {
    records.first { [name, name + "-again"].contains($0.name) && $0.outcome == .done }
  }

  private func step(
    _ size: BenchSize.Values, steps: Int, seconds: Double, _ device: String, _ precision: Precision = .fp32,
    _ activations: ActivationStorage = .fp32, _ gradients: GradientStorage = .fp32
  ) -> [String] {
    glomseg(
      "bench", "step", "--patch", "\(size.patch)", "--base", "\(size.base)", "--batch", "\(size.batch)", "--steps", "\(steps)",
      "--seconds", String(format: "%.1f", seconds), "--device", device, "--precision", precision.rawValue,
      "--activations", activations.rawValue, "--gradients", gradients.rawValue, "--json", "-")
  }

  /// A step in each lower precision, the quickest to look for first: where there are matrix units that glomseg uses.
  private func lowerSteps(_ device: String, _ size: BenchSize.Values) -> [ReportSection] {
    [Precision.tf32, .bf16, .fp32Fast].map { precision in
      ReportSection(
        name: "step-\(size.patch)-\(precision.rawValue)", title: "Training step, \(size.description), \(precision.rawValue)",
        commands: [step(size, steps: 20, seconds: share(0.03), device, precision)], most: share(0.1),
        reasonToSkip: { Self.noMatrixUnits($0, device) })
    }
  }

  /// Steps without matrix units and in 16-bit storage, and checks of what the full check leaves out.
  private func others(_ device: String, _ kernels: String) -> [ReportSection] {
    let reason: ([SectionRecord]) -> String? = { Self.noMatrixUnits($0, device) }
    // Without a device that was found there is none that 'auto' stands for.
    let plain = (device == "auto" ? "opencl" : device) + "@\(kernels)"
    let checks = [Precision.tf32, .bf16, .fp32Fast].map { precision in
      ReportSection(
        name: "check-\(precision.rawValue)", title: "Check of convolutions in \(precision.rawValue)",
        commands: [
          glomseg("check", "--device", device, "--precision", precision.rawValue, "--filter", "convolution", "--json", "-")
        ], most: share(0.08), tellsPart: 0.6, reasonToSkip: reason, remark: Self.unchecked)
    }
    let steps = BenchSize.standard.map { size in
      ReportSection(
        name: "step-\(size.patch)-without-units", title: "Training step, \(size.description), fp32 without matrix units",
        commands: [step(size, steps: 20, seconds: share(0.03), plain)], most: share(0.1), reasonToSkip: reason)
    }
    // The least memory and the fewest bytes moved, in the default precision and in the fastest.
    let halved = BenchSize.standard.flatMap { size in
      [Precision.fp32, .bf16].map { precision in
        ReportSection(
          name: "step-\(size.patch)-\(precision.rawValue)-halved",
          title: "Training step, \(size.description), \(precision.rawValue), activations in fp16, gradients in bf16",
          commands: [step(size, steps: 20, seconds: share(0.03), device, precision, .fp16, .bf16)], most: share(0.1),
          reasonToSkip: precision == .fp32 ? failed("step-\(size.patch)") : reason)
      }
    }
    let without = ReportSection(
      name: "check-quick-without-units", title: "Quick check without matrix units",
      commands: [glomseg("check", "--device", plain, "--quick", "--json", "-")], most: share(0.1),
      tellsPart: 0.6,
      reasonToSkip: reason, remark: Self.unchecked)
    return steps + halved + [without] + checks
  }

  /// Why one precision is enough; nil where the chosen device has matrix units that are used, or nobody found out.
  static func noMatrixUnits(_ records: [SectionRecord], _ device: String) -> String? {
    if device.hasSuffix("-emulated") { return nil }
    if device.contains("@") { return "\(device) was chosen, which does not use matrix units" }
    guard device == "cpu" || records.contains(where: { $0.name == "devices" && $0.outcome == .done }) else { return nil }
    let chosen = NodeReportCommand.found(device, records)
    if chosen?["matrix_units"] as? Bool == true { return nil }
    return
      "\(device) computes every precision in fp32: \(chosen?["matrix_reason"] as? String ?? "it has no matrix units that are used")"
  }

  /// Whether the device works at all, in seconds: a slow machine has this if it has nothing else.
  private func basis(_ device: String) -> [ReportSection] {
    [
      ReportSection(name: "doctor", title: "Doctor", commands: [glomseg("doctor", "--device", device)], most: share(0.1)),
      ReportSection(
        name: "check-quick", title: "Quick check: small cases that reach every kernel",
        commands: [glomseg("check", "--device", device, "--quick", "--json", "-")], most: share(0.2), kept: share(0.11),
        tellsPart: 0.8,
        remark: Self.unchecked),
    ]
  }

  /// What a check had no time for.
  static func unchecked(_ results: [[String: Any]]) -> String {
    guard let report = results.last, let skipped = report["skipped"] as? Int, skipped > 0 else { return "" }
    let all = skipped + (report["passed"] as? Int ?? 0) + (report["failed"] as? Int ?? 0)
    return "\(all - skipped) of \(all) cases; the time that it had ended before the others"
  }

  private func measured(_ device: String) -> [ReportSection] {
    let steps = BenchSize.standard.map { size in
      ReportSection(
        name: "step-\(size.patch)", title: "Training step, \(size.description)",
        commands: [step(size, steps: 20, seconds: share(0.05), device)], most: share(0.15),
        reasonToSkip: { tooLong(size, $0, share(0.15)) })
    }
    let roof = ReportSection(
      name: "roof", title: "Roof",
      commands: [
        glomseg("bench", "roof", "--seconds", String(format: "%.2f", min(1, share(0.005))), "--device", device, "--json", "-")
      ],
      most: share(0.1))
    // What was cut had to compile its kernels first, one after the other; they are kept.
    let again = zip(BenchSize.standard, steps).map { size, first in
      ReportSection(
        name: first.name + "-again", title: first.title + ", once more", commands: first.commands, most: share(0.15),
        reasonToSkip: { records in
          records.contains { $0.name == first.name && $0.outcome == .cut }
            ? tooLong(size, records, share(0.15)) : "'\(first.name)' was not cut"
        })
    }
    return [steps[0], again[0], roof, steps[1], again[1]]
  }

  /// In a second process, because the first one's compiling takes memory too; none where one was not enough for a step.
  private func memory(_ device: String) -> [ReportSection] {
    BenchSize.standard.map { size in
      ReportSection(
        name: "memory-\(size.patch)", title: "Memory planned and measured, \(size.description)",
        commands: [step(size, steps: 2, seconds: share(0.02), device)], most: share(0.1), watchesMemory: true,
        reasonToSkip: failed("step-\(size.patch)"))
    }
  }

  /// Tiles for this device in place of its class's, which no one measured on it, and where some are faster the step with them and PyTorch's
  /// beside it; what comes after takes them.
  private func tuned(_ device: String, _ precision: Precision) -> [ReportSection] {
    let size = BenchSize.standard[1], name = "tune-\(precision.rawValue)"
    let search = ReportSection(
      name: name, title: "Tiles for this device, \(precision.rawValue)",
      commands: [
        glomseg(
          "tune", "--patch", "\(size.patch)", "--base", "\(size.base)", "--device", device, "--precision", precision.rawValue,
          "--json", "-")
      ], most: share(0.07), tellsPart: 0.75,
      reasonToSkip: { records in
        device == "cpu"
          ? "the CPU path has no tiles to tune"
          : (precision == .fp32 ? nil : Self.noMatrixUnits(records, device)) ?? failed("step-256")(records)
      })
    let isFaster: ([SectionRecord]) -> String? = { records in
      let found = records.first { $0.name == name }?.results.last
      guard let ratios = found?["ratios"] as? [String: Any], !ratios.isEmpty else { return "no faster tiles were found" }
      return failed("step-\(size.patch)")(records)
    }
    let step = ReportSection(
      name: "step-\(size.patch)-\(precision.rawValue)-tuned",
      title: "Training step, \(size.description), \(precision.rawValue), with these tiles",
      commands: [step(size, steps: 20, seconds: share(0.03), device, precision)], most: share(0.1), reasonToSkip: isFaster)
    let format = precision == .fp32 ? "contiguous" : "channels_last"
    return [search, step]
      + torch(device, size, [Peer(precision, format)], "-tuned").map { section in
        var section = section
        let reason = section.reasonToSkip
        section.reasonToSkip = { reason($0) ?? isFaster($0) }
        return section
      }
  }

  /// Why a larger step than the first cannot be timed in `most` seconds, judged by the first: it takes at least half the seconds
  /// that its work does there, and runs twice. Nil where it may fit.
  private func tooLong(_ size: BenchSize.Values, _ records: [SectionRecord], _ most: Double) -> String? {
    let first = BenchSize.standard[0]
    guard let result = Self.result(of: "step-\(first.patch)", records)?.results.first,
      let seconds = (result["seconds_median"] as? NSNumber)?.doubleValue
    else { return nil }
    func work(_ size: BenchSize.Values) -> Double { Double(size.batch * size.patch * size.patch * size.base * size.base) }
    let needs = seconds * work(size) / work(first)
    return needs > most
      ? "it needs about \(Int(needs.rounded(.up))) s, judged by step-\(first.patch), and may take \(Int(most))" : nil
  }

  /// The largest full-size batch that fits: where a batch of one is quick, for a large one takes as much longer.
  private func largest(_ device: String) -> [ReportSection] {
    let size = BenchSize.standard[1]
    let slow = share(0.005)
    return [
      ReportSection(
        name: "step-\(size.patch)-largest",
        title: "Training step, base \(size.base), the largest batch of \(size.patch) x \(size.patch) that fits",
        commands: [step(size, steps: 5, seconds: share(0.05), device) + ["--largest-batch"]], most: share(0.15),
        watchesMemory: true,
        reasonToSkip: { records in
          let one = Self.result(of: "step-\(size.patch)", records)?.results.first
          guard let seconds = (one?["seconds_median"] as? NSNumber)?.doubleValue else {
            return "there is no result of 'step-\(size.patch)'"
          }
          return seconds > slow ? "one image takes \(decimals(seconds)) s, so that more would take too long" : nil
        })
    ]
  }

  /// Golden files beside the program, as in the bundle.
  private var golden: [String] {
    let folder = URL(fileURLWithPath: program).deletingLastPathComponent().appendingPathComponent("golden").path
    return FileManager.default.fileExists(atPath: folder) ? ["--golden", folder] : []
  }

  private func proof(_ device: String) -> ReportSection {
    ReportSection(
      name: "check", title: "Check against the reference",
      commands: [glomseg("check", "--device", device, "--fuzz", "40", "--json", "-") + golden], least: min(20, share(0.05)),
      most: share(0.35), kept: share(0.17), tellsPart: 0.8, remark: Self.unchecked)
  }

  private func training(_ device: String) -> [ReportSection] {
    let (data, run) = (folder + "/training/data", folder + "/training/run")
    return [
      ReportSection(
        name: "training-data", title: "Synthetic data",
        commands: [
          glomseg("data", "synth", data, "--seed", "7", "--patch", "256", "--train", "64", "--validation", "16", "--test", "16")
        ],
        most: share(0.1), kept: share(0.03)),
      ReportSection(
        name: "training", title: "Training on synthetic data",
        commands: [
          glomseg(
            "train", data, "-o", run, "--patch", "256", "--base", "16", "--batch", "16", "--lr", "2e-3", "--pos-weight", "5",
            "--epochs", "100000", "--flips", "--turns", "--threads", "4", "--device", device)
        ], least: min(5, share(0.1)), most: min(60, share(0.15)), kept: min(60, share(0.15)), endsAtLimit: true,
        reasonToSkip: failed("training-data"),
        afterwards: { (try? String(contentsOfFile: run + "/history.csv", encoding: .utf8)) ?? "" }),
      ReportSection(
        name: "training-scores", title: "Scores of the trained model",
        commands: [glomseg("evaluate", run, data, "--split", "test", "--device", device)], most: share(0.05),
        kept: share(0.03),
        reasonToSkip: failed("training")),
    ]
  }

  /// What the driver's compiler takes, and how many registers it gives the kernels.
  private func compiler(_ device: String, _ name: String, most: Double) -> ReportSection {
    ReportSection(
      name: name, title: "The compiler", commands: [glomseg("bench", "compiler", "--device", device, "--json", "-")],
      most: share(most), tellsPart: 0.5,
      reasonToSkip: { _ in device == "cpu" ? "the CPU path compiles no kernels" : nil })
  }

  private func operations(_ device: String) -> [ReportSection] {
    BenchSize.standard.map { size in
      ReportSection(
        name: "operations-\(size.patch)", title: "Operations, \(size.description)",
        commands: [
          glomseg(
            "bench", "ops", "--patch", "\(size.patch)", "--base", "\(size.base)", "--batch", "\(size.batch)", "--seconds",
            String(format: "%.2f", share(0.0005)), "--device", device, "--json", "-")
        ], most: share(0.2), reasonToSkip: failed("step-\(size.patch)"))
    }
  }

  // MARK: PyTorch

  private static let probe = """
    import json
    try:
        import torch
    except Exception as error:
        print(json.dumps({"torch": None, "cuda": False, "problem": f"PyTorch cannot be imported: {error}"}))
    else:
        cuda = torch.cuda.is_available()
        print(json.dumps({"torch": torch.__version__, "cuda": cuda, "device": torch.cuda.get_device_name() if cuda else None,
                          "toolkit": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}))
    """

  /// Why PyTorch cannot be timed; nil where it can.
  static func peerProblem(_ records: [SectionRecord]) -> String? {
    let found = records.first { $0.name == "torch" }
    guard let result = found?.results.first else { return found?.reason ?? "PyTorch was not looked for" }
    if result["cuda"] as? Bool == true { return nil }
    return result["problem"] as? String ?? "PyTorch \(result["torch"] ?? "") sees no CUDA device"
  }

  /// A form of PyTorch's step, and glomseg's beside it.
  private struct Peer {
    let precision: Precision
    let format: String
    /// Whether glomseg stores activations and gradients in 16 bits, as PyTorch's autocast does.
    let halved: Bool

    init(_ precision: Precision, _ format: String, halved: Bool = false) {
      (self.precision, self.format, self.halved) = (precision, format, halved)
    }
  }

  /// PyTorch's steps in turn with glomseg's of the same precision.
  ///
  /// - Parameters:
  ///   - form: behind the names: "-compiled" compiles PyTorch's.
  ///   - kept: part of the budget kept for each.
  private func torch(
    _ device: String, _ size: BenchSize.Values, _ peers: [Peer], _ form: String = "", kept: Double = 0
  ) -> [ReportSection] {
    let sizes = ["--patch", "\(size.patch)", "--base", "\(size.base)", "--batch", "\(size.batch)"]
    let isCompiled = form == "-compiled"
    return peers.map { peer in
      let precision = peer.precision.rawValue
      let storage = peer.halved ? ["--activations", "fp16", "--gradients", "bf16"] : []
      return ReportSection(
        name: "torch-\(size.patch)-\(precision)-\(peer.format)" + (peer.halved ? "-halved" : "") + form,
        title: "PyTorch in turn with glomseg, \(size.description), \(precision), \(peer.format)"
          + (peer.halved ? ", glomseg storing in 16 bits" : "") + (form.isEmpty ? "" : ", \(form.dropFirst())"),
        commands: [
          ["python3", folder + "/peers/alternate.py", "--pairs", "20", "--seconds", String(format: "%.1f", share(0.02))]
            + glomseg("bench", "step") + sizes + ["--device", device, "--precision", precision] + storage + ["--"]
            + [folder + "/peers/torch_step.py"] + sizes
            + ["--warmup", "3", "--device", "cuda", "--precision", precision, "--memory-format", peer.format]
            + (isCompiled ? ["--compile"] : [])
        ], least: min(25, share(0.05)), most: share(isCompiled ? 0.15 : 0.08), kept: share(kept),
        reasonToSkip: { Self.peerProblem($0) ?? failed("step-\(size.patch)")($0) })
    }
  }
}
