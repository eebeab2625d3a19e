/// Places arena values in slabs: first fit by decreasing size over live intervals.
///
/// A slab never exceeds the device's largest allocation, and a value never straddles two.
struct MemoryPlanner {
  /// A region wanted over a closed interval of node indices.
  struct Request {
    let byteCount: Int
    let first: Int
    let last: Int
  }

  /// Where a request landed.
  struct Extent: Hashable, Sendable {
    let slab: Int
    let offset: Int
  }

  let alignment: Int
  let slabLimit: Int

  /// - Returns: an extent per request, and the bytes of each slab.
  /// - Throws: `.memory` where a single request exceeds the slab limit.
  func place(_ requests: [Request]) throws(EngineError) -> (extents: [Extent], slabBytes: [Int]) {
    var extents = [Extent](repeating: Extent(slab: 0, offset: 0), count: requests.count)
    var slabBytes: [Int] = []
    // Placed requests by slab, each list ordered by offset.
    var placed: [[(offset: Int, end: Int, request: Int)]] = []
    let order = requests.indices.sorted {
      (requests[$0].byteCount, requests[$1].first, $1) > (requests[$1].byteCount, requests[$0].first, $0)
    }
    for index in order {
      let request = requests[index]
      let size = (max(1, request.byteCount) + alignment - 1) / alignment * alignment
      guard size <= slabLimit else {
        throw .memory(
          neededBytes: size, availableBytes: slabLimit, purpose: "the largest single value of the plan")
      }
      var home: Extent?
      for slab in 0...placed.count {
        if slab == placed.count {
          placed.append([])
          slabBytes.append(0)
        }
        var offset = 0
        for other in placed[slab] where overlap(requests[other.request], request) {
          if offset + size <= other.offset { break }
          offset = max(offset, other.end)
        }
        if offset + size <= slabLimit {
          home = Extent(slab: slab, offset: offset)
          break
        }
      }
      guard let home else { preconditionFailure("a new slab holds any value below the limit") }
      extents[index] = home
      slabBytes[home.slab] = max(slabBytes[home.slab], home.offset + size)
      let at = placed[home.slab].firstIndex { $0.offset >= home.offset } ?? placed[home.slab].count
      placed[home.slab].insert((home.offset, home.offset + size, index), at: at)
    }
    return (extents, slabBytes)
  }

  private func overlap(_ a: Request, _ b: Request) -> Bool { a.first <= b.last && b.first <= a.last }
}
