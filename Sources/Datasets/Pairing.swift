extension PatchDataset {
  /// What a patch is called wherever its files lie; image and mask of a pair have the same.
  private struct Key: Hashable {
    let split: Split
    /// Without case.
    let group: String
    let caseName: String
    let prefix: String
    let index, x, y: Int

    /// The order of the pairs in a data set.
    static func precedes(_ a: Key, _ b: Key) -> Bool {
      let (splitA, splitB) = (Split.allCases.firstIndex(of: a.split), Split.allCases.firstIndex(of: b.split))
      if splitA != splitB { return splitA ?? 0 < splitB ?? 0 }
      if a.group != b.group { return a.group < b.group }
      if a.caseName != b.caseName { return a.caseName < b.caseName }
      if a.prefix != b.prefix { return a.prefix < b.prefix }
      return (a.index, a.x, a.y) < (b.index, b.x, b.y)
    }
  }

  private struct Files {
    /// As its folder is spelt.
    let group: String
    var image: String?
    var mask: String?
  }

  /// Pairs files by their names. The order of `files` does not matter.
  ///
  /// - Parameter files: absolute paths; those outside `img` and `mask` folders and those that are no pictures by
  ///   their suffix are passed over; pictures of other formats than JPEG and PNG are faults.
  /// - Returns: the pairs, images without a mask (which are faults too), and all faults.
  static func pair(
    _ files: [String]
  ) -> (pairs: [PatchPair], alone: [(split: Split, image: String)], faults: [DatasetFault]) {
    var patches: [Key: Files] = [:]
    var misplaced: Set<String> = []
    var faults: [DatasetFault] = []
    var alone: [(split: Split, image: String)] = []

    for path in files.sorted() {
      let parts = path.split(separator: "/")
      guard parts.count >= 2, let name = parts.last.map(String.init),
        PatchFileName.isImage(name) || PatchFileName.isOtherPicture(name),
        let folder = PatchFileName.Role(rawValue: parts[parts.count - 2].lowercased())
      else { continue }

      guard let patch = PatchFileName(name), patch.role == folder else {
        faults.append(
          DatasetFault(
            .misnamed, path,
            "in a folder '\(folder.rawValue)' files are called <prefix>_<index>_<x>_<y>_\(folder.rawValue).jpg or .png"
          ))
        continue
      }
      guard parts.count >= 5, let split = Split(folder: parts[parts.count - 5]) else {
        let directory = String(path.dropLast(name.count + 1))
        if misplaced.insert(directory).inserted {
          faults.append(
            DatasetFault(
              .misplaced, directory, "the folder does not lie at {train,validation,test}/<group>/<case>/"))
        }
        continue
      }

      let group = String(parts[parts.count - 4])
      let key = Key(
        split: split, group: group.lowercased(), caseName: String(parts[parts.count - 3]), prefix: patch.prefix,
        index: patch.index, x: patch.x, y: patch.y)
      let slot: WritableKeyPath<Files, String?> = patch.role == .image ? \.image : \.mask
      if let first = patches[key, default: Files(group: group)][keyPath: slot] {
        faults.append(DatasetFault(.duplicate, path, "a second file for the patch of \(first)"))
      } else {
        patches[key, default: Files(group: group)][keyPath: slot] = path
      }
    }

    var pairs: [PatchPair] = []
    var groupSpelling: [String: String] = [:]
    for (key, files) in patches.sorted(by: { Key.precedes($0.key, $1.key) }) {
      let group = groupSpelling[key.group] ?? files.group
      groupSpelling[key.group] = group
      switch (files.image, files.mask) {
      case (let image?, let mask?):
        pairs.append(
          PatchPair(
            split: key.split, group: group, caseName: key.caseName, prefix: key.prefix,
            index: key.index, x: key.x, y: key.y, imagePath: image, maskPath: mask, width: 0,
            height: 0))
      case (let image?, nil):
        alone.append((key.split, image))
        faults.append(DatasetFault(.imageWithoutMask, image, "the image has no mask of the same name"))
      case (nil, let mask?):
        faults.append(DatasetFault(.maskWithoutImage, mask, "the mask has no image of the same name"))
      case (nil, nil):
        break
      }
    }
    return (pairs, alone, faults.sorted { $0.path < $1.path })
  }
}
