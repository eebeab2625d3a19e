public import ArgumentParser
public import Datasets
import Foundation
import Runs
public import Slides

/// Pixels, or a share of something: "256" or "25%".
struct Amount: ExpressibleByArgument {
  let value: Double
  let isShare: Bool

  init?(argument: String) {
    isShare = argument.hasSuffix("%")
    guard let number = Double(isShare ? String(argument.dropLast()) : argument), number >= 0, number.isFinite else { return nil }
    value = isShare ? number / 100 : number
  }

  init(share: Double) { (value, isShare) = (share, true) }

  var defaultValueDescription: String { isShare ? "\(Int(value * 100))%" : "\(Int(value))" }

  /// As a share: percent, or a number from 0 to 1.
  var share: Double { value }

  func pixels(of whole: Int) -> Int { Int((isShare ? value * Double(whole) : value).rounded()) }
}

enum Preset: String, ExpressibleByArgument, CaseIterable { case kpis }

extension PatchGrid.Edge: ExpressibleByArgument {
  /// `moveLast` belongs to the challenge's own protocol.
  public static var allValueStrings: [String] { ["shift", "pad", "drop"] }
}
extension Stitcher.Blend: ExpressibleByArgument {}
extension PatchingOptions.Format: ExpressibleByArgument {}
extension Split: ExpressibleByArgument {}

/// What `patch`, `segment` and `evaluate` share: how large the patches' pixels are on the slide.
struct MagnificationOptions: ParsableArguments {
  @Option(help: "Level-0 pixels in a patch's pixel: 2, or by group NEP25=1,DN=2, or both NEP25=1,2 (1).")
  var scale: String?
  @Option(help: "Micrometres a patch's pixel has, instead of --scale; for slides that say their resolution.")
  var mpp: Double?
  @Option(help: "kpis: scale 2 but 1 for NEP25, patches of 2048 with half in common.")
  var preset: Preset?

  func validate() throws {
    if scale != nil, mpp != nil { throw ValidationError("Give --scale or --mpp, not both.") }
    if let mpp, !(0.01...100).contains(mpp) { throw ValidationError("--mpp should be from 0.01 to 100.") }
    _ = try magnification()
  }

  /// - Throws: where --scale names a group that none of the slides is of, and no scale for the others: theirs would be 1.
  func requireGroups(_ groups: [String]) throws {
    guard let scale, scale.split(separator: ",").allSatisfy({ $0.contains("=") }),
      case .scales(let named, _) = try magnification()
    else { return }
    let known = Set(groups.map { $0.lowercased() })
    guard let other = named.keys.sorted().first(where: { !known.contains($0) }) else { return }
    throw RunError.setting(
      name: "--scale", problem: "no slide is of a group '\(other)'; there are: \(Set(groups).sorted().joined(separator: ", "))")
  }

  func magnification() throws -> PatchingOptions.Magnification {
    if let mpp { return .micronsPerPixel(mpp) }
    guard let scale else { return preset == .kpis ? PatchingOptions.challengeMagnification : .scales([:], others: 1) }
    var groups: [String: Double] = [:]
    var others = 1.0
    for part in scale.split(separator: ",") {
      let sides = part.split(separator: "=", maxSplits: 1)
      guard let value = sides.last.flatMap({ Double($0) }), (0.01...256).contains(value) else {
        throw ValidationError("--scale should be a number from 0.01 to 256, or GROUP=NUMBER, with commas between.")
      }
      if sides.count == 2 { groups[sides[0].lowercased()] = value } else { others = value }
    }
    return .scales(groups, others: others)
  }
}
