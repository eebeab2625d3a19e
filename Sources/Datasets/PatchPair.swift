/// The three parts of a data set. Folder names are compared without case.
public enum Split: String, Sendable, Hashable, CaseIterable, Codable {
  case train, validation, test

  init?(folder: Substring) {
    self.init(rawValue: folder.lowercased())
  }
}

/// An image patch and its mask.
public struct PatchPair: Sendable, Hashable {
  public let split: Split
  /// The disease model or stain, in the spelling of the first pair of the data set that has it.
  public let group: String
  /// The case (slide, animal, patient).
  public let caseName: String
  /// The file name up to `_<index>_<x>_<y>`.
  public let prefix: String
  public let index: Int
  /// Place of the patch in its slide, in pixels of the slide.
  public let x: Int
  public let y: Int
  public let imagePath: String
  public let maskPath: String
  /// Size in pixels, of image and mask alike, by their headers.
  public internal(set) var width: Int
  public internal(set) var height: Int
  /// Mask pixels of 128 or more; `nil` until `PatchDataset.verified` has decoded the mask.
  public internal(set) var foregroundCount: Int?
  /// The mask's largest value; `nil` until then. Between 1 and 127 it is a mask of glomeruli that does not count as one.
  public internal(set) var maskMaximum: UInt8?
  /// Diameters of the discs with the areas of the mask's objects that don't touch its border, in pixels of the file;
  /// `nil` until then.
  public internal(set) var objectDiameters: [Double]?
  /// Of the image's pixels: two patches with one digest are one picture. `nil` until then.
  public internal(set) var imageDigest: UInt64?
}

/// `<prefix>_<index>_<x>_<y>_img.jpg` and the like, taken apart. The prefix may hold underscores itself, so fields
/// are counted from the end.
struct PatchFileName: Hashable {
  enum Role: String { case image = "img", mask }

  let role: Role
  let prefix: String
  let index: Int
  let x: Int
  let y: Int

  static let suffixes: Set<String> = ["jpg", "jpeg", "png"]

  /// Whether the name's suffix is one of an image; hidden files (`._x.jpg` of macOS) are none.
  static func isImage(_ name: String) -> Bool {
    guard !name.hasPrefix("."), let dot = name.lastIndex(of: ".") else { return false }
    return suffixes.contains(name[name.index(after: dot)...].lowercased())
  }

  /// Whether a file is a picture that is not read as a patch: one that a data set should not lack without a word.
  static func isOtherPicture(_ name: String) -> Bool {
    guard !name.hasPrefix("."), let dot = name.lastIndex(of: ".") else { return false }
    return ["tif", "tiff", "bmp", "webp", "gif", "jp2"].contains(name[name.index(after: dot)...].lowercased())
  }

  /// `nil` for a name of another form.
  init?(_ name: String) {
    guard Self.isImage(name), let dot = name.lastIndex(of: ".") else { return nil }
    let fields = name[..<dot].split(separator: "_", omittingEmptySubsequences: false)
    guard fields.count >= 5, let role = Role(rawValue: fields[fields.count - 1].lowercased()),
      let index = Int(fields[fields.count - 4]), let x = Int(fields[fields.count - 3]),
      let y = Int(fields[fields.count - 2])
    else { return nil }
    self.role = role
    self.prefix = fields[..<(fields.count - 4)].joined(separator: "_")
    self.index = index
    self.x = x
    self.y = y
  }
}
