import Testing
@Test func placeholderDatasets() { #expect(1 + 1 == 2) }
