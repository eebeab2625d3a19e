import Foundation
import OpSuite
import Testing

@testable import Engine

/// Tiles as data: which tables there are, that any of them is right, and that a damaged file never is one.
@Suite(.serialized) struct TileTests {
  /// Every size at its least, and at its most.
  static func table(_ deviceClass: DeviceClass, _ pick: ([Int]) -> Int?) -> TileTable {
    var table = TileTable(deviceClass)
    for size in TileSize.allCases {
      if let value = pick(size.candidates(deviceClass)) { table[size] = value }
    }
    return table
  }

  @Test(arguments: DeviceClass.allCases) func aClassHasEachOfItsSizesOnceAndFromItsCandidates(_ deviceClass: DeviceClass) {
    let table = TileTable(deviceClass)
    var device = Coverage.imaginaryDevice(.init(deviceClass))
    #expect(table == device.curatedTiles)
    device.vectorFloats = 8
    let narrow = device.curatedTiles
    #expect((narrow == table) == (deviceClass != .cpu))
    #expect(narrow[ifPresent: .vectorFloats] == (deviceClass == .cpu ? 8 : nil))
    #expect(TileTable(deviceClass, sizes: narrow.sizes) == narrow)
    for size in TileSize.allCases {
      let candidates = size.candidates(deviceClass)
      #expect((table[ifPresent: size] == nil) == candidates.isEmpty, "\(size)")
      if let value = table[ifPresent: size] { #expect(candidates.contains(value), "\(size) \(value)") }
      #expect(candidates == candidates.sorted() && candidates.count != 1, "\(size)")
    }
  }

  @Test func tablesAreReadBackAndToldApart() throws {
    for deviceClass in DeviceClass.allCases {
      for table in [TileTable(deviceClass), Self.table(deviceClass, \.first), Self.table(deviceClass, \.last)] {
        #expect(TileTable(table.description) == table)
        #expect(TileTable(deviceClass, sizes: table.sizes) == table)
      }
    }
    #expect(TileTable(.nvidia).fingerprint != TileTable(.amd).fingerprint)
    #expect(TileTable(.cpu).fingerprint != Self.table(.cpu, \.first).fingerprint)
    var sizes = TileTable(.cpu).sizes
    sizes["tile_chunk"] = 5
    #expect(TileTable(.cpu, sizes: sizes) == nil)
    sizes["tile_chunk"] = nil
    #expect(TileTable(.cpu, sizes: sizes) == nil)
    sizes["chunk_of_cheese"] = 8
    #expect(TileTable(.cpu, sizes: sizes) == nil)
    for text in ["", "cpu", "cpu: ", "toaster: tile_chunk 8", "cpu: tile_chunk"] { #expect(TileTable(text) == nil) }
  }

  @Test func anotherClassesTilesAreNotTaken() {
    var device = Coverage.imaginaryDevice(.gpu)
    device.chosenTiles = TileTable(.nvidia)
    #expect(device.tiles == TileTable(.gpu))
  }

  /// Whatever a table says, no launch asks for more local memory than the device has.
  @Test(arguments: KernelChoice.all, Precision.allCases) func noTableAsksForMoreThanThereIs(
    _ kernels: KernelChoice, _ precision: Precision
  ) throws {
    let deviceClass = kernels.deviceClass
    let graph = try TrainingGraph(VariableUNet(base: 64), batch: 1, height: 512, width: 512).graph
    var device = Coverage.imaginaryDevice(kernels, precision: precision)
    guard device.arithmetic == precision else { return }
    if deviceClass != .cpu { device.localBytes = 48 << 10 }
    for table in [Self.table(deviceClass, \.first), Self.table(deviceClass, \.last)] {
      device.chosenTiles = table
      for node in graph.nodes {
        for launch in node.operation.launches(graph.io(node), device) {
          let asked = launch.localBytes
          #expect(asked <= device.argumentBytes, "\(launch.function) asks \(asked) bytes with \(table)")
          #expect((launch.local ?? []).reduce(1, *) <= DeviceClass.leastWorkGroup)
        }
      }
    }
  }

  /// The curated tables are what conformance tests run; these are the ends of what `glomseg tune` may try. They leave nothing of
  /// the difference between the GPUs' classes.
  @Test(arguments: [DeviceClass.cpu, .nvidia]) func everyTableIsRight(_ deviceClass: DeviceClass) throws {
    let device = try #require(OpenCLDevice.all().first, "no OpenCL device was found")
    // Beside the short ones: more output channels than the largest group has.
    let wide = try Catalogue.matching("_o130_h7")
    // Where tiles are macros, each case is compiled once more.
    let random = Catalogue.fuzz(count: deviceClass == .cpu ? 40 : 4, seed: 21)
    let cases = (Catalogue.quick + random).filter { $0.operation.hasSuffix("convolution") && !$0.isHalved } + wide
    try #require(cases.count > 8)
    let ends = [Self.table(deviceClass, \.first), Self.table(deviceClass, \.last)]
    for table in ends {
      let backend = try OpenCLBackend(device, as: KernelChoice(deviceClass), edit: nil, tiles: table)
      for opCase in cases {
        let result = CaseRunner.run(opCase, on: backend)
        #expect(result.passed && result.skipReason == nil, "\(result) with \(table)")
      }
    }
  }

  /// The same on matrix units, as NVIDIA's multiply: one part and two; the ends of a table differ from one another in each size. Of
  /// flat tiles several steps are staged at a time, and so are their elements copied ahead, which two parts have none of.
  @Test(arguments: [Precision.tf32, .fp32]) func everyTableForMatrixUnitsIsRight(_ precision: Precision) throws {
    let device = try #require(OpenCLDevice.all().first, "no OpenCL device was found")
    let wide = try Catalogue.matching("_o130_h7")
    let cases = Catalogue.quick.filter { $0.operation.hasSuffix("convolution") && !$0.isHalved } + wide
    var flat = Self.table(.nvidia, \.last)
    flat[.matrixRows] = 2
    for table in [Self.table(.nvidia, \.first), Self.table(.nvidia, \.last)] + (precision == .tf32 ? [flat] : []) {
      let backend = try OpenCLBackend(device, as: .emulated, precision: precision, edit: nil, tiles: table)
      for opCase in cases {
        let result = CaseRunner.run(opCase, on: backend)
        #expect(result.passed && result.skipReason == nil, "\(result) with \(table)")
      }
    }
  }

  /// Where four warps multiply together: tiles of 8 rows, several steps at a time, without copies ahead; and of 16, with them.
  @Test(arguments: [Precision.tf32, .bf16]) func everyTableForWarpgroupsIsRight(_ precision: Precision) throws {
    let device = try #require(OpenCLDevice.all().first, "no OpenCL device was found")
    var table = Self.table(.nvidia, precision == .bf16 ? \.first : \.last)
    if precision == .bf16 { (table[.matrixWarpgroup], table[.matrixKiB]) = (1, 32) }
    let backend = try OpenCLBackend(device, as: .warpgroupEmulated, precision: precision, edit: nil, tiles: table)
    let all = try ["n1_c33_o32_h9", "n2_c40_o70_h5", "_o130_h7"].flatMap { try Catalogue.matching($0) }.filter { !$0.isHalved }
    let cases = try Coverage.multipliedTogether(all, on: backend.traits)
    try #require(cases.count >= 3)
    for opCase in cases {
      let result = CaseRunner.run(opCase, on: backend)
      #expect(result.passed && result.skipReason == nil, "\(result) with \(table)")
    }
  }

  // MARK: Files

  private func withStore(_ body: (TuningStore) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("tuning-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(TuningStore(folder: folder + "/in/folders"))
  }

  private func backend() throws -> OpenCLBackend {
    try OpenCLBackend(#require(OpenCLDevice.all().first, "no OpenCL device was found"), edit: nil)
  }

  @Test func aDeviceTakesTheTableThatWasKeptForIt() throws {
    try withStore { store in
      let backend = try backend()
      backend.useTuned(store)
      #expect(backend.tilesOrigin == .curated && backend.traits.tiles == backend.traits.curatedTiles)
      let tiles = Self.table(.cpu, \.first)
      let path = try store.keep(.init(key: backend.tuningKey, tiles: tiles, found: ["date": "today"]))
      backend.useTuned(store)
      #expect(backend.tilesOrigin == .tuned(path: path) && backend.traits.tiles == tiles)
      #expect(store.entry(backend.tuningKey)?.found == ["date": "today"])
      // Lent for a while, then the device's own again.
      backend.use(Self.table(.cpu, \.last))
      #expect(backend.tilesOrigin == .given && backend.traits.tiles == Self.table(.cpu, \.last))
      backend.use(TileTable(.nvidia))
      #expect(backend.traits.tiles == tiles)
      backend.use(nil)
      #expect(backend.tilesOrigin == .tuned(path: path))
      #expect(try store.remove(backend.tuningKey))
      #expect(try !store.remove(backend.tuningKey))
    }
  }

  @Test func aTableOfAnotherDeviceDriverClassOrVersionIsNotTaken() throws {
    try withStore { store in
      let key = try backend().tuningKey
      _ = try store.keep(.init(key: key, tiles: Self.table(.cpu, \.first), found: [:]))
      let others = [
        TuningStore.Key(
          device: "other", platform: key.platform, driver: key.driver, deviceClass: .cpu, arithmetic: .fp32, kernels: key.kernels),
        .init(
          device: key.device, platform: "other", driver: key.driver, deviceClass: .cpu, arithmetic: .fp32, kernels: key.kernels),
        .init(
          device: key.device, platform: key.platform, driver: "other", deviceClass: .cpu, arithmetic: .fp32, kernels: key.kernels),
        .init(
          device: key.device, platform: key.platform, driver: key.driver, deviceClass: .nvidia, arithmetic: .fp32,
          kernels: key.kernels),
        .init(
          device: key.device, platform: key.platform, driver: key.driver, deviceClass: .cpu, arithmetic: .tf32,
          kernels: key.kernels),
        .init(
          device: key.device, platform: key.platform, driver: key.driver, deviceClass: .cpu, arithmetic: .fp32, kernels: "other"),
      ]
      for other in others {
        #expect(store.entry(other) == nil)
        // Also under that one's name.
        try? FileManager.default.removeItem(atPath: store.path(other))
        try FileManager.default.copyItem(atPath: store.path(key), toPath: store.path(other))
        #expect(store.entry(other) == nil)
      }
      #expect(store.entry(key) != nil)
    }
  }

  @Test func aDamagedFileIsIgnoredAndSaidToBe() throws {
    try withStore { store in
      let backend = try backend()
      let path = try store.keep(.init(key: backend.tuningKey, tiles: Self.table(.cpu, \.first), found: [:]))
      let whole = try String(contentsOfFile: path, encoding: .utf8)
      for text in [
        "", "{", String(whole.prefix(whole.count / 2)), whole.replacing("\"tile_chunk\" : 8", with: "\"tile_chunk\" : 7"),
        whole.replacing("tile_chunk", with: "tile_chink"), whole.replacing("\"cpu\"", with: "\"toaster\""),
      ] {
        #expect(text != whole)
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        backend.useTuned(store)
        guard case .ignored(path, _) = backend.tilesOrigin else {
          Issue.record("\(backend.tilesOrigin) with \(text)")
          continue
        }
        #expect(backend.traits.tiles == backend.traits.curatedTiles)
      }
      try whole.write(toFile: path, atomically: true, encoding: .utf8)
      backend.useTuned(store)
      #expect(backend.tilesOrigin == .tuned(path: path))
    }
  }
}
