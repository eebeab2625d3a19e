import Testing

@testable import Runs

@Suite struct RunOptionsTests {
  @Test func commandLineOverridesFile() throws {
    let file = try RunOptions.parse("epochs: 3\nlearning_rate: 0.001\n", path: "a.yaml")
    var line = RunOptions()
    line.epochs = 7
    let configuration = try RunConfiguration(line.over(file))
    #expect(configuration.epochs == 7)
    #expect(configuration.learningRate == 0.001)
    #expect(configuration.patch == 256)
    #expect(configuration.base == 16)
  }

  @Test func unknownKeyIsNamed() {
    #expect {
      try RunOptions.parse("epoch: 3\n", path: "a.yaml")
    } throws: { error in
      "\(error)".contains("a.yaml: epoch") && "\(error)".contains("epochs")
    }
  }

  @Test func wrongKindIsNamed() {
    #expect {
      try RunOptions.parse("epochs: many\n", path: "a.yaml")
    } throws: { error in
      "\(error)".contains("epochs")
    }
  }

  @Test(arguments: [("patch", 100), ("base", 3), ("batch", 0), ("epochs", 0)])
  func nonsenseIsNamed(_ name: String, _ value: Int) throws {
    let options = try RunOptions.parse("\(name): \(value)\n", path: "a.yaml")
    #expect {
      try RunConfiguration(options)
    } throws: { error in
      "\(error)".hasPrefix(name)
    }
  }

  @Test func effectiveSettingsReadBack() throws {
    var options = RunOptions()
    options.patch = 512
    options.seed = 9
    let configuration = try RunConfiguration(options)
    #expect(try RunConfiguration(RunOptions.parse(configuration.yaml(), path: "config.yaml")) == configuration)
  }
}
