/// A safetensors header, parsed and checked.
struct SafetensorsHeader {
  let metadata: [String: String]
  let tensors: [String: SafetensorsFile.TensorInfo]
  /// In the order of the data.
  let names: [String]

  /// - Parameters:
  ///   - json: the header's bytes, trailing blanks included.
  ///   - dataByteCount: how many bytes follow the header.
  init(json: [UInt8], dataByteCount: Int, path: String) throws(SafetensorsError) {
    guard String(validating: json, as: UTF8.self) != nil else {
      throw .header(path: path, reason: "the header is not valid UTF-8")
    }
    var parser = HeaderParser(bytes: json)
    let root: HeaderValue
    do {
      root = try parser.parseDocument()
    } catch {
      throw .header(
        path: path,
        reason: "the header is not the expected JSON: \(error.reason) at its byte \(error.offset)")
    }
    guard case .object(let members) = root else {
      throw .header(path: path, reason: "the header is not a JSON object")
    }

    var metadata: [String: String] = [:]
    var tensors: [String: SafetensorsFile.TensorInfo] = [:]
    for (name, value) in members {
      if name == "__metadata__" {
        guard case .object(let pairs) = value else {
          throw .header(path: path, reason: "the header's __metadata__ is not an object")
        }
        for (key, value) in pairs {
          guard case .string(let text) = value else {
            throw .header(path: path, reason: "the metadata \(Self.quoted(key)) is not a string")
          }
          metadata[key] = text
        }
      } else {
        tensors[name] = try Self.tensor(name, value, dataByteCount: dataByteCount, path: path)
      }
    }

    // Without holes and overlaps, each tensor begins where the one before it ended. Empty ones may share a place.
    let ordered = tensors.sorted {
      ($0.value.byteRange.lowerBound, $0.value.byteRange.upperBound, $0.key)
        < ($1.value.byteRange.lowerBound, $1.value.byteRange.upperBound, $1.key)
    }
    var end = 0
    var previous = ""
    for (name, info) in ordered {
      let start = info.byteRange.lowerBound
      guard start >= end else {
        throw .tensor(
          path: path, name: name,
          reason:
            "its data begins at byte \(start), inside \(Self.quoted(previous)), which ends at \(end)"
        )
      }
      guard start == end else {
        throw .tensor(
          path: path, name: name,
          reason: "its data begins at byte \(start) and leaves a hole after byte \(end)")
      }
      end = info.byteRange.upperBound
      previous = name
    }
    guard end == dataByteCount else {
      throw .header(
        path: path,
        reason: "the tensors fill \(end) bytes, but \(dataByteCount) bytes follow the header")
    }
    self.metadata = metadata
    self.tensors = tensors
    names = ordered.map(\.key)
  }

  private static func tensor(
    _ name: String, _ value: HeaderValue, dataByteCount: Int, path: String
  ) throws(SafetensorsError) -> SafetensorsFile.TensorInfo {
    func wrong(_ reason: String) -> SafetensorsError {
      .tensor(path: path, name: name, reason: reason)
    }
    guard case .object(let members) = value else { throw wrong("its description is not an object") }
    var dtypeName: String?
    var shape: [Int]?
    var offsets: [Int]?
    for (key, value) in members {
      switch (key, value) {
      case ("dtype", .string(let text)): dtypeName = text
      case ("shape", .integers(let extents)): shape = extents
      case ("data_offsets", .integers(let pair)) where pair.count == 2: offsets = pair
      case ("dtype", _): throw wrong("its dtype is not a string")
      case ("shape", _): throw wrong("its shape is not a list of whole numbers")
      case ("data_offsets", _): throw wrong("its data_offsets are not two whole numbers")
      default: throw wrong("its description has an unknown key \(quoted(key))")
      }
    }
    guard let dtypeName, let shape, let offsets else {
      throw wrong("its description lacks one of dtype, shape, data_offsets")
    }
    guard let dtype = SafetensorsFile.DType(rawValue: dtypeName) else {
      throw wrong("its dtype \(quoted(dtypeName)) is unknown")
    }
    guard let byteCount = byteCount(shape: shape, dtype: dtype) else {
      throw wrong("its shape \(shape) has too many elements to count")
    }
    guard offsets[0] <= offsets[1] else {
      throw wrong("its data_offsets \(offsets) run backwards")
    }
    guard offsets[1] <= dataByteCount else {
      throw wrong(
        "its data ends at byte \(offsets[1]), but the file's data has \(dataByteCount) bytes")
    }
    guard offsets[1] - offsets[0] == byteCount else {
      throw wrong(
        "shape \(shape) of \(dtypeName) needs \(byteCount) bytes, its data_offsets give \(offsets[1] - offsets[0])"
      )
    }
    return SafetensorsFile.TensorInfo(
      dtype: dtype, shape: shape, byteRange: offsets[0]..<offsets[1])
  }

  /// The bytes of a tensor, or nil when an extent is negative or the number overflows.
  static func byteCount(shape: [Int], dtype: SafetensorsFile.DType) -> Int? {
    var product = dtype.byteCount
    for extent in shape {
      let (next, overflow) = product.multipliedReportingOverflow(by: extent)
      guard extent >= 0 && !overflow else { return nil }
      product = next
    }
    return product
  }

