import Testing
@Test func placeholderImages() { #expect(1 + 1 == 2) }
