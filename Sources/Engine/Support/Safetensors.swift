import Glibc

#if !_endian(little)
  #error("safetensors files are little-endian and are read in place")
#endif

/// What is wrong with a safetensors file, in a sentence that names the file and, where there is one, the tensor.
public enum SafetensorsError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The operating system refused `call`; `code` is its errno.
  case system(path: String, call: String, code: Int32)
  /// The file's frame or header is wrong.
  case header(path: String, reason: String)
  /// One tensor's description, or what was asked of it, is wrong.
  case tensor(path: String, name: String, reason: String)

  public var description: String {
    switch self {
    case .system(let path, _, _), .header(let path, _), .tensor(let path, _, _): "\(path): \(problem)"
    }
  }

  /// Without the path.
  public var problem: String {
    switch self {
    case .system(_, let call, let code): "\(call) failed: \(String(cString: strerror(code))) (errno \(code))"
    case .header(_, let reason): reason
    case .tensor(_, let name, let reason): "tensor \(SafetensorsHeader.quoted(name)): \(reason)"
    }
  }
}

/// An open file in the safetensors format: named tensors behind a JSON header.
///
///     8 bytes   little-endian length L of the header
///     L bytes   JSON: {"__metadata__": {…}, "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …}
///     rest      the tensors' bytes, row-major, without holes
///
/// The header is checked whole when the file is opened: nothing later trusts an offset that was not. Tensors are read
/// from the open descriptor one by one, so a large file is never in memory twice.
///
/// - Source: the format's description and limits in huggingface/safetensors, `README.md` and `tensor.rs`.
public struct SafetensorsFile: Sendable {
  /// An element type, by its name in the header.
  public enum DType: String, Sendable, CaseIterable {
    case bool = "BOOL"
    case u8 = "U8"
    case i8 = "I8"
    case f8e5m2 = "F8_E5M2"
    case f8e4m3 = "F8_E4M3"
    case i16 = "I16"
    case u16 = "U16"
    case f16 = "F16"
    case bf16 = "BF16"
    case i32 = "I32"
    case u32 = "U32"
    case f32 = "F32"
    case i64 = "I64"
    case u64 = "U64"
    case f64 = "F64"

    /// Bytes per element.
    public var byteCount: Int {
      switch self {
      case .bool, .u8, .i8, .f8e5m2, .f8e4m3: 1
      case .i16, .u16, .f16, .bf16: 2
      case .i32, .u32, .f32: 4
      case .i64, .u64, .f64: 8
      }
    }
  }

  /// Where one tensor lies.
  public struct TensorInfo: Sendable, Equatable {
    public let dtype: DType
    /// The extents, slowest first; empty for a scalar.
    public let shape: [Int]
    /// The tensor's bytes, counted from the start of the file's data (not of the file).
    public let byteRange: Range<Int>

    /// How many elements the tensor has.
    public var elementCount: Int { byteRange.count / dtype.byteCount }
  }

  /// The path it was opened by.
  public let path: String

  /// The header's `__metadata__`.
  public let metadata: [String: String]

  /// Every tensor by name.
  public let tensors: [String: TensorInfo]

  /// The tensors' names in the order of their data.
  public let names: [String]

  private let descriptor: SafetensorsDescriptor
  private let dataStart: Int

  /// The longest header accepted, as in the reference implementation.
  package static let headerByteLimit = 100_000_000

