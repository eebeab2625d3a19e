import Threads

/// The decoded blocks that were used last, up to a number of bytes.
final class BlockCache: Sendable {
  struct Key: Hashable, Sendable {
    let level: Int
    let block: Int
  }

  private struct State: Sendable {
    var blocks: [Key: (bytes: [UInt8], used: Int)] = [:]
    var byteCount = 0
    var clock = 0
  }

  let byteLimit: Int
  private let state = Monitor(State())

  init(byteLimit: Int) { self.byteLimit = byteLimit }

  func block(_ key: Key) -> [UInt8]? {
    state.change { state in
      state.clock += 1
      state.blocks[key]?.used = state.clock
      return state.blocks[key]?.bytes
    }
  }

  func insert(_ bytes: [UInt8], for key: Key) {
    guard bytes.count <= byteLimit else { return }
    state.change { state in
      guard state.blocks[key] == nil else { return }
      if state.byteCount + bytes.count > byteLimit {
        // A quarter goes at once, so that the search for the oldest is rare.
        var left = state.byteCount + bytes.count - byteLimit * 3 / 4
        for (old, entry) in state.blocks.sorted(by: { $0.value.used < $1.value.used }) {
          state.blocks[old] = nil
          state.byteCount -= entry.bytes.count
          left -= entry.bytes.count
          if left <= 0 { break }
        }
      }
      state.clock += 1
      state.blocks[key] = (bytes, state.clock)
      state.byteCount += bytes.count
    }
  }

  /// For tests.
  var byteCount: Int { state.change { $0.byteCount } }
}
