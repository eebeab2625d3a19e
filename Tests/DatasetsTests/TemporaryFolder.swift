import Foundation
import Images

/// A folder that goes when the test is over.
final class TemporaryFolder {
  let path: String

  init() throws {
    let base = NSTemporaryDirectory() + "/glomseg-test-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: base, withIntermediateDirectories: true)
    // As `scan` reports paths: without links.
    path = URL(fileURLWithPath: base).resolvingSymlinksInPath().path
  }

  deinit {
    try? FileManager.default.removeItem(atPath: path)
  }

  /// Writes a flat grey picture at a relative path, PNG whatever its suffix.
  @discardableResult
  func picture(_ name: String, width: Int = 4, height: Int = 4, value: UInt8 = 0) throws -> String {
    let bytes = try ImageFile.encodePNG(
      PixelBuffer(width: width, height: height, channels: 1, filledWith: value))
    return try file(name, bytes)
  }

  @discardableResult
  func file(_ name: String, _ bytes: [UInt8]) throws -> String {
    let file = "\(path)/\(name)"
    try FileManager.default.createDirectory(
      atPath: (file as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
    try Data(bytes).write(to: URL(fileURLWithPath: file))
    return file
  }

  /// An image and its mask.
  func pair(_ folder: String, _ stem: String, value: UInt8 = 0) throws {
    try picture("\(folder)/img/\(stem)_img.jpg", value: value)
    try picture("\(folder)/mask/\(stem)_mask.jpg", value: value)
  }
}
