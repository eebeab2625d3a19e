import ArgumentParser
import Glibc

/// Writes a line to standard error.
func printError(_ text: String) { writeError(text + "\n") }

/// Writes text to standard error as it is.
func writeError(_ text: String) {
  let bytes = Array(text.utf8)
  var start = 0
  while start < bytes.count {
    let written = bytes[start...].withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
    guard written > 0 else { return }
    start += written
  }
}

/// Runs a command's work: what goes wrong is one sentence on standard error, and exit code 1.
func failing(_ body: () throws -> Void) throws {
  do { try body() } catch let code as ExitCode { throw code } catch let error as ValidationError { throw error } catch {
    printError("glomseg: \(error)")
    throw ExitCode.failure
  }
}
