/// How a model normalises activations.
public enum Normalization: String, Sendable, CaseIterable {
  /// Over images and pixels of a channel; by running statistics in inference.
  case batch
  /// As `batch`, but by the running statistics in training too: for training on from a model that has good ones.
  case batchFrozen = "batch-frozen"
  /// Over pixels of up to 8 channels in one image: the same in training and inference, whatever the batch.
  case group

  /// Channels of a group; fewer where a layer's width, or that of one of its branches, is no multiple.
  static let mostChannelsPerGroup = 8
}

func greatestCommonDivisor(_ a: Int, _ b: Int) -> Int { b == 0 ? a : greatestCommonDivisor(b, a % b) }
