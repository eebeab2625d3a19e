import Runs
import Slides
import Testing

@Suite struct SlideScoresTests {
  /// Rows of text: anything but a dot is foreground.
  private func mask(_ rows: String...) -> RunMask {
    let width = rows[0].count
    var mask = RunMask(width: width, height: rows.count)
    for row in rows {
      mask.appendRow(row.enumerated().filter { $0.element != "." }.map { RunMask.Run(start: $0.offset, end: $0.offset + 1) })
    }
    return mask
  }

  @Test func pixelsAndObjects() {
    let truth = mask(
      "####....####",
      "#..#....####",
      "#..#........",
      "####...#####")
    let prediction = mask(
      "####......##",
      "####......##",
      "####........",
      "####.###....")
    let scores = SlideScores(prediction: prediction, truth: truth)
    // 12 + 4 + 1 pixels in common of 23 predicted and 25 true.
    #expect(scores.pixels.precision == 17.0 / 23 && scores.pixels.recall == 17.0 / 25)
    #expect(abs(scores.pixels.dice - 34.0 / 48) < 1e-12 && scores.pixels.f1 == scores.pixels.dice)
    // The ring is filled and equal; half of the square is just enough; 1 of 7 is not.
    #expect(scores.predicted == 3 && scores.annotated == 3)
    #expect(scores.detection.precision == 2.0 / 3 && scores.detection.recall == 2.0 / 3)
    #expect(abs(scores.detection.f1 - 2.0 / 3) < 1e-12)
  }

  /// At an IoU of a half partners are unique, so the two rules give one answer.
  @Test func bothMatchingRulesAgree() {
    for seed in 0..<20 {
      func blobs(_ shift: Int) -> RunMask {
        var mask = RunMask(width: 60, height: 40)
        for y in 0..<40 {
          mask.appendRow(
            (0..<6).compactMap { i in
              (y / 8 + i + seed) % 3 == 0 || y % 8 == 7
                ? nil : RunMask.Run(start: i * 10 + (i * seed + shift) % 4, end: i * 10 + 5 + (seed + i * shift) % 4)
            })
        }
        return mask
      }
      let (a, b) = (blobs(0), blobs(3))
      #expect(
        SlideScores(prediction: a, truth: b, matching: .any) == SlideScores(prediction: a, truth: b, matching: .oneToOne))
      #expect(SlideScores(prediction: a, truth: a).detection.f1 == 1)
    }
  }

  @Test func holesAreFilledBeforeObjectsAreMatched() {
    let ring = mask(
      "#####..",
      "#...#..",
      "#...#..",
      "#...#..",
      "#####..")
    let disc = mask(
      "#####..",
      "#####..",
      "###....",
      ".......",
      ".......")
    let one = SlideScores(prediction: disc, truth: ring)
    #expect(one.detection.recall == 1 && one.annotated == 1, "13 of 25 pixels of the filled ring")
  }

  @Test func emptyMasks() {
    let nothing = mask("....", "...."), something = mask("##..", "....")
    let both = SlideScores(prediction: nothing, truth: nothing)
    #expect(both.pixels.dice == 1 && both.pixels.f1 == 0 && both.detection.f1 == 0)
    let missed = SlideScores(prediction: nothing, truth: something)
    #expect(missed.pixels.dice == 0 && missed.detection.recall == 0 && missed.annotated == 1)
    let mean = SlideScores(meanOf: [both, missed])
    #expect(mean.pixels.dice == 0.5 && mean.annotated == 1)
  }
}
