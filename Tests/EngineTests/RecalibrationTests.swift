import OpSuite
import Testing

@testable import Engine

@Suite(.serialized) struct RecalibrationTests {
  private struct Stop: Error {}

  private func images(_ seed: UInt64, count: Int) -> [Float] {
    Tensor64(random: [count, 3, 32, 16], seed: seed, in: 0...1).floats
  }

  private func session(_ backend: any Backend) throws -> TrainingSession {
    try TrainingSession(VariableUNet(base: 4), batch: 2, height: 32, width: 16, on: backend, seed: 3)
  }

  private func recalibrated(_ session: TrainingSession, _ batches: [(images: [Float], count: Int)]) throws -> [Float] {
    var rest = batches[...]
    try session.recalibrate { rest.popFirst() }
    return try session.state.read(.running)
  }

  /// Of several batches it is the mean of what each alone gives, weighted by images.
  @Test func statisticsAreMeansOverBatches() throws {
    for backend in try Devices.all() {
      let session = try session(backend)
      let (a, b) = ((images: images(1, count: 2), count: 2), (images: images(2, count: 1), count: 1))
      let (first, second) = (try recalibrated(session, [a]), try recalibrated(session, [b]))
      let both = try recalibrated(session, [a, b])
      #expect(first != second)
      for index in both.indices {
        let want = (2 * Double(first[index]) + Double(second[index])) / 3
        #expect(abs(Double(both[index]) - want) <= 1e-6 * max(1, abs(want)))
      }
    }
  }

  /// The first batch norm's statistics against plain sums over its convolution's output.
  @Test func statisticsAreThoseOfTheActivations() throws {
    for backend in try Devices.all() {
      let session = try session(backend)
      func parameter(_ name: String) throws -> Tensor64 {
        let entry = try #require(session.layout.entries.first { $0.name == name })
        return Tensor64(entry.dimensions, try session.state.read(entry.slab, offset: entry.offset, count: entry.count))
      }
      let batch = images(4, count: 2)
      let parameters = try session.state.read(.parameters)
      _ = try recalibrated(session, [(images: batch, count: 2)])
      #expect(try session.state.read(.parameters) == parameters)
      let z = Reference.conv2d(
        Tensor64([2, 3, 32, 16], batch), weight: try parameter("enc1.double_conv.0.weight"),
        bias: try parameter("enc1.double_conv.0.bias"), padding: 1, dilation: 1)
      let mean = try parameter("enc1.double_conv.1.running_mean")
      let variance = try parameter("enc1.double_conv.1.running_var")
      let plane = 32 * 16
      for c in 0..<4 {
        var values: [Double] = []
        for n in 0..<2 {
          let first = (n * 4 + c) * plane
          values += z.values[first..<first + plane]
        }
        let wanted = values.reduce(0, +) / Double(values.count)
        var squares = 0.0
        for value in values { squares += (value - wanted) * (value - wanted) }
        let spread = squares / Double(values.count - 1)
        #expect(abs(mean.values[c] - wanted) < 1e-5)
        #expect(abs(variance.values[c] - spread) < 1e-5)
      }
    }
  }

  @Test func anErrorLeavesTheStatisticsAsTheyWere() throws {
    let session = try session(try #require(try Devices.all().first))
    let before = try session.state.read(.running)
    var first = true
    #expect(throws: Stop.self) {
      try session.recalibrate {
        guard first else { throw Stop() }
        first = false
        return (images: images(5, count: 2), count: 2)
      }
    }
    #expect(try session.state.read(.running) == before)
    try session.recalibrate { nil }
    #expect(try session.state.read(.running) == before)
  }
}
