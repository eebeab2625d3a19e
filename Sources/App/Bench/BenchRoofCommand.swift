import ArgumentParser
import Benchmarks
import Engine

/// `glomseg bench roof`.
struct BenchRoofCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "roof", abstract: "Measure what a device can do at most.",
    discussion: """
      Fused multiply-adds from registers, a copy that no cache holds, and on the CPU path matrix products. The best of \
      many runs. Example: glomseg bench roof --device opencl
      """)

  @Option(help: "auto, gpu, cpu, opencl, opencl:P:D, or part of a device's name.") var device = "auto"
  @Option(help: "Seconds for each measurement.") var seconds = 1.0
  @Option(help: "Write JSON to a file, or to standard output with '-'.") var json: String?

  func validate() throws {
    guard seconds > 0, seconds.isFinite else { throw ValidationError("--seconds takes a positive number.") }
  }

  func run() throws {
    try failing {
      let output = try JSONOutput(path: json)
      let backend = try chooseBackend(device)
      let roof = try Roof(backend, seconds: seconds)
      output.say(Self.describe(roof, backend))
      try output.writeLines([BenchRoof(roof, backend)])
    }
  }

  static func describe(_ roof: Roof, _ backend: any Backend) -> String {
    let products = roof.productFlopsPerSecond.map { ", matrix products \(giga($0, per: 1)) GFLOP/s" } ?? ""
    return "\(backend.name): multiply-adds \(giga(roof.flopsPerSecond, per: 1)) GFLOP/s, "
      + "copy \(giga(roof.copyBytesPerSecond, per: 1)) GB/s\(products)"
  }
}

/// A line of JSON.
struct BenchRoof: Encodable {
  let benchmark = "roof"
  let device: String
  let driver: String
  let gflops: Double
  let copy_gbytes_per_second: Double
  let product_gflops: Double?

  init(_ roof: Roof, _ backend: any Backend) {
    let named = BenchDevice(backend)
    device = named.device
    driver = named.driver
    gflops = roof.flopsPerSecond / 1e9
    copy_gbytes_per_second = roof.copyBytesPerSecond / 1e9
    product_gflops = roof.productFlopsPerSecond.map { $0 / 1e9 }
  }
}
