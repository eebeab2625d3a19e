import Runs
import Testing

@Suite struct ScheduleTests {
  private func rates(_ kind: Schedule.Kind, warmup: Double = 0) -> [Double] {
    let schedule = Schedule(kind: kind, rate: 0.1, epochs: 5, stepsPerEpoch: 4, warmupEpochs: warmup)
    return (1...20).map { schedule.rate(step: $0) }
  }

  @Test func constantStaysAndTheOthersFallToNearZero() {
    #expect(rates(.constant).allSatisfy { $0 == 0.1 })
    for kind in [Schedule.Kind.cosine, .polynomial] {
      let rates = rates(kind)
      #expect(rates[0] == 0.1 && rates[19] < 0.011 && rates[19] > 0)
      #expect(zip(rates, rates.dropFirst()).allSatisfy { $0 > $1 })
    }
    // Half-way: cos(π/2) = 0, and 0.5^0.9.
    #expect(abs(rates(.cosine)[10] - 0.05) < 1e-12)
    #expect(abs(rates(.polynomial)[10] - 0.053589) < 1e-6)
  }

  @Test func warmupRisesLinearlyToTheFullRate() {
    let rates = rates(.cosine, warmup: 1.5)
    for step in 1...6 { #expect(abs(rates[step - 1] - 0.1 * Double(step) / 6) < 1e-12) }
    #expect(rates[6] == 0.1 && rates[7] < 0.1)
  }

  @Test func stepsBeyondTheLastStayAtItsEnd() {
    #expect(Schedule(kind: .cosine, rate: 1, epochs: 1, stepsPerEpoch: 3).rate(step: 100) < 1e-12)
    #expect(Schedule(kind: .constant, rate: 1, epochs: 1, stepsPerEpoch: 1, warmupEpochs: 2).rate(step: 1) == 0.5)
  }
}
