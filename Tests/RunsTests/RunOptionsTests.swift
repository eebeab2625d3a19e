import Testing

@testable import Runs

@Suite struct RunOptionsTests {
  /// A run's file has every setting, also those that follow others: with another batch or an average they follow that.
  @Test func settingsThatFollowOthersGoOnFollowing() throws {
    func over(_ file: String, _ words: String) throws -> RunConfiguration {
      try RunConfiguration(RunOptions.parse(words, path: "w").over(RunOptions.parse(file, path: "f")))
    }
    var plain = RunOptions()
    plain.batch = 4
    let file = try RunConfiguration(plain).yaml()
    #expect(file.contains("micro_batch: 4") && file.contains("recalibrate: 0"))
    let both = try over(file, "batch: 8\naverage: 0.99")
    #expect(both.microBatch == 8 && both.recalibrate == 16)
    #expect(try over(file, "epochs: 3").microBatch == 4)
    #expect(try over("batch: 4\nmicro_batch: 2\nrecalibrate: 5", "batch: 8\naverage: 0.9").microBatch == 2)
    #expect(try over("batch: 4\nmicro_batch: 2\nrecalibrate: 5", "batch: 8\naverage: 0.9").recalibrate == 5)
  }

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

  @Test(arguments: ["epochs: [", "epochs: 1\nepochs: 2", "a: b: c", "- epochs"])
  func badYAMLIsOneSentenceThatNamesTheFile(_ text: String) {
    #expect {
      try RunOptions.parse(text, path: "a.yaml")
    } throws: { error in
      "\(error)".hasPrefix("a.yaml: ") && !"\(error)".contains("\n")
    }
  }

  @Test func settingsAreWrittenAsNumbersToEveryReader() throws {
    let text = try RunConfiguration(RunOptions()).yaml()
    #expect(text.hasPrefix("# glomseg \(glomsegVersion)\n"))
    #expect(text.contains("\ndice_smooth: 1.0e-06\n"))
    #expect(text.contains("\nbce_weight: 0.8\n"))
    #expect(text.contains("\ndevice: auto\n"))
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

  @Test(arguments: [("micro_batch", "0"), ("memory_limit", "lots"), ("activations", "bf16"), ("gradients", "fp16")])
  func nonsenseAboutMemoryIsNamed(_ name: String, _ value: String) throws {
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
    options.seed = .max
    options.batch = 8
    options.micro_batch = 3
    options.memory_limit = "4800MB"
    options.gradients = "bf16"
    options.learning_rate = 1.25e-5
    options.device = "yes: 1"
    let configuration = try RunConfiguration(options)
    #expect(try RunConfiguration(RunOptions.parse(configuration.yaml(), path: "config.yaml")) == configuration)
  }

  /// They say the same thing: the nearer one counts, and beside each other the scale does.
  @Test func thePatchAndTheInputScaleReplaceEachOther() throws {
    let file = try RunOptions.parse("input_scale: 0.5\nbatch: 2", path: "c")
    let open = try RunConfiguration(file)
    #expect(!open.isSized && open.options.patch == nil && open.options.base == nil && open.options.input_scale == 0.5)
    var patch = RunOptions()
    patch.patch = 64
    let fixed = try RunConfiguration(patch.over(file))
    #expect(fixed.isSized && fixed.patch == 64 && fixed.inputScale == 0 && fixed.batch == 2)
    let scaled = try RunConfiguration(file.over(fixed.options))
    #expect(!scaled.isSized && scaled.inputScale == 0.5)
    let both = try RunConfiguration(RunOptions.parse("input_scale: 0.5\npatch: 48", path: "c"))
    #expect(both.isSized && both.patch == 48 && both.inputScale == 0.5)
    for wrong in ["-0.5", "2", "nan"] {
      #expect {
        try RunConfiguration(RunOptions.parse("input_scale: \(wrong == "nan" ? ".nan" : wrong)", path: "c"))
      } throws: { "\($0)".hasPrefix("input_scale") }
    }
  }
}