  /// A name from a file in quotes, control characters escaped and length bounded, fit for a message.
  static func quoted(_ name: String) -> String {
    name.count <= 120 ? name.debugDescription : String(name.prefix(120)).debugDescription + "…"
  }
}

/// What JSON in a header can be. Lists are of whole numbers: nothing else has a use there.
private enum HeaderValue {
  case string(String)
  case integers([Int])
  case object([(key: String, value: HeaderValue)])
}

private struct HeaderSyntaxError: Error {
  let reason: String
  let offset: Int
}

/// Reads the part of JSON a safetensors header uses, and nothing beyond it.
///
/// Foundation's parser keeps one of two equal keys in silence; here a repeated key is an error. Depth and the length
/// of lists are bounded, so a hostile header costs no more than its own size.
private struct HeaderParser {
  let bytes: [UInt8]
  private var position = 0

  private static let depthLimit = 4
  private static let listLimit = 64

  /// - Parameter bytes: valid UTF-8.
  init(bytes: [UInt8]) {
    self.bytes = bytes
  }

  mutating func parseDocument() throws(HeaderSyntaxError) -> HeaderValue {
    // The format wants the brace first; blanks may only pad the end.
    guard bytes.first == UInt8(ascii: "{") else { throw syntaxError("no opening brace") }
    let value = try parseValue(depth: 0)
    skipBlanks()
    guard position == bytes.count else { throw syntaxError("something after the closing brace") }
    return value
  }

  private func syntaxError(_ reason: String) -> HeaderSyntaxError {
    HeaderSyntaxError(reason: reason, offset: position)
  }

  private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func skipBlanks() {
    while let byte = next, byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D {
      position += 1
    }
  }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    guard next == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private mutating func parseValue(depth: Int) throws(HeaderSyntaxError) -> HeaderValue {
    guard depth < Self.depthLimit else { throw syntaxError("nested too deeply") }
    skipBlanks()
    if next == UInt8(ascii: "\"") { return .string(try parseString()) }
    if take("{") { return .object(try parseMembers(depth: depth)) }
    if take("[") { return .integers(try parseIntegers()) }
    throw syntaxError("neither a string, an object nor a list")
  }

  private mutating func parseMembers(
    depth: Int
  ) throws(HeaderSyntaxError) -> [(key: String, value: HeaderValue)] {
    var members: [(key: String, value: HeaderValue)] = []
    var seen: Set<String> = []
    skipBlanks()
    if take("}") { return members }
    while true {
      skipBlanks()
      guard next == UInt8(ascii: "\"") else { throw syntaxError("no name") }
      let key = try parseString()
      guard seen.insert(key).inserted else {
        throw syntaxError("the name \(SafetensorsHeader.quoted(key)) a second time")
      }
      skipBlanks()
      guard take(":") else { throw syntaxError("no colon") }
      members.append((key, try parseValue(depth: depth + 1)))
      skipBlanks()
      if take("}") { return members }
      guard take(",") else { throw syntaxError("neither a comma nor a closing brace") }
    }
  }

  private mutating func parseIntegers() throws(HeaderSyntaxError) -> [Int] {
    var list: [Int] = []
    skipBlanks()
    if take("]") { return list }
    while true {
      skipBlanks()
      guard list.count < Self.listLimit else {
        throw syntaxError("a list of more than \(Self.listLimit)")
      }
      list.append(try parseInteger())
      skipBlanks()
      if take("]") { return list }
      guard take(",") else { throw syntaxError("neither a comma nor a closing bracket") }
    }
  }

  /// Digits only: no sign, fraction, exponent or leading zero, and within Int.
  private mutating func parseInteger() throws(HeaderSyntaxError) -> Int {
    let start = position
    var value = 0
    while let byte = next, byte >= 0x30 && byte <= 0x39 {
      let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = tens.addingReportingOverflow(Int(byte - 0x30))
      guard !overflow && !carry else { throw syntaxError("a number beyond 64 bits") }
      value = sum
      position += 1
    }
    guard position > start && !(bytes[start] == 0x30 && position > start + 1) else {
      throw syntaxError("not a whole number")
    }
    return value
  }

  private mutating func parseString() throws(HeaderSyntaxError) -> String {
    position += 1  // the quote the caller saw
    var text: [UInt8] = []
    while let byte = next {
      position += 1
      switch byte {
      case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
      case UInt8(ascii: "\\"): text += String(try parseEscape()).utf8
      case 0..<0x20: throw syntaxError("a bare control character in a string")
      default: text.append(byte)
      }
    }
    throw syntaxError("a string without an end")
  }

  private mutating func parseEscape() throws(HeaderSyntaxError) -> Unicode.Scalar {
    guard let byte = next else { throw syntaxError("a string without an end") }
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{C}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"):
      var code = try parseHex()
      if code >= 0xD800 && code < 0xDC00, take("\\"), take("u") {
        let low = try parseHex()
        guard low >= 0xDC00 && low < 0xE000 else { throw syntaxError("half a surrogate pair") }
        code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(code) else { throw syntaxError("half a surrogate pair") }
      return scalar
    default: throw syntaxError("an unknown escape")
    }
  }

  private mutating func parseHex() throws(HeaderSyntaxError) -> UInt32 {
    var code: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw syntaxError("an escape without four hexadecimal digits")
      }
      code = code << 4 | UInt32(digit)
      position += 1
    }
    return code
  }
}
