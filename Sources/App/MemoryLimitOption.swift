public import ArgumentParser
public import Engine

extension ActivationStorage: ExpressibleByArgument {}
extension GradientStorage: ExpressibleByArgument {}

extension MemoryLimit: ExpressibleByArgument {
  public init?(argument: String) {
    guard let limit = try? MemoryLimit(argument) else { return nil }
    self = limit
  }
}
