import Datasets
import Engine

extension RunConfiguration {
  /// - Throws: `.setting` naming the first value that makes no sense.
  func check() throws(RunError) {
    func check(_ holds: Bool, _ name: String, _ problem: String) throws(RunError) {
      if !holds { throw .setting(name: name, problem: problem) }
    }
    try check(
      VariableUNet.sides.contains(patch), "patch", "should be a multiple of 16, at most 65520, not \(patch)")
    try check(
      (0...1).contains(inputScale), "input_scale", "should be above 0 and at most 1, or 0 to go by patch, not \(inputScale)")
    try check(
      VariableUNet.bases.contains(base) && base % 2 == 0, "base",
      "should be even, from 2 to \(VariableUNet.bases.upperBound), not \(base)")
    try check((1...65_535).contains(batch), "batch", "should be from 1 to 65535, not \(batch)")
    try check(microBatch >= 1, "micro_batch", "should be at least 1, not \(microBatch)")
    try check(epochs >= 1, "epochs", "should be at least 1, not \(epochs)")
    try check(learningRate > 0 && learningRate.isFinite, "learning_rate", "should be above 0, not \(learningRate)")
    try check(
      warmupEpochs >= 0 && warmupEpochs <= Double(epochs), "warmup_epochs",
      "should be from 0 to the epochs, \(epochs), not \(warmupEpochs)")
    try check(clipNorm >= 0 && clipNorm.isFinite, "clip_norm", "should be at least 0, not \(clipNorm)")
    try check((0..<1).contains(average), "average", "should be from 0 to below 1, not \(average)")
    try check(earlyStop >= 0, "early_stop", "should be at least 0 epochs, not \(earlyStop)")
    try check(
      selection.share > 0 && selection.share <= 1, "subset", "should be above 0 and at most 1, not \(selection.share)")
    try check(recalibrate >= 0, "recalibrate", "should be at least 0 batches, not \(recalibrate)")
    try check(
      recalibrate == 0 || norm == .batch, "recalibrate",
      "goes with norm batch: with \(norm.rawValue) there are no statistics to estimate")
    try check(
      norm != .batchFrozen || !startFrom.isEmpty, "norm",
      "batch-frozen keeps the statistics of the model that training starts from: give one with start_from")
    try check((0...1).contains(weightDecay), "weight_decay", "should be from 0 to 1, not \(weightDecay)")
    try check((0...1).contains(bceWeight), "bce_weight", "should be from 0 to 1, not \(bceWeight)")
    try check(positiveWeight > 0 && positiveWeight.isFinite, "pos_weight", "should be above 0, not \(positiveWeight)")
    try check(diceSmooth >= 0 && diceSmooth.isFinite, "dice_smooth", "should be at least 0, not \(diceSmooth)")
    for (name, value) in [("brightness", augmentation.brightness), ("contrast", augmentation.contrast)] {
      try check((0..<1).contains(value), name, "should be from 0 to below 1, not \(value)")
    }
    for (name, value) in [
      ("flip_probability", augmentation.flipProbability), ("turn_probability", augmentation.turnProbability),
      ("light_probability", augmentation.lightProbability),
      ("warp_probability", augmentation.warpProbability), ("stain_probability", augmentation.stainProbability),
      ("blur_probability", augmentation.blurProbability), ("noise_probability", augmentation.noiseProbability),
      ("scaling", augmentation.scaling), ("elastic", augmentation.elastic), ("stain", augmentation.stain),
      ("noise", Double(augmentation.noise)),
    ] {
      try check((0...1).contains(value), name, "should be from 0 to 1, not \(value)")
    }
    try check(
      (0...180).contains(augmentation.rotation), "rotation", "should be from 0 to 180 degrees, not \(augmentation.rotation)")
    try check((0...20).contains(augmentation.blur), "blur", "should be from 0 to 20 pixels, not \(augmentation.blur)")
    try check(threads >= 1, "threads", "should be at least 1, not \(threads)")
    try check((0...1 << 30).contains(cacheMiB), "cache_mib", "should be from 0 to \(1 << 30), not \(cacheMiB)")
  }
}
