import Engine
import Foundation
import OpSuite
import Testing

/// Runs cases against the Double reference, and prints how near to its bound each operation came.
func checkConformance(of cases: [OpCase], on backend: any Backend) throws {
  try #require(!cases.isEmpty)
  let start = monotonicSeconds()
  var worst: [String: (ratio: Double, text: String)] = [:]
  var seconds: [String: Double] = [:]
  var passed = 0
  for opCase in cases {
    let result = CaseRunner.run(opCase, on: backend)
    if let reason = result.skipReason {
      print("\(backend.name): skipped \(opCase): \(reason)")
      continue
    }
    #expect(result.passed, "\(result)")
    if result.passed { passed += 1 }
    seconds[opCase.operation, default: 0] += result.elapsedSeconds
    if let tensor = result.worst, tensor.ratio >= worst[opCase.operation]?.ratio ?? -1 {
      worst[opCase.operation] = (tensor.ratio, "\(opCase.name): \(tensor)")
    }
  }
  let elapsed = monotonicSeconds() - start
  print(String(format: "%@: %d of %d cases passed in %.1f s", backend.name, passed, cases.count, elapsed))
  for (operation, worst) in worst.sorted(by: { $0.key < $1.key }) {
    print(
      String(
        format: "  %@, %.1f s, worst %.2f of its bound: %@", operation, seconds[operation] ?? 0, worst.ratio,
        worst.text))
  }
}
