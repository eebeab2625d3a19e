public import Images

/// Small pictures of patches with their masks' outlines, a row for each split and group.
public enum ContactSheet {
  /// - Parameters:
  ///   - side: of a small picture, pixels.
  ///   - columns: patches in a row, evenly taken from the group's.
  /// - Returns: the sheet, and what each of its rows shows.
  /// - Throws: where a patch cannot be read; `.empty` for a data set without patches.
  public static func draw(
    _ dataset: PatchDataset, side: Int = 160, columns: Int = 8
  ) throws(DatasetError) -> (sheet: PixelBuffer, rows: [String]) {
    var groups: [(name: String, pairs: [PatchPair])] = []
    for pair in dataset.pairs {
      let name = "\(pair.split.rawValue)/\(pair.group)"
      if groups.last?.name == name { groups[groups.count - 1].pairs.append(pair) } else { groups.append((name, [pair])) }
    }
    guard !groups.isEmpty else { throw .empty("\(dataset.root): there are no patches to draw") }
    let gap = 4
    var sheet = PixelBuffer(
      width: columns * (side + gap) - gap, height: groups.count * (side + gap) - gap, channels: 3, filledWith: 255)
    for (row, group) in groups.enumerated() {
      let count = min(columns, group.pairs.count)
      for column in 0..<count {
        let pair = group.pairs[column * group.pairs.count / count]
        let small: PixelBuffer
        do throws(ImageError) {
          let image = try ImageFile.read(pair.imagePath, channels: 3).resized(width: side, height: side, filter: .bilinear)
          let mask = try ImageFile.read(pair.maskPath, channels: 1).resized(width: side, height: side, filter: .nearest)
          small = image.outlined(mask, in: .green)
        } catch {
          throw .image(error)
        }
        for line in 0..<side {
          let start = 3 * ((row * (side + gap) + line) * sheet.width + column * (side + gap))
          sheet.bytes.replaceSubrange(start..<start + 3 * side, with: small.bytes[3 * line * side..<3 * (line + 1) * side])
        }
      }
    }
    return (sheet, groups.map(\.name))
  }
}
