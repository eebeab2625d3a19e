import Glibc

/// What a file is by its first bytes.
enum FileKind {
  case tiff, image, other

  static func of(_ path: String) throws(SlideError) -> FileKind {
    // stat comes first: opening a pipe would wait for a writer.
    var about = stat()
    guard stat(path, &about) == 0 else {
      throw SlideError(
        .unreadable, path: path, reason: errno == ENOENT ? "there is no such file" : String(cString: strerror(errno)))
    }
    guard about.st_mode & S_IFMT == S_IFREG else {
      throw SlideError(.unreadable, path: path, reason: "it is not a regular file")
    }
    let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw SlideError(.unreadable, path: path, reason: "it cannot be opened: \(String(cString: strerror(errno)))")
    }
    defer { close(descriptor) }
    var head = [UInt8](repeating: 0, count: 4)
    let count = Glibc.read(descriptor, &head, 4)
    guard count == 4 else { throw SlideError(.damaged, path: path, reason: "it has only \(max(0, count)) bytes") }
    switch (head[0], head[1], head[2], head[3]) {
    case (0x49, 0x49, 42, 0), (0x49, 0x49, 43, 0), (0x4d, 0x4d, 0, 42), (0x4d, 0x4d, 0, 43): return .tiff
    case (0x89, 0x50, 0x4e, 0x47), (0xff, 0xd8, 0xff, _): return .image
    default: return .other
    }
  }
}
