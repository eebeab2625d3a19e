import OpSuite
import Testing

@testable import Engine

@Suite(.serialized) struct AveragedParametersTests {
  private let images = Tensor64(random: [2, 3, 16, 16], seed: 1, in: 0...1).floats
  private let target = Tensor64(random: [2, 1, 16, 16], seed: 2, in: 0...1).floats.map { $0 < 0.3 ? Float(1) : 0 }

  private func session(_ backend: any Backend, averages: Bool = true) throws -> TrainingSession {
    try TrainingSession(VariableUNet(base: 4), batch: 2, height: 16, width: 16, on: backend, averages: averages, seed: 3)
  }

  @Test func theAverageFollowsTheParametersAndLendsItselfToABody() throws {
    for backend in try Devices.all() {
      let session = try session(backend)
      let plain = try self.session(backend, averages: false)
      var average = try session.state.read(.parameters).map(Double.init)
      for number in 1...4 {
        try session.step(images: images, target: target, count: 2, learningRate: 1e-2, averageDecay: 0.3)
        try plain.step(images: images, target: target, count: 2, learningRate: 1e-2)
        let decay = min(0.3, Double(1 + number) / Double(10 + number))
        for (index, value) in try session.state.read(.parameters).enumerated() {
          average[index] = decay * average[index] + (1 - decay) * Double(value)
        }
      }
      let (trained, running) = (try session.state.read(.parameters), try session.state.read(.running))
      #expect(try trained == plain.state.read(.parameters), "an average changes no training")
      let lent = try session.withAveragedParameters {
        try session.recalibrate { nil }
        try session.state.write(running.map { $0 + 1 }, to: .running)
        return try session.state.read(.parameters)
      }
      for (got, want) in zip(lent, average) { #expect(abs(Double(got) - want) <= 1e-6 * max(1, abs(want))) }
      #expect(lent != trained)
      #expect(try session.state.read(.parameters) == trained)
      #expect(try session.state.read(.running) == running)
    }
  }

  /// Adam divides by the gradient's size, so clipping shows in the moments.
  @Test func aLongGradientIsScaledToTheClip() throws {
    for backend in try Devices.all() {
      let (free, clipped, loose) = (
        try session(backend, averages: false), try session(backend, averages: false), try session(backend, averages: false)
      )
      let norm = try free.step(images: images, target: target, count: 2, learningRate: 1e-2).gradientNorm
      let report = try clipped.step(images: images, target: target, count: 2, learningRate: 1e-2, gradientClip: norm / 4)
      try loose.step(images: images, target: target, count: 2, learningRate: 1e-2, gradientClip: norm * 4)
      #expect(report.gradientNorm == norm, "what is reported is the norm before clipping")
      let moments = try free.state.read(.firstMoment)
      #expect(try loose.state.read(.firstMoment) == moments)
      for (got, want) in zip(try clipped.state.read(.firstMoment), moments) {
        #expect(abs(4 * got - want) <= 1e-5 * abs(want) + 1e-12)
      }
    }
  }

  @Test func theFirstBadTensorIsNamed() throws {
    for backend in try Devices.all() {
      let session = try session(backend)
      var bad = images
      bad[7] = .nan
      #expect { try session.step(images: bad, target: target, count: 2, learningRate: 1e-2) } throws: {
        "\($0)".contains("pixel")
      }
      let broken = try self.session(backend)
      let entry = try #require(broken.layout.entries.first { $0.name == "dec3.double_conv.0.weight" })
      try broken.state.write([.infinity], to: .parameters, offset: entry.offset)
      #expect { try broken.step(images: images, target: target, count: 2, learningRate: 1e-2) } throws: {
        "\($0)".contains("dec3.double_conv.0.weight")
      }
    }
  }
}