  /// Opens a file and checks its whole header.
  ///
  /// - Throws: ``SafetensorsError`` when the file can't be read, the header is longer than the file or 100 MB, isn't
  ///   UTF-8 JSON of the described form, names a tensor or key twice, or a tensor's bytes don't match its shape, lie
  ///   outside the file, overlap, or leave holes.
  public init(open path: String) throws(SafetensorsError) {
    let descriptor = try SafetensorsDescriptor(path: path, flags: O_RDONLY)
    var status = stat()
    guard fstat(descriptor.raw, &status) == 0 else {
      throw .system(path: path, call: "fstat", code: errno)
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw .header(path: path, reason: "not a regular file")
    }
    let fileByteCount = Int(status.st_size)
    guard fileByteCount >= 8 else {
      throw .header(
        path: path,
        reason: "\(fileByteCount) bytes are too few for a safetensors file's header length")
    }

    var length: UInt64 = 0
    try withUnsafeMutableBytes(of: &length) { bytes throws(SafetensorsError) in
      try descriptor.read(into: bytes, at: 0, path: path)
    }
    // "PK", a ZIP archive, is how PyTorch writes a .pth file.
    guard length & 0xffff != 0x4b50 else {
      throw .header(
        path: path,
        reason:
          "not a safetensors file but an archive such as PyTorch's .pth: load it there and save its state_dict with safetensors.torch.save_file"
      )
    }
    guard length <= UInt64(Self.headerByteLimit) else {
      throw .header(
        path: path,
        reason:
          "a header of \(length) bytes is over the limit of \(Self.headerByteLimit): not a safetensors file?"
      )
    }
    guard length <= UInt64(fileByteCount - 8) else {
      throw .header(
        path: path,
        reason: "a header of \(length) bytes does not fit in a file of \(fileByteCount) bytes")
    }

    var header = [UInt8](repeating: 0, count: Int(length))
    try descriptor.read(into: &header, at: 8, path: path)
    dataStart = 8 + Int(length)
    let parsed = try SafetensorsHeader(
      json: header, dataByteCount: fileByteCount - dataStart, path: path)
    self.path = path
    self.descriptor = descriptor
    metadata = parsed.metadata
    tensors = parsed.tensors
    names = parsed.names
  }

  /// A tensor's description.
  ///
  /// - Throws: ``SafetensorsError/tensor(path:name:reason:)`` when there is none of this name.
  public func info(_ name: String) throws(SafetensorsError) -> TensorInfo {
    guard let info = tensors[name] else {
      throw .tensor(path: path, name: name, reason: "the file has no tensor of this name")
    }
    return info
  }

  /// A tensor's values as fp32: F32 as they are, F64 and I64 rounded, F16 and BF16 widened.
  ///
  /// - Throws: ``SafetensorsError`` for another dtype, or when the file can't be read.
  public func floats(_ name: String) throws(SafetensorsError) -> [Float] {
    let info = try info(name)
    return switch info.dtype {
    case .f32: try elements(info, zero: Float(0))
    case .f64: try elements(info, zero: Double(0)).map(Float.init)
    case .i64: try elements(info, zero: Int64(0)).map(Float.init)
    case .f16: try elements(info, zero: UInt16(0)).map(Self.widenHalf)
    case .bf16: try elements(info, zero: UInt16(0)).map(Self.widenBrain)
    default: throw unreadable(name, info)
    }
  }

  /// A tensor's values in Double: exact but for I64 beyond 2⁵³.
  ///
  /// - Throws: ``SafetensorsError`` for a dtype other than F64, F32, F16, BF16, I64, or when the file can't be read.
  public func doubles(_ name: String) throws(SafetensorsError) -> [Double] {
    let info = try info(name)
    return switch info.dtype {
    case .f64: try elements(info, zero: Double(0))
    case .i64: try elements(info, zero: Int64(0)).map(Double.init)
    case .f32: try elements(info, zero: Float(0)).map(Double.init)
    case .f16: try elements(info, zero: UInt16(0)).map { Double(Self.widenHalf($0)) }
    case .bf16: try elements(info, zero: UInt16(0)).map { Double(Self.widenBrain($0)) }
    default: throw unreadable(name, info)
    }
  }

  /// An I64 tensor's values.
  ///
  /// - Throws: ``SafetensorsError`` for another dtype, or when the file can't be read.
  public func integers(_ name: String) throws(SafetensorsError) -> [Int64] {
    let info = try info(name)
    guard info.dtype == .i64 else { throw unreadable(name, info) }
    return try elements(info, zero: Int64(0))
  }

