import Foundation
import OpSuite
import Testing

@testable import Engine

@Suite struct SafetensorsTests {
  /// A folder that is gone after the test.
  final class Scratch {
    let folder: String

    init() throws {
      let url = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
      try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
      folder = url.path
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    func path(_ name: String) -> String { folder + "/" + name }

    var contents: [String] {
      get throws { try FileManager.default.contentsOfDirectory(atPath: folder) }
    }

    /// A file with this header, its length in front, and data after it.
    func file(header: String, data: [UInt8] = []) throws -> String {
      try file(bytes: lengthBytes(header.utf8.count) + Array(header.utf8) + data)
    }

    func file(bytes: [UInt8]) throws -> String {
      let path = path("hostile.safetensors")
      try Data(bytes).write(to: URL(fileURLWithPath: path))
      return path
    }

    func lengthBytes(_ count: Int) -> [UInt8] {
      withUnsafeBytes(of: UInt64(count).littleEndian) { Array($0) }
    }
  }

  /// The sentence a file is refused with.
  func refusal(_ path: String) throws -> String {
    try #require(throws: SafetensorsError.self) { try SafetensorsFile(open: path) }.description
  }

  // MARK: - Sound files

  @Test func writtenFileReadsBack() throws {
    let scratch = try Scratch()
    let path = scratch.path("a.safetensors")
    let odd: [Float] = [1, -0.0, .infinity, .leastNonzeroMagnitude, 3.4e38]
    var writer = SafetensorsWriter(metadata: ["quote\"": "line\nbreak \u{1} ü 🧫 \\", "": ""])
    writer.add("odd", shape: [5], floats: odd)
    writer.add("deep/näme \"x\"", shape: [1, 2], doubles: [.pi, -1e300])
    writer.add("step", shape: [], integers: [-7])
    writer.add("empty", shape: [0, 3], floats: [])
    writer.add("fetched", shape: [2, 2], floats: [0, 1, 2, 3])
    try writer.write(to: path)
    #expect(try scratch.contents == ["a.safetensors"])

    let file = try SafetensorsFile(open: path)
    #expect(file.metadata == ["quote\"": "line\nbreak \u{1} ü 🧫 \\", "": ""])
    #expect(
      file.names == ["deep/näme \"x\"", "step", "odd", "empty", "fetched"].sortedByData(file))
    #expect(file.tensors.count == 5)
    #expect(try file.floats("odd").map(\.bitPattern) == odd.map(\.bitPattern))
    #expect(try file.doubles("odd") == odd.map(Double.init))
    #expect(try file.doubles("deep/näme \"x\"") == [.pi, -1e300])
    #expect(try file.integers("step") == [-7])
    #expect(try file.doubles("step") == [-7])
    #expect(try file.info("step").shape == [])
    #expect(try file.floats("empty") == [])
    #expect(try file.floats("fetched") == [0, 1, 2, 3])
    // Eight-byte elements come first, so everything is aligned.
    for (name, info) in file.tensors {
      #expect(info.byteRange.lowerBound % info.dtype.byteCount == 0, "\(name)")
    }
    let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
    let length = bytes.prefix(8).enumerated().reduce(0) { $0 + Int($1.element) << (8 * $1.offset) }
    #expect(length % 8 == 0)
    #expect(bytes.count == 8 + length + 20 + 16 + 8 + 16)

