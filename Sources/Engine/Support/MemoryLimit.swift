/// How much memory a plan may take.
///
/// Its description can be read back.
public enum MemoryLimit: Sendable, Equatable, CustomStringConvertible {
  /// 90% of what is free on the device, or of all its memory where the driver does not tell what is free.
  case automatic
  case bytes(Int)

  /// Reads "auto", or a number above 0 with a unit: "5GiB", "4800MB", "1.5 GiB", "1000000B".
  ///
  /// - Throws: `.request` saying what is understood.
  public init(_ text: String) throws(EngineError) {
    if text == "auto" {
      self = .automatic
      return
    }
    let units: [(String, Double)] = [
      ("kib", 0x1p10), ("mib", 0x1p20), ("gib", 0x1p30), ("tib", 0x1p40), ("kb", 1e3), ("mb", 1e6), ("gb", 1e9), ("tb", 1e12),
      ("b", 1),
    ]
    let lower = text.lowercased()
    guard let (unit, factor) = units.first(where: { lower.hasSuffix($0.0) }),
      let number = Double(lower.dropLast(unit.count).filter { $0 != " " }), number.isFinite, number * factor >= 1,
      number * factor < 0x1p62
    else { throw .request("a memory limit is auto or a size such as 5GiB or 4800MB, not '\(text)'") }
    self = .bytes(Int(number * factor))
  }

  public var description: String {
    switch self {
    case .automatic: "auto"
    case .bytes(let count) where count % (1 << 30) == 0: "\(count >> 30)GiB"
    case .bytes(let count) where count % (1 << 20) == 0: "\(count >> 20)MiB"
    case .bytes(let count): "\(count)B"
    }
  }

  /// Bytes on a device; no more than the device has. `Int.max` where nothing is known.
  public func bytes(on backend: any Backend) -> Int {
    // A driver that does not tell its memory says 0.
    let all = backend.traits.memoryBytes > 0 ? backend.traits.memoryBytes : Int.max
    switch self {
    case .bytes(let count): return min(count, all)
    case .automatic:
      let free = min(backend.freeBytes ?? all, all)
      return free == .max ? free : free / 10 * 9
    }
  }
}
