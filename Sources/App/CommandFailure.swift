import ArgumentParser
@preconcurrency import Glibc

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

/// Standard output that could not be written.
struct OutputError: Error, CustomStringConvertible {
  let reason: String
  var description: String { "standard output cannot be written: \(reason)" }
}

/// Opens standard input, output and error where the program was started without: the next file that is opened would take their numbers.
func openStandardFiles() {
  for descriptor in Int32(0)...2 where fcntl(descriptor, F_GETFD) == -1 {
    _ = open("/dev/null", descriptor == 0 ? O_RDONLY : O_WRONLY)
  }
}

/// Runs a command's work: what goes wrong is one sentence on standard error, and exit code 1.
func failing(_ body: () throws -> Void) throws {
  do {
    try body()
    // Scores on a full disk are lost.
    let code = fflush(stdout) == 0 ? 0 : errno
    guard code == 0, ferror(stdout) == 0 else {
      throw OutputError(reason: code == 0 ? "no space left, or nobody reads it" : String(cString: strerror(code)))
    }
  } catch let code as ExitCode { throw code } catch let error as ValidationError { throw error } catch {
    printError("glomseg: \(error)")
    throw ExitCode.failure
  }
}