  private func unreadable(_ name: String, _ info: TensorInfo) -> SafetensorsError {
    .tensor(
      path: path, name: name, reason: "dtype \(info.dtype.rawValue) is not one this reads here")
  }

  /// A tensor's bytes as they lie in the file.
  private func elements<Element: BitwiseCopyable>(
    _ info: TensorInfo, zero: Element
  ) throws(SafetensorsError) -> [Element] {
    var result = [Element](repeating: zero, count: info.elementCount)
    try descriptor.read(into: &result, at: dataStart + info.byteRange.lowerBound, path: path)
    return result
  }

  /// IEEE binary16 to fp32, written out because `Float16` is missing on some processors.
  package static func widenHalf(_ bits: UInt16) -> Float {
    let sign = UInt32(bits & 0x8000) << 16
    let exponent = UInt32(bits >> 10) & 0x1F
    let fraction = UInt32(bits & 0x3FF)
    switch exponent {
    case 0x1F: return Float(bitPattern: sign | 0x7F80_0000 | fraction << 13)
    case 0:
      let magnitude = Float(fraction) * 0x1p-24
      return sign == 0 ? magnitude : -magnitude
    default: return Float(bitPattern: sign | (exponent + 112) << 23 | fraction << 13)
    }
  }

  /// bfloat16 is the upper half of an fp32.
  package static func widenBrain(_ bits: UInt16) -> Float {
    Float(bitPattern: UInt32(bits) << 16)
  }
}

/// An open file descriptor, closed with its last owner.
///
/// Reads carry their own offset (`pread`), so threads may share one.
final class SafetensorsDescriptor: Sendable {
  let raw: Int32

  init(path: String, flags: Int32, mode: mode_t = 0o666) throws(SafetensorsError) {
    guard !path.utf8.contains(0) else {
      throw .header(path: path, reason: "a path can't hold a zero byte")
    }
    let raw = open(path, flags | O_CLOEXEC, mode)
    guard raw >= 0 else { throw .system(path: path, call: "open", code: errno) }
    self.raw = raw
  }

  deinit {
    close(raw)
  }

  /// Fills `bytes` from the file's offset `start`.
  func read(
    into bytes: UnsafeMutableRawBufferPointer, at start: Int, path: String
  ) throws(SafetensorsError) {
    var done = 0
    while done < bytes.count {
      let rest = UnsafeMutableRawBufferPointer(rebasing: bytes[done...])
      let count = pread(raw, rest.baseAddress, rest.count, off_t(start + done))
      if count > 0 {
        done += count
      } else if count == 0 {
        throw .header(
          path: path,
          reason:
            "the file ended at byte \(start + done), \(bytes.count - done) bytes early: did it shrink while open?"
        )
      } else if errno != EINTR {
        throw .system(path: path, call: "pread", code: errno)
      }
    }
  }

  /// Fills an array's elements with the file's bytes from offset `start`.
  func read<Element: BitwiseCopyable>(
    into elements: inout [Element], at start: Int, path: String
  ) throws(SafetensorsError) {
    try elements.withUnsafeMutableBufferPointer { buffer throws(SafetensorsError) in
      try read(into: UnsafeMutableRawBufferPointer(buffer), at: start, path: path)
    }
  }

  /// Appends the bytes of all elements at the descriptor's position.
  func write<Element: BitwiseCopyable>(_ elements: [Element], path: String) throws(SafetensorsError) {
    try elements.withUnsafeBufferPointer { buffer throws(SafetensorsError) in
      try write(UnsafeRawBufferPointer(buffer), path: path)
    }
  }

  /// Appends all of `bytes` at the descriptor's position.
  func write(_ bytes: UnsafeRawBufferPointer, path: String) throws(SafetensorsError) {
    var done = 0
    while done < bytes.count {
      let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
      let count = Glibc.write(raw, rest.baseAddress, rest.count)
      if count >= 0 {
        done += count
      } else if errno != EINTR {
        throw .system(path: path, call: "write", code: errno)
      }
    }
  }
}
