import OpSuite
import Testing

@testable import Engine

@Suite struct DeviceClassTests {
  /// NVIDIA's OpenCL gives a work-group 48 KiB.
  static let nvidiaLocalBytes = 48 << 10
  /// Work-groups in the second and the third dimension, by CUDA's limit.
  static let groupsAcross = 65535

  static let choices = KernelChoice.all.filter { $0.deviceClass != .cpu }

  private static func graphs(
    base: Int, batch: Int, side: Int, bottleneck: Bottleneck = .split, norm: Normalization = .batch
  ) throws -> [Graph] {
    let model = VariableUNet(base: base, bottleneck: bottleneck, norm: norm)
    return [
      try TrainingGraph(model, batch: batch, height: side, width: side, averages: true).graph,
      try InferenceGraph(model, batch: batch, height: side, width: side).graph,
    ]
  }

  /// What the launches of the real model ask of a GPU, without one: drivers refuse more only when a kernel is enqueued.
  @Test(arguments: choices) func theModelsLaunchesFitAGPU(_ kernels: KernelChoice) throws {
    for precision in kernels.matrixUnits != .none ? Precision.allCases : [.fp32] {
      try checkTheModelsLaunches(Coverage.imaginaryDevice(kernels, precision: precision))
    }
  }

  private func checkTheModelsLaunches(_ imaginary: DeviceTraits) throws {
    var device = imaginary
    device.localBytes = Self.nvidiaLocalBytes
    device.computeUnits = 132
    var graphs = try Self.graphs(base: 16, batch: 16, side: 256) + Self.graphs(base: 64, batch: 1, side: 2048)
    for (bottleneck, norm) in zip([Bottleneck.sum, .plain], [Normalization.group, .batchFrozen]) {
      graphs += try Self.graphs(base: 64, batch: 4, side: 512, bottleneck: bottleneck, norm: norm)
    }
    var launches = 0
    for graph in graphs {
      for node in graph.nodes {
        for launch in node.operation.launches(graph.io(node), device) {
          check(launch, localBytes: device.matrixUnits == .none ? DeviceClass.leastLocalBytes : Self.nvidiaLocalBytes)
          launches += 1
        }
      }
    }
    #expect(launches > 1000)
  }

  @Test func theLeastOfAGPUIsWhatNVIDIAHas() {
    #expect(DeviceClass.leastLocalBytes <= Self.nvidiaLocalBytes)
    #expect(DeviceClass.leastWorkGroup <= 256)
  }

  @Test func aSelectorMayForceAClass() throws {
    func split(_ selector: String) -> [String?] {
      let (device, forced) = DeviceSelection.split(selector)
      return [device, forced?.description]
    }
    #expect(split("opencl@gpu") == ["opencl", "gpu"])
    #expect(split("opencl:0:0@nvidia") == ["opencl:0:0", "nvidia"])
    #expect(split("opencl@nvidia-emulated") == ["opencl", "nvidia-emulated"])
    #expect(split("opencl@nvidia-warpgroup-emulated") == ["opencl", "nvidia-warpgroup-emulated"])
    #expect(split("opencl@amd-emulated") == ["opencl", "amd-emulated"])
    #expect(split("opencl@amd-wmma-emulated") == ["opencl", "amd-wmma-emulated"])
    #expect(split("opencl@intel-emulated") == ["opencl", "intel-emulated"])
    #expect(split("opencl@nvidia-matrix") == ["opencl", "nvidia-matrix"])
    #expect(split("opencl@amd-matrix") == ["opencl@amd-matrix", nil])
    // A processor's name.
    #expect(split("xeon cpu @ 2.20ghz") == ["xeon cpu @ 2.20ghz", nil])
    #expect(split("opencl") == ["opencl", nil])
    #expect(try DeviceSelection.backend("opencl@amd").backend.traits.deviceClass == .amd)
    #expect(throws: EngineError.self) { try DeviceSelection.backend("opencl@toaster") }
    // Units that a device lacks are refused before a compiler sees their instructions.
    let refusal = #expect(throws: EngineError.self) { try DeviceSelection.backend("opencl@nvidia-matrix") }
    #expect("\(refusal as (any Error)?)".contains("no kernels 'nvidia-matrix'"))
  }

  /// `auto` does without matrix units whose kernels fail, and says why; and goes on to another device where all forms do.
  @Test func theFirstFormThatWorksIsTaken() {
    func take(_ failing: [KernelChoice?]) -> (opened: String?, errors: [String]) {
      DeviceSelection.firstThatWorks([nil, .nvidia]) { form throws(EngineError) in
        if failing.contains(form) { throw .request("\(form.map(\.description) ?? "own") is broken") }
        return form?.description ?? "own"
      }
    }
    #expect(take([]) == ("own", []))
    #expect(take([nil]) == ("nvidia", ["own is broken"]))
    #expect(take([nil, .nvidia]) == (nil, ["own is broken", "nvidia is broken"]))
  }

  /// Group norm takes every image's channels for one's, and a second dimension holds no more than 65535 groups.
  @Test func channelsOfManyImagesFitAcross() {
    for (images, channels) in [(1, 1), (3, 65535), (64, 1024), (66, 1000), (80, 2048)] {
      let global = ChannelRuns(Shape(1, images * channels, 4, 4)).global
      #expect(global[0] == 1 && global.dropFirst().allSatisfy { $0 <= Self.groupsAcross })
      #expect(global.reduce(1, *) == images * channels)
    }
  }

  private func check(_ launch: Launch, localBytes: Int) {
    let bytes = launch.groupBytes
    #expect(bytes <= localBytes, "\(launch.function) asks \(bytes) bytes of local memory: \(launch.defines)")
    let groups: [Int]
    if let local = launch.local {
      #expect(local.reduce(1, *) <= DeviceClass.leastWorkGroup, "\(launch.function) has groups of \(local)")
      #expect(zip(launch.global, local).allSatisfy { $0 % $1 == 0 }, "\(launch.function): \(launch.global) by \(local)")
      groups = zip(launch.global, local).map { $0 / $1 }
    } else {
      // Groups of the driver's choice, perhaps of one item.
      groups = launch.global
    }
    #expect(groups.dropFirst().allSatisfy { $0 <= Self.groupsAcross }, "\(launch.function) has \(groups) groups")
    for argument in launch.arguments {
      guard case .int(let value) = argument.value else { continue }
      #expect(Int32(exactly: value) != nil, "\(launch.function): \(argument.name) = \(value)")
    }
  }
}

extension Launch {
  /// Local memory of a work-group: the arguments', and the memory of a sum that lanes.clh declares in a kernel.
  fileprivate var groupBytes: Int {
    let lanes = defines.first { $0.name == "LANES" }?.value ?? 1
    return localBytes + (lanes > 1 ? 4 * lanes : 0)
  }
}
