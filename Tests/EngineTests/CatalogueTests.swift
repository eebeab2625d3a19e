import Engine
import Foundation
import OpSuite
import Testing

/// What the catalogue promises beside passing.
@Suite struct CatalogueTests {
  @Test func namesAreUnique() {
    let names = Catalogue.all.map(\.name)
    let twice = Dictionary(grouping: names, by: { $0 }).filter { $0.value.count > 1 }.keys.sorted()
    #expect(twice.isEmpty, "named twice: \(twice)")
    #expect(names.allSatisfy { !$0.contains(" ") }, "a name is one word on a command line")
  }

  @Test func everyKernelFunctionIsReached() throws {
    #expect(!Coverage.embeddedKernels().isEmpty)
    for (name, cases) in [("all", Catalogue.all), ("quick", Catalogue.quick)] {
      let coverage = try Coverage(cases)
      #expect(coverage.missingKernels.isEmpty, "no case of '\(name)' launches \(coverage.missingKernels)")
      print(
        "\(name): \(cases.count) cases, \(coverage.kernels.count) kernel functions, \(coverage.programs.count) programs"
      )
    }
  }

  /// The operations are found in the sources, so that one without a case shows.
  @Test func everyOperationHasACase() throws {
    let coverage = try Coverage(Catalogue.all)
    var operations: Set<String> = []
    for source in try Sources.files(under: "Sources/Engine/Operations") {
      for match in source.text.matches(of: /static let name = "([a-z_0-9]+)"/) { operations.insert(String(match.1)) }
    }
    #expect(operations.count > 10)
    let missing = operations.subtracting(coverage.operations.keys).sorted()
    #expect(missing.isEmpty, "no case runs \(missing)")
  }

  @Test func filterFindsByName() throws {
    for opCase in Catalogue.all {
      #expect(try Catalogue.matching(opCase.name).contains { $0.name == opCase.name })
    }
    #expect(try Catalogue.matching("batch_norm/").allSatisfy { $0.operation == "batch_norm" })
  }

  @Test func filterThatMatchesNothingIsAnError() {
    #expect(throws: EngineError.self) { try Catalogue.matching("no_such_operation") }
  }

  @Test func fuzzIsRepeatable() {
    let cases = Catalogue.fuzz(count: 50, seed: 3)
    #expect(cases.map(\.name) == Catalogue.fuzz(count: 50, seed: 3).map(\.name))
    #expect(cases.map(\.name) != Catalogue.fuzz(count: 50, seed: 4).map(\.name))
    #expect(throws: Never.self) { for opCase in cases { _ = try opCase.graph() } }
  }

  /// Small cases' reference gradients against central differences of the reference itself.
  @Test func referenceGradientsAreDerivatives() throws {
    let cases = Catalogue.all.filter { GradientCheck.applies(to: $0) }
    #expect(cases.count > 30)
    for opCase in cases {
      for comparison in GradientCheck.run(opCase) { #expect(comparison.passed, "\(opCase): \(comparison)") }
    }
    print("central differences: \(cases.count) cases")
  }
}

/// The package's own sources.
enum Sources {
  struct File {
    /// From the package's root.
    let path: String
    let text: String

    /// The modules that the file imports.
    var imports: Set<String> {
      var modules: Set<String> = []
      for line in text.split(separator: "\n") {
        let words = line.split(separator: " ")
        guard let at = words.firstIndex(of: "import"), at <= 1, words.count > at + 1 else { continue }
        modules.insert(String(words[at + 1]))
      }
      return modules
    }
  }

  static var root: URL {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
  }

  /// The Swift files of a folder and those below it; an error where there are none.
  static func files(under folder: String) throws -> [File] {
    let base = root.appendingPathComponent(folder)
    let walk = FileManager.default.enumerator(at: base, includingPropertiesForKeys: nil)
    var found: [File] = []
    while let url = walk?.nextObject() as? URL {
      guard url.pathExtension == "swift" else { continue }
      let path = String(url.standardizedFileURL.path.dropFirst(root.standardizedFileURL.path.count + 1))
      found.append(File(path: path, text: try String(contentsOf: url, encoding: .utf8)))
    }
    try #require(!found.isEmpty, "no Swift files in \(base.path)")
    return found
  }
}
