/// Which pixels of the validation patches a model takes for foreground, a bit each: what flips from one epoch to the next
/// is the measure of unsteady training.
struct Decisions: Sendable, Equatable {
  private(set) var words: [Int64] = []
  private(set) var count = 0

  init() {}

  /// - Parameter count: decisions in `words`.
  init?(words: [Int64], count: Int) {
    guard count >= 0, words.count == (count + 63) / 64 else { return nil }
    (self.words, self.count) = (words, count)
  }

  /// Adds logits' decisions at probability 0.5.
  mutating func add(_ logits: [Float]) {
    for logit in logits {
      if count % 64 == 0 { words.append(0) }
      if logit > 0 { words[words.count - 1] |= 1 << Int64(count % 64) }
      count += 1
    }
  }

  /// The share of decisions that differ; nil where the two are not of the same pixels.
  func changed(since other: Decisions) -> Double? {
    guard count == other.count, count > 0 else { return nil }
    let different = zip(words, other.words).reduce(0) { $0 + ($1.0 ^ $1.1).nonzeroBitCount }
    return Double(different) / Double(count)
  }
}
