extension TrainingSession {
  /// Runs `body` with the moving average in the parameters' place, where one is kept. Parameters and running statistics
  /// are afterwards as before.
  ///
  /// The statistics were gathered with other parameters: `body` should `recalibrate` before it trusts them.
  public func withAveragedParameters<Result>(_ body: () throws -> Result) throws -> Result {
    guard shape.averages else { return try body() }
    let (parameters, running) = (try state.read(.parameters), try state.read(.running))
    try state.write(state.read(.averaged), to: .parameters)
    func restore() throws(EngineError) {
      try state.write(parameters, to: .parameters)
      try state.write(running, to: .running)
    }
    let result: Result
    do { result = try body() } catch {
      try restore()
      throw error
    }
    try restore()
    return result
  }
}
