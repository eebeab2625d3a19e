import Engine
import OpSuite
import Testing

/// Faults planted in the kernels one at a time: a catalogue that lets one pass isn't worth its time.
@Suite(.serialized) struct MutationTests {
  @Test(arguments: Mutation.all) func isCaught(_ mutation: Mutation) throws {
    let device = try #require(OpenCLDevice.all().first, "no OpenCL device was found")
    let text = try #require(ProgramCache.source(mutation.file))
    try #require(mutation.apply(to: text) != nil, "\(mutation.file) no longer has the text that '\(mutation)' replaces")
    let backend = try OpenCLBackend(device, as: mutation.kernels, precision: mutation.precision) { file, text in
      file == mutation.file ? mutation.apply(to: text) ?? text : text
    }
    // Quick cases first: most faults show there.
    let cases = try Catalogue.matching(mutation.filter).sorted { $0.tier < $1.tier }
    var tried = 0
    for opCase in cases {
      tried += 1
      let result = CaseRunner.run(opCase, on: backend)
      // A compiler that refuses the fault says nothing of the cases.
      try #require(!result.didNotBuild, "\(result.problems.first ?? "")")
      guard !result.passed else { continue }
      let why = result.problems.first ?? result.worst?.description ?? "nothing compared"
      print("caught '\(mutation)' by case \(tried), \(opCase): \(why.prefix(200))")
      return
    }
    Issue.record("'\(mutation)' passed all \(cases.count) cases of '\(mutation.filter)'")
  }
}
