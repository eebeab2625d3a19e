import Glibc
import ImageCodecs

/// PNG and JPEG files. The format is found by the first bytes, never by the suffix.
public enum ImageFile {
  /// What a header says.
  public struct Header: Sendable, Equatable {
    public enum Format: Sendable { case png, jpeg }
    public let width: Int
    public let height: Int
    /// Channels as stored, alpha counted.
    public let channels: Int
    public let bitDepth: Int
    public let format: Format
  }

  /// Decodes a file to 8 bits.
  ///
  /// Alpha is dropped, a palette looked up, 16 bits scaled to 8; colour asked for as grey is
  /// 0.299 R + 0.587 G + 0.114 B.
  ///
  /// - Parameter channels: 1 for grey, 3 for RGB, whatever the file holds.
  /// - Throws: for a file that is missing, cut short, damaged, over the size limits, or no image.
  public static func read(_ path: String, channels: Int) throws(ImageError) -> PixelBuffer {
    try decode(.path(path), channels: channels)
  }

  /// Decodes an image that is in memory already; `name` stands for the file in errors.
  public static func read(bytes: [UInt8], name: String = "image", channels: Int) throws(ImageError) -> PixelBuffer {
    try decode(.bytes(bytes, name: name), channels: channels)
  }

  /// Width and height in pixels, from the header alone.
  public static func size(_ path: String) throws(ImageError) -> (width: Int, height: Int) {
    let header = try header(path)
    return (header.width, header.height)
  }

  /// Reads the header alone.
  public static func header(_ path: String) throws(ImageError) -> Header {
    try header(.path(path))
  }

  /// Writes grey or RGB without loss, in place of what is there.
  public static func writePNG(_ image: PixelBuffer, to path: String) throws(ImageError) {
    try FileBytes.write(encodePNG(image, name: path), to: path)
  }

  /// Writes grey, or RGB with halved colour resolution (4:2:0), in place of what is there.
  ///
  /// - Parameter quality: 1 to 100.
  public static func writeJPEG(_ image: PixelBuffer, to path: String, quality: Int = 90) throws(ImageError) {
    try FileBytes.write(encodeJPEG(image, quality: quality, name: path), to: path)
  }

  /// The bytes of a PNG file; `name` stands for the file in errors.
  public static func encodePNG(_ image: PixelBuffer, name: String = "image") throws(ImageError) -> [UInt8] {
    try encode(image, name: name) { pixels, bytes, count, message in
      ic_encode_png(
        pixels, Int32(image.width), Int32(image.height), Int32(image.channels), bytes, count, message,
        messageByteCount)
    }
  }

  /// The bytes of a JPEG file; `name` stands for the file in errors.
  public static func encodeJPEG(
    _ image: PixelBuffer, quality: Int = 90, name: String = "image"
  ) throws(ImageError) -> [UInt8] {
    try encode(image, name: name) { pixels, bytes, count, message in
      ic_encode_jpeg(
        pixels, Int32(image.width), Int32(image.height), Int32(image.channels), Int32(clamping: quality), bytes,
        count, message, messageByteCount)
    }
  }

  // MARK: - Calls into C

  private enum Source {
    case path(String)
    case bytes([UInt8], name: String)

    var name: String {
      switch self {
      case .path(let path): path
      case .bytes(_, let name): name
      }
    }

    /// The C source is valid inside `body` alone.
    func withCSource<Result>(_ body: (ic_source) -> Result) -> Result {
      switch self {
      case .path(let path):
        path.withCString { body(ic_source(path: $0, bytes: nil, count: 0)) }
      case .bytes(let bytes, _):
        bytes.withUnsafeBufferPointer { body(ic_source(path: nil, bytes: $0.baseAddress, count: $0.count)) }
      }
    }
  }

  private static let messageByteCount = 256

  /// Gives `body` room for a message and turns its status into an error.
  private static func check(
    _ name: String, _ body: (UnsafeMutablePointer<CChar>) -> ic_status
  ) throws(ImageError) {
    let (status, reason) = withUnsafeTemporaryAllocation(of: CChar.self, capacity: messageByteCount) {
      message -> (ic_status, String) in
      message.initialize(repeating: 0)
      guard let base = message.baseAddress else { return (IC_MEMORY, "") }
      let status = body(base)
      return (status, status == IC_OK ? "" : String(cString: base))
    }
    if status != IC_OK { throw ImageError(kind(of: status), path: name, reason: reason) }
  }

  private static func kind(of status: ic_status) -> ImageError.Kind {
    switch status {
    case IC_MISSING: .missing
    case IC_IO: .unreadable
    case IC_NOT_IMAGE: .notAnImage
    case IC_TRUNCATED: .truncated
    case IC_TOO_LARGE: .tooLarge
    case IC_UNSUPPORTED: .unsupported
    case IC_MEMORY: .memory
    case IC_ARGUMENT: .argument
    default: .corrupt
    }
  }

  private static func header(_ source: Source) throws(ImageError) -> Header {
    var info = ic_info()
    try check(source.name) { message in
      source.withCSource { ic_read_info($0, &info, message, messageByteCount) }
    }
    return Header(
      width: Int(info.width), height: Int(info.height), channels: Int(info.channels), bitDepth: Int(info.bit_depth),
      format: info.format == IC_PNG ? .png : .jpeg)
  }

  private static func decode(_ source: Source, channels: Int) throws(ImageError) -> PixelBuffer {
    guard channels == 1 || channels == 3 else {
      throw ImageError(
        .argument, path: source.name, reason: "images are decoded to 1 or 3 channels, not \(channels)")
    }
    let header = try header(source)
    let count = header.width * header.height * channels
    var status = IC_OK
    var info = ic_info()
    var reason = ""
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { pixels, filled in
      guard let base = pixels.baseAddress else { return }
      do throws(ImageError) {
        try check(source.name) { message in
          status = source.withCSource { ic_decode($0, Int32(channels), base, count, &info, message, messageByteCount) }
          return status
        }
        filled = count
      } catch {
        reason = error.reason
      }
    }
    guard status == IC_OK else { throw ImageError(kind(of: status), path: source.name, reason: reason) }
    guard Int(info.width) == header.width, Int(info.height) == header.height else {
      throw ImageError(.corrupt, path: source.name, reason: "the image changed its size between two reads")
    }
    return PixelBuffer(width: header.width, height: header.height, channels: channels, bytes: bytes)
  }

  private typealias Encoder = (
    UnsafePointer<UInt8>, UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>, UnsafeMutablePointer<Int>,
    UnsafeMutablePointer<CChar>
  ) -> ic_status

  private static func encode(
    _ image: PixelBuffer, name: String, _ encoder: Encoder
  ) throws(ImageError) -> [UInt8] {
    var encoded: UnsafeMutablePointer<UInt8>?
    var count = 0
    defer { ic_free(encoded) }
    try check(name) { message in
      image.bytes.withUnsafeBufferPointer { pixels in
        guard let base = pixels.baseAddress else { return IC_ARGUMENT }
        return encoder(base, &encoded, &count, message)
      }
    }
    return [UInt8](UnsafeBufferPointer(start: encoded, count: count))
  }
}
