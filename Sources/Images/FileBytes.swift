import Glibc
import Synchronization

/// Writing whole files so that a reader never sees half of one.
public enum FileBytes {
  /// Writes `bytes` to a temporary name in the same folder and renames it to `path`, replacing what is there: a link's target, where it is a
  /// link. A device or a pipe is written to as it is.
  ///
  /// - Throws: `.unwritable`; the temporary file is gone then and `path` as it was.
  public static func write(_ bytes: [UInt8], to given: String) throws(ImageError) {
    var path = given
    var about = stat()
    // A link to what is not there yet. Beyond some it is a circle.
    for _ in 0..<8 where lstat(path, &about) == 0 && about.st_mode & S_IFMT == S_IFLNK && stat(path, &about) != 0 {
      var target = [CChar](repeating: 0, count: Int(PATH_MAX))
      let count = readlink(path, &target, target.count - 1)
      guard count > 0 else { break }
      let name = String(decoding: target[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
      let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
      path = name.hasPrefix("/") ? name : folder + name
    }
    if stat(given, &about) == 0 {
      if about.st_mode & S_IFMT == S_IFDIR {
        throw ImageError(.unwritable, path: given, reason: "it is a folder")
      }
      if about.st_mode & S_IFMT != S_IFREG {
        let descriptor = open(given, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw unwritable(given, "it cannot be opened") }
        do throws(ImageError) { try write(bytes, to: descriptor, named: given) } catch {
          close(descriptor)
          throw error
        }
        guard close(descriptor) == 0 else { throw unwritable(given, "writing failed") }
        return
      }
      if let target = realpath(path, nil) {
        path = String(cString: target)
        free(target)
      }
    }
    let number = counter.add(1, ordering: .relaxed).newValue
    let temporary = "\(path).tmp-\(getpid())-\(number)"
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw unwritable(path, "its folder cannot be written") }
    do throws(ImageError) { try write(bytes, to: descriptor, named: path) } catch {
      close(descriptor)
      unlink(temporary)
      throw error
    }
    // close reports what a network file system could not store.
    guard close(descriptor) == 0, rename(temporary, path) == 0 else {
      let error = unwritable(path, "it cannot be put in place")
      unlink(temporary)
      throw error
    }
  }

  /// Writes all bytes to an open file.
  ///
  /// - Throws: `.unwritable`, naming `path`.
  public static func write(_ bytes: [UInt8], to descriptor: Int32, named path: String) throws(ImageError) {
    var position = 0
    while position < bytes.count {
      let written = bytes.withUnsafeBytes { raw in
        Glibc.write(descriptor, raw.baseAddress?.advanced(by: position), raw.count - position)
      }
      if written < 0 && errno == EINTR { continue }
      guard written > 0 else { throw unwritable(path, "writing failed") }
      position += written
    }
  }

  /// All of a file's bytes, or what a pipe gives until its end.
  ///
  /// - Throws: `.unreadable`.
  public static func read(_ path: String) throws(ImageError) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    func unreadable() -> ImageError {
      ImageError(.unreadable, path: path, reason: "it cannot be read: \(String(cString: strerror(errno)))")
    }
    guard descriptor >= 0 else { throw unreadable() }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = Glibc.read(descriptor, &part, part.count)
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { throw unreadable() }
      if count == 0 { return bytes }
      bytes += part[..<count]
    }
  }

  /// Makes a folder and its parents; one that exists is fine.
  public static func makeFolder(_ path: String) throws(ImageError) {
    if mkdir(path, 0o777) == 0 { return }
    let code = errno
    if code == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex {
      try makeFolder(String(path[..<slash]))
      if mkdir(path, 0o777) == 0 || errno == EEXIST { return }
      throw unwritable(path, "the folder cannot be made")
    }
    var about = stat()
    if code == EEXIST, stat(path, &about) == 0, about.st_mode & S_IFMT == S_IFDIR { return }
    throw ImageError(
      .unwritable, path: path, reason: "the folder cannot be made: \(String(cString: strerror(code)))")
  }

  /// Two threads never share a temporary name.
  private static let counter = Atomic<Int>(0)

  private static func unwritable(_ path: String, _ what: String) -> ImageError {
    ImageError(.unwritable, path: path, reason: "\(what): \(String(cString: strerror(errno)))")
  }
}
