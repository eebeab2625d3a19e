/// An RGB colour of 8 bits a channel.
public struct Colour: Sendable, Equatable {
  public var red: UInt8
  public var green: UInt8
  public var blue: UInt8

  public init(red: UInt8, green: UInt8, blue: UInt8) {
    self.red = red
    self.green = green
    self.blue = blue
  }

  public static let green = Colour(red: 0, green: 200, blue: 0)
  public static let yellow = Colour(red: 255, green: 220, blue: 0)
}

/// Pictures for a person to look at: images beside each other, outlines of masks.
public enum Panel {
  /// Puts images of the same height beside each other, left to right, as RGB.
  ///
  /// - Parameters:
  ///   - images: one or more, grey or RGB.
  ///   - gap: white pixels between two images.
  public static func sideBySide(_ images: [PixelBuffer], gap: Int = 4) -> PixelBuffer {
    precondition(!images.isEmpty, "a panel holds at least one image")
    let height = images[0].height
    precondition(images.allSatisfy { $0.height == height }, "the images of a panel have the same height")
    let width = images.reduce(0) { $0 + $1.width } + gap * (images.count - 1)
    var panel = PixelBuffer(width: width, height: height, channels: 3, filledWith: 255)
    var left = 0
    for image in images {
      let colour = image.rgb()
      let rowBytes = 3 * image.width
      for y in 0..<height {
        let target = 3 * (y * width + left)
        panel.bytes.replaceSubrange(
          target..<target + rowBytes, with: colour.bytes[y * rowBytes..<(y + 1) * rowBytes])
      }
      left += image.width + gap
    }
    return panel
  }
}

extension PixelBuffer {
  /// The image in RGB with the outline of a mask drawn on it.
  ///
  /// The outline is every foreground pixel within `thickness` pixels (along rows and columns) of the background;
  /// the image's own border is no outline.
  ///
  /// - Parameters:
  ///   - mask: one channel, the same size, 128 or more is foreground.
  ///   - thickness: in pixels, 1 or more.
  public func outlined(_ mask: PixelBuffer, in colour: Colour, thickness: Int = 1) -> PixelBuffer {
    precondition(mask.channels == 1, "a mask has one channel")
    precondition(mask.width == width && mask.height == height, "a mask is as large as its image")
    var picture = rgb()
    var inside = mask.bytes.map { $0 >= 128 }
    for _ in 0..<max(1, thickness) {
      var edge: [Int] = []
      for y in 0..<height {
        for x in 0..<width where inside[y * width + x] {
          let i = y * width + x
          if (x > 0 && !inside[i - 1]) || (x + 1 < width && !inside[i + 1]) || (y > 0 && !inside[i - width])
            || (y + 1 < height && !inside[i + width])
          {
            edge.append(i)
          }
        }
      }
      for i in edge {
        picture.bytes[3 * i] = colour.red
        picture.bytes[3 * i + 1] = colour.green
        picture.bytes[3 * i + 2] = colour.blue
        inside[i] = false
      }
    }
    return picture
  }
}
