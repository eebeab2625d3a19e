import Glibc

/// A file's length and time of change, "10 bytes, 1700000000": another file under an old name is another slide. Of no file, zeros.
package func fileStamp(_ path: String) -> String {
  var about = stat()
  guard stat(path, &about) == 0 else { return "0 bytes, 0" }
  return "\(about.st_size) bytes, \(about.st_mtim.tv_sec)"
}