    try writer.write(to: path)
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == bytes, "equal calls, equal bytes")
  }

  @Test func emptyFileReadsBack() throws {
    let scratch = try Scratch()
    try SafetensorsWriter().write(to: scratch.path("none"))
    let file = try SafetensorsFile(open: scratch.path("none"))
    #expect(file.tensors.isEmpty && file.metadata.isEmpty && file.names.isEmpty)
  }

  @Test func halfPrecisionWidens() throws {
    let scratch = try Scratch()
    let header = """
      {"h":{"dtype":"F16","shape":[6],"data_offsets":[0,12]},\
      "b":{"dtype":"BF16","shape":[2],"data_offsets":[12,16]}}
      """
    let words: [UInt16] = [0x3C00, 0xC000, 0x7BFF, 0x0001, 0xFC00, 0x8000, 0x3F80, 0xC049]
    let path = try scratch.file(
      header: header, data: words.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] })
    let file = try SafetensorsFile(open: path)
    #expect(try file.floats("h") == [1, -2, 65504, 0x1p-24, -.infinity, 0])
    #expect(try file.floats("h")[5].sign == .minus)
    #expect(try file.doubles("b") == [1, -3.140625])
    #expect(SafetensorsFile.widenHalf(0x7E00).isNaN)
  }

  @Test func escapesAndBlanksAreJSON() throws {
    let scratch = try Scratch()
    let path = try scratch.file(
      header: #"{ "__metadata__" : { "\u0061\uD83E\uDDEB" : "\/\t\"" } , "x": {"shape":[ ],"#
        + "\n" + #""data_offsets":[0 , 1],"dtype":"U8"}}   "#, data: [9])
    let file = try SafetensorsFile(open: path)
    #expect(file.metadata == ["a🧫": "/\t\""])
    #expect(try file.info("x").dtype == .u8)
    let error = #expect(throws: SafetensorsError.self) { try file.floats("x") }
    #expect(error?.description.contains("U8") == true)
  }

  @Test(
    .enabled(
      if: GoldenCase.folder() != nil, "no ../shared/golden beside the package: real files not read")
  )
  func realFilesAreRead() throws {
    let paths = try GoldenCase.files(at: try #require(GoldenCase.folder()))
    for path in paths {
      let file = try SafetensorsFile(open: path)
      #expect(!file.tensors.isEmpty, "\(path)")
      for (name, info) in file.tensors {
        let values = try file.doubles(name)
        #expect(values.count == info.shape.reduce(1, *), "\(path) \(name)")
        #expect(values.allSatisfy { $0.isFinite }, "\(path) \(name)")
      }
    }
    let file = try SafetensorsFile(
      open: try #require(paths.first { $0.hasSuffix("/relu.safetensors") }))
    #expect(file.metadata["op"] == "relu")
    #expect(try file.info("x").shape == [2, 3, 9, 11])
  }

  // MARK: - Files that lie

  /// Headers over 16 bytes of data, and a part of the sentence each must be refused with.
  static let lies: [(header: String, words: String)] = [
    ("", "no opening brace"),
    ("[]", "no opening brace"),
    (" {}", "no opening brace"),
    ("{", "no name"),
    ("{}", "16 bytes follow"),
    ("{} x", "after the closing brace"),
    (#"{"a""#, "no colon"),
    (#"{"a"#, "without an end"),
    (#"{"a\q":1}"#, "unknown escape"),
    (#"{"a\u12":{}}"#, "four hexadecimal"),
    (#"{"a\uD800":{}}"#, "surrogate"),
    (#"{"a":[1,2,3]}"#, #"tensor "a": its description is not an object"#),
    (#"{"a":true}"#, "neither a string"),
    (#"{"a":{"b":{"c":{"d":{"e":{}}}}}}"#, "nested too deeply"),
    (#"{"__metadata__":"x"}"#, "__metadata__ is not an object"),
    (#"{"__metadata__":{"k":[1]}}"#, #"metadata "k" is not a string"#),
    (#"{"__metadata__":{"k":"1","k":"2"}}"#, #"the name "k" a second time"#),
    (#"{"__metadata__":{},"__metadata__":{}}"#, "a second time"),
    (#"{"a":{"dtype":"F32","shape":[4]}}"#, "lacks one of"),
    (#"{"a":{"dtype":"F33","shape":[4],"data_offsets":[0,16]}}"#, #"dtype "F33" is unknown"#),
    (#"{"a":{"dtype":[1],"shape":[4],"data_offsets":[0,16]}}"#, "dtype is not a string"),
    (#"{"a":{"dtype":"F32","shape":"4","data_offsets":[0,16]}}"#, "shape is not a list"),
    (#"{"a":{"dtype":"F32","shape":[-4],"data_offsets":[0,16]}}"#, "not a whole number"),
    (#"{"a":{"dtype":"F32","shape":[4.0],"data_offsets":[0,16]}}"#, "neither a comma"),
    (#"{"a":{"dtype":"F32","shape":[04],"data_offsets":[0,16]}}"#, "not a whole number"),
    (#"{"a":{"dtype":"F32","shape":[4,],"data_offsets":[0,16]}}"#, "not a whole number"),
    (
      #"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,99999999999999999999]}}"#,
      "beyond 64 bits"
    ),
    (#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[16]}}"#, "not two whole numbers"),
    (#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16],"x":[]}}"#, #"unknown key "x""#),
    (
      #"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,16]}}"#,
      "too many elements"
    ),
    (
      #"{"a":{"dtype":"F64","shape":[1152921504606846976],"data_offsets":[0,0]}}"#,
      "too many elements"
    ),
    (#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[16,0]}}"#, "run backwards"),
    (#"{"a":{"dtype":"F32","shape":[5],"data_offsets":[0,20]}}"#, "ends at byte 20"),
    (
      #"{"a":{"dtype":"F32","shape":[4],"data_offsets":[9223372036854775791,9223372036854775807]}}"#,
      "ends at byte"
    ),
    (#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,16]}}"#, "needs 12 bytes"),
    (
      #"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}"#,
      "the tensors fill 12 bytes, but 16"
    ),
    (#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[4,16]}}"#, "leaves a hole after byte 0"),
    (
      #"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},"b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}"#,
      #"tensor "b": its data begins at byte 8, inside "a""#
    ),
    (
      #"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#,
      #"the name "a" a second time"#
    ),
    (
      #"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"\u0061":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#,
      #"the name "a" a second time"#
    ),
    ("{\"a\": {\"shape\": [" + String(repeating: "1,", count: 100) + "1]}}", "a list of more than"),
    ("{\"a\nb\":{}}", "control character"),
  ]

  @Test(arguments: lies) func lyingHeaderIsRefused(_ lie: (header: String, words: String)) throws {
    let scratch = try Scratch()
    let path = try scratch.file(header: lie.header, data: [UInt8](repeating: 0, count: 16))
    let text = try refusal(path)
    #expect(text.hasPrefix(path) && text.contains(lie.words), "\(text)")
  }

  @Test func brokenFramesAreRefused() throws {
    let scratch = try Scratch()
    #expect(try refusal(scratch.file(bytes: [])).contains("too few"))
    #expect(try refusal(scratch.file(bytes: [1, 2, 3])).contains("too few"))
    #expect(
      try refusal(scratch.file(bytes: [UInt8](repeating: 255, count: 64))).contains(
        "over the limit"))
    #expect(
      try refusal(scratch.file(bytes: scratch.lengthBytes(9) + Array("{}      ".utf8)))
        .contains("does not fit"))
    #expect(
      try refusal(scratch.file(bytes: scratch.lengthBytes(4) + [0x7B, 0x22, 0xFF, 0x22]))
        .contains("not valid UTF-8"))
    #expect(try refusal(scratch.path("absent")).contains("open failed: No such file"))
    #expect(try refusal(scratch.folder).contains("not a regular file"))
    #expect(try refusal("a\0b").contains("zero byte"))
  }

  @Test func everyCutOfASoundFileIsRefused() throws {
    let scratch = try Scratch()
    let path = scratch.path("whole")
    var writer = SafetensorsWriter(metadata: ["k": "v"])
    writer.add("a", shape: [2], floats: [1, 2])
    try writer.write(to: path)
    let bytes = try [UInt8](Data(contentsOf: URL(fileURLWithPath: path)))
    for count in 0..<bytes.count {
      let cut = try scratch.file(bytes: Array(bytes[..<count]))
      #expect(throws: SafetensorsError.self, "cut to \(count) bytes") {
        try SafetensorsFile(open: cut)
      }
    }
    let longer = try scratch.file(bytes: bytes + [0])
    #expect(throws: SafetensorsError.self) { try SafetensorsFile(open: longer) }
  }

  @Test func damagedBytesNeverTrap() throws {
    let scratch = try Scratch()
    let path = scratch.path("whole")
    var writer = SafetensorsWriter(metadata: ["k": "v"])
    writer.add("a", shape: [2, 1], floats: [1, 2])
    writer.add("b", shape: [1], doubles: [3])
    try writer.write(to: path)
    let bytes = try [UInt8](Data(contentsOf: URL(fileURLWithPath: path)))
    var random = ReferenceRandom(seed: 1)
    for _ in 0..<2000 {
      var damaged = bytes
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        damaged[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(
          in: 0...255, using: &random)
      }
      let cut = try scratch.file(bytes: damaged)
      if let file = try? SafetensorsFile(open: cut) {
        for name in file.names { _ = try? file.doubles(name) }
      }
    }
  }

  @Test func absentTensorIsNamed() throws {
    let scratch = try Scratch()
    try SafetensorsWriter().write(to: scratch.path("none"))
    let file = try SafetensorsFile(open: scratch.path("none"))
    let error = #expect(throws: SafetensorsError.self) { try file.floats("enc1\u{1B}[2J") }
    #expect(
      error?.description.hasSuffix(#"tensor "enc1\u{1B}[2J": the file has no tensor of this name"#)
        == true)
  }

  @Test func fileThatShrinksIsAnError() throws {
    let scratch = try Scratch()
    let path = scratch.path("a")
    var writer = SafetensorsWriter()
    writer.add("a", shape: [100], floats: [Float](repeating: 1, count: 100))
    try writer.write(to: path)
    let file = try SafetensorsFile(open: path)
    let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    try handle.truncate(atOffset: 100)
    try handle.close()
    let error = #expect(throws: SafetensorsError.self) { try file.floats("a") }
    #expect(error?.description.contains("shrink") == true)
  }

  // MARK: - Writing what can't be

  @Test func badTensorsAreNotWritten() throws {
    let scratch = try Scratch()
    let path = scratch.path("kept")
    var sound = SafetensorsWriter()
    sound.add("old", shape: [1], floats: [7])
    try sound.write(to: path)

    func refused(_ build: (inout SafetensorsWriter) -> Void) throws -> String {
      var writer = SafetensorsWriter()
      build(&writer)
      let sealed = writer
      let error = #expect(throws: SafetensorsError.self) { try sealed.write(to: path) }
      return try #require(error).description
    }
    #expect(try refused { $0.add("a", shape: [2], floats: [1]) }.contains("1 values do not fill"))
    #expect(try refused { $0.add("a", shape: [-1], floats: []) }.contains("negative"))
    #expect(try refused { $0.add("a", shape: [Int.max, 2], floats: []) }.contains("too large"))
    #expect(try refused { $0.add("__metadata__", shape: [0], floats: []) }.contains("reserved"))
    #expect(
      try refused {
        $0.add("a", shape: [1], floats: [1])
        $0.add("a", shape: [1], integers: [1])
      }.contains("used twice"))
    #expect(try SafetensorsFile(open: path).floats("old") == [7], "the old file stays")
    #expect(try scratch.contents == ["kept"], "no temporary file is left")

    #expect(throws: SafetensorsError.self) { try sound.write(to: scratch.folder) }
    #expect(throws: SafetensorsError.self) { try sound.write(to: scratch.path("absent/x")) }
    #expect(throws: SafetensorsError.self) { try sound.write(to: scratch.path("x/")) }
    #expect(throws: SafetensorsError.self) { try sound.write(to: "") }
  }
}

extension [String] {
  /// These names in the order of their data; an empty tensor shares its place with the next.
  fileprivate func sortedByData(_ file: SafetensorsFile) -> [String] {
    sorted {
      let (a, b) = (file.tensors[$0]?.byteRange, file.tensors[$1]?.byteRange)
      return (a?.lowerBound ?? 0, a?.upperBound ?? 0, $0) < (
        b?.lowerBound ?? 0, b?.upperBound ?? 0, $1
      )
    }
  }
}
