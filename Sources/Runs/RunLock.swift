import Foundation

/// Holds a run's folder against other processes, until `release()` or the end of this one.
public struct RunLock {
  private let descriptor: Int32

  /// nil where another process holds it.
  ///
  /// - Throws: where the folder cannot be written, or its file system knows no locks.
  public init?(_ directory: RunDirectory) throws(RunError) {
    let path = directory.path + "/.lock"
    descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw .file(path: path, problem: "cannot be written: \(String(cString: strerror(errno)))") }
    if flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
      let problem = errno
      close(descriptor)
      if problem == EWOULDBLOCK { return nil }
      throw .file(path: path, problem: "cannot be locked: \(String(cString: strerror(problem)))")
    }
  }

  public func release() { close(descriptor) }
}
