import Glibc

/// A slide and the mask that belongs to it.
public struct SlideCase: Sendable, Equatable {
  public let path: String
  /// TIFF, PNG, JPEG or GeoJSON; `nil` where none was found.
  public let maskPath: String?
  /// Where the slide lies in a folder of that name.
  public let split: Split?
  public let group: String
  /// The file's name without suffix and `_wsi`.
  public let caseName: String
}

/// Slides in the layout of the KPIs challenge's second task, or any others.
///
/// ```
/// <split>/<group>/<case>_wsi.tiff              with <case>_mask.tiff beside it
/// <split>/<group>/image_wsi/<case>_wsi.tiff    with ../mask_wsi/<case>_mask.tiff  (also img and mask)
/// <group>/<case>.<suffix>                      with <case>_mask.tiff, .png or <case>.geojson beside it
/// ```
public enum SlideSet {
  static let suffixes: Set<String> = [
    "tif", "tiff", "btf", "svs", "ndpi", "scn", "mrxs", "bif", "vms", "vmu", "svslide", "czi",
  ]
  private static let imageFolders = ["image_wsi": "mask_wsi", "img": "mask", "images": "masks", "wsi": "mask"]
  private static let maskSuffixes = ["tiff", "tif", "png", "jpg", "geojson"]

  /// The slides that paths mean: files themselves, and all below folders, in sorted order.
  ///
  /// - Parameters:
  ///   - mask: the mask's file, where there is one slide and it does not lie at its usual place.
  ///   - group: instead of the folder's name.
  /// - Throws: `.noDataset` for a path that is missing or holds no slide; `.option` where two slides have one name.
  public static func find(_ paths: [String], mask: String? = nil, group: String? = nil) throws(DatasetError) -> [SlideCase] {
    var cases: [SlideCase] = []
    for path in paths {
      guard let absolute = FolderWalk.absolutePath(path) else {
        throw .noDataset(root: path, reason: "there is no such slide or folder", expected: layout)
      }
      guard FolderWalk.isFolder(absolute) else {
        cases.append(describe(absolute, given: path, mask: mask, group: group))
        continue
      }
      let walk = FolderWalk(root: absolute)
      // What cannot be listed may hold slides, and scores of the others would pass for those of all.
      let hidden = { (path: String) in path.hasSuffix("/lost+found") || path.contains("/.") }
      if let bad = walk.unreadable.first(where: { !hidden($0.path) }) {
        throw .option("\(bad.path): \(bad.reason); slides can be named one by one")
      }
      let files = walk.files.filter(isSlide)
      if files.isEmpty { throw .noDataset(root: path, reason: "there are no slides", expected: layout) }
      let root = path.hasSuffix("/") && path.count > 1 ? String(path.dropLast()) : path
      for file in files {
        cases.append(describe(file, given: root + file.dropFirst(absolute.count), mask: mask, group: group))
      }
    }
    var seen: [String: String] = [:]
    for one in cases {
      let name = "\(one.split?.rawValue ?? "")/\(one.group)/\(one.caseName)"
      if let first = seen[name] {
        throw .option("\(one.path) and \(first) would have one name, \(one.group)/\(one.caseName): give them groups of their own")
      }
      seen[name] = one.path
    }
    guard mask == nil || cases.count == 1 else {
      throw .option("--mask is for one slide, and \(cases.count) were given")
    }
    return cases
  }

  static let layout = "<group>/<case>_wsi.tiff with <case>_mask.tiff, or folders image_wsi and mask_wsi"

  private static func isSlide(_ path: String) -> Bool {
    let parts = path.split(separator: "/")
    guard let name = parts.last, !name.hasPrefix("."), let dot = name.lastIndex(of: "."),
      suffixes.contains(name[name.index(after: dot)...].lowercased())
    else { return false }
    if name[..<dot].lowercased().hasSuffix("_mask") { return false }
    return parts.count < 2 || !imageFolders.values.contains(parts[parts.count - 2].lowercased())
  }

  private static func describe(_ absolute: String, given: String, mask: String?, group: String?) -> SlideCase {
    let parts = absolute.split(separator: "/").map(String.init)
    let name = parts.last ?? absolute
    var stem = name.lastIndex(of: ".").map { String(name[..<$0]) } ?? name
    if stem.lowercased().hasSuffix(".ome") { stem = String(stem.dropLast(4)) }
    let caseName = stem.lowercased().hasSuffix("_wsi") ? String(stem.dropLast(4)) : stem
    let folder = given.lastIndex(of: "/").map { String(given[..<$0]) } ?? "."
    let folderName = parts.dropLast().last ?? ""
    let maskFolder = imageFolders[folderName.lowercased()]
    let groupParts = maskFolder == nil ? parts.dropLast() : parts.dropLast(2)
    let split = parts.dropLast().reversed().lazy.compactMap { Split(folder: $0[...]) }.first

    var found = mask
    if found == nil {
      var places = [folder]
      if let maskFolder { places.append("\(folder)/../\(maskFolder)") }
      search: for place in places {
        for suffix in maskSuffixes {
          for candidate in ["\(caseName)_mask.\(suffix)", "\(stem)_mask.\(suffix)"]
            + (suffix == "geojson" ? ["\(stem).geojson"] : [])
          {
            // One that cannot be read says so when it is.
            if access("\(place)/\(candidate)", F_OK) == 0 {
              found = "\(place)/\(candidate)"
              break search
            }
          }
        }
      }
    }
    return SlideCase(
      path: given, maskPath: found, split: split, group: group ?? groupParts.last ?? "slides", caseName: caseName)
  }
}
