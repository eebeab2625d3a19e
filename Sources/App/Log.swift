import Logging

/// What the program says beside its results: on standard error, one line each, without time stamps.
let log: Logger = {
  var log = Logger(label: "glomseg") { _ in StandardErrorLog() }
  log.logLevel = .info
  return log
}()

/// "warning: …" and "error: …"; less serious lines stand as they are.
private struct StandardErrorLog: LogHandler {
  var metadata: Logger.Metadata = [:]
  var logLevel = Logger.Level.info

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    let prefix = event.level >= .warning ? "\(event.level.rawValue): " : ""
    printError(prefix + event.message.description)
  }
}
