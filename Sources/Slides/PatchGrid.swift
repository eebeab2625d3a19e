/// Where the patches of an image lie: every pair of a column's x and a row's y, counted row by row.
public struct PatchGrid: Sendable, Equatable {
  /// What happens to the last patch of an axis when the steps don't end at the border.
  public enum Edge: String, Sendable, CaseIterable {
    /// It is added, moved back so that it ends at the border.
    case shift
    /// It is added in its place and reaches beyond the border.
    case pad
    /// There is none: pixels near the border are in no patch.
    case drop
    /// The last regular patch itself is moved to the border, as the KPIs challenge's slide evaluation does.
    case moveLast
  }

  public let patch: Int
  public let stride: Int
  public let edge: Edge
  /// Left and upper borders of the patches, ascending.
  public let columns: [Int]
  public let rows: [Int]

  /// - Parameters:
  ///   - width, height: of the image, pixels.
  ///   - patch: side of a patch. An image smaller than a patch has one at 0 that reaches beyond it (none with `.drop`).
  ///   - stride: 1 … patch.
  public init(width: Int, height: Int, patch: Int, stride: Int, edge: Edge) {
    precondition(patch > 0 && (1...patch).contains(stride), "a stride is from 1 to the patch's side")
    self.patch = patch
    self.stride = stride
    self.edge = edge
    columns = Self.places(width, patch, stride, edge)
    rows = Self.places(height, patch, stride, edge)
  }

  public var count: Int { columns.count * rows.count }

  /// The upper left corner of a patch.
  public subscript(index: Int) -> (x: Int, y: Int) {
    (columns[index % columns.count], rows[index / columns.count])
  }

  private static func places(_ length: Int, _ patch: Int, _ stride: Int, _ edge: Edge) -> [Int] {
    guard length > patch else { return length < patch && edge == .drop ? [] : [0] }
    var places = Array(Swift.stride(from: 0, through: length - patch, by: stride))
    guard let last = places.last, last + patch < length else { return places }
    switch edge {
    case .shift: places.append(length - patch)
    case .pad: places.append(last + stride)
    case .drop: break
    case .moveLast: places[places.count - 1] = length - patch
    }
    return places
  }
}
