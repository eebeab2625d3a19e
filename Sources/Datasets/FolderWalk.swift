import Glibc

/// Lists files below a folder in sorted order, following links, each folder once.
struct FolderWalk {
  private(set) var files: [String] = []
  private(set) var unreadable: [(path: String, reason: String)] = []
  private var visited: Set<FolderID> = []

  private struct FolderID: Hashable {
    let device: UInt64
    let inode: UInt64
  }

  /// - Parameter root: an absolute path.
  init(root: String) {
    walk(root)
  }

  private mutating func walk(_ folder: String) {
    var about = stat()
    guard stat(folder, &about) == 0 else { return }
    // A link to a folder above would walk for ever.
    guard visited.insert(FolderID(device: UInt64(about.st_dev), inode: UInt64(about.st_ino))).inserted else { return }
    guard let names = Self.names(in: folder) else {
      unreadable.append((folder, "the folder cannot be listed: \(String(cString: strerror(errno)))"))
      return
    }
    for name in names {
      let path = folder == "/" ? "/\(name)" : "\(folder)/\(name)"
      // A dangling link counts as a file: reading it then says what is wrong.
      if stat(path, &about) == 0, about.st_mode & S_IFMT == S_IFDIR { walk(path) } else { files.append(path) }
    }
  }

  private static func names(in folder: String) -> [String]? {
    guard let stream = opendir(folder) else { return nil }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) { tuple in
        tuple.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: entry.pointee.d_name)) {
          String(cString: $0)
        }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// The absolute path; `nil` when nothing is there. Links keep their own names, for `train` may be a link to a
  /// folder of another name; they are only followed where the path goes back up by `..`.
  static func absolutePath(_ path: String) -> String? {
    guard let resolved = realpath(path, nil) else { return nil }
    defer { free(resolved) }
    let parts = path.split(separator: "/").filter { $0 != "." }
    if parts.contains("..") { return String(cString: resolved) }
    let tail = parts.map { "/\($0)" }.joined()
    if path.hasPrefix("/") { return tail.isEmpty ? "/" : tail }
    guard let folder = getcwd(nil, 0) else { return String(cString: resolved) }
    defer { free(folder) }
    let head = String(cString: folder)
    return (head == "/" ? "" : head) + tail
  }

  static func isFolder(_ path: String) -> Bool {
    var about = stat()
    return stat(path, &about) == 0 && about.st_mode & S_IFMT == S_IFDIR
  }
}
