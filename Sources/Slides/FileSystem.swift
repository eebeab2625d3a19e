import Glibc

/// The few system calls that writing a file in place takes.
enum FileSystem {
  static var processID: Int32 { getpid() }

  static func remove(_ path: String) { unlink(path) }

  /// `nil` when it is done, else what is wrong.
  static func rename(_ from: String, _ to: String) -> String? {
    Glibc.rename(from, to) == 0 ? nil : String(cString: strerror(errno))
  }
}
