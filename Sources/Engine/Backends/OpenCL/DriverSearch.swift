internal import CLBridge
import Glibc

/// Drivers that the OpenCL loader does not find by itself.
///
/// A loader reads the `.icd` files of one folder, each with a library's name in it. Two things are beyond it: libraries that
/// `OCL_ICD_FILENAMES` names, which Khronos' loader reads and ocl-icd does not; and NVIDIA's library in a container that got
/// the driver's files but no `.icd` file. For these a folder that names everything stands where the loader looks, while
/// it makes its first call; it looks once in a process.
struct DriverSearch {
  var environment: [String: String] = Self.variables
  var vendors = "/etc/OpenCL/vendors"
  var nvidiaLibrary = "libnvidia-opencl.so.1"
  /// Lies where that does.
  var cudaLibrary = "libcuda.so.1"
  /// Where containers and WSL get it, beside what the dynamic loader knows.
  var nvidiaFolders = [
    "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/local/nvidia/lib64", "/usr/local/nvidia/lib",
    "/usr/local/nvidia/lib/x86_64-linux-gnu", "/usr/local/cuda/compat", "/usr/lib/wsl/lib", "/run/opengl-driver/lib",
  ]

  /// A library to load, and why the loader does not know it.
  struct Addition: Equatable {
    let library: String
    let reason: String
  }

  private static let names = ["OCL_ICD_VENDORS", "OPENCL_VENDOR_PATH", "OCL_ICD_FILENAMES"]

  private static var variables: [String: String] {
    var found: [String: String] = [:]
    for name in names + ["TMPDIR"] {
      if let value = getenv(name).map({ String(cString: $0) }), !value.isEmpty { found[name] = value }
    }
    return found
  }

  /// What is to be loaded beside `known`. Whoever sets a variable has chosen, and gets nothing beyond it.
  var additions: [Addition] {
    let known = self.known
    if let chosen = environment["OCL_ICD_FILENAMES"] {
      return chosen.split(separator: ":").map(String.init).filter { !known.contains($0) }
        .map { Addition(library: $0, reason: "named by OCL_ICD_FILENAMES") }
    }
    guard environment["OCL_ICD_VENDORS"] == nil, environment["OPENCL_VENDOR_PATH"] == nil,
      !known.contains(where: { $0.contains("nvidia-opencl") && Self.loads($0) }), let library = findNVIDIA()
    else { return [] }
    return [Addition(library: library, reason: "found without an .icd file")]
  }

  /// Every library that the loader is told of.
  var libraries: [String] { known + additions.map(\.library) }

  /// The libraries that the loader finds: those of a folder's `.icd` files, of one `.icd` file, or one library.
  private var known: [String] {
    guard let path = environment["OCL_ICD_VENDORS"] ?? environment["OPENCL_VENDOR_PATH"] else { return libraries(in: vendors) }
    if let folder = opendir(path) {
      closedir(folder)
      return libraries(in: path)
    }
    guard path.hasSuffix(".icd") else { return [path] }
    return (Self.firstLine(path) ?? Self.firstLine(vendors + "/" + path)).map { [$0] } ?? []
  }

  private func libraries(in path: String) -> [String] {
    Self.files(in: path).filter { $0.hasSuffix(".icd") }.sorted().compactMap { Self.firstLine(path + "/" + $0) }
  }

  private static func files(in path: String) -> [String] {
    guard let folder = opendir(path) else { return [] }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
      names.append(
        withUnsafePointer(to: &entry.pointee.d_name) {
          $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        })
    }
    return names
  }

  private static func loads(_ library: String) -> Bool {
    guard let handle = dlopen(library, RTLD_LAZY | RTLD_LOCAL) else { return false }
    dlclose(handle)
    return true
  }

  private func findNVIDIA() -> String? {
    if Self.loads(nvidiaLibrary) { return nvidiaLibrary }
    let folders = nvidiaFolders + (Self.folder(of: cudaLibrary).map { [$0] } ?? [])
    if let found = folders.map({ $0 + "/" + nvidiaLibrary }).first(where: { access($0, R_OK) == 0 }) { return found }
    // The link of that name is made when a driver is installed, and may be lacking where its files were copied.
    let unversioned = nvidiaLibrary.prefix { $0 != "." } + ".so."
    return folders.lazy.compactMap { folder in
      Self.files(in: folder).filter { $0.hasPrefix(unversioned) }.max().map { folder + "/" + $0 }
    }
    .first
  }

  /// Where a library lies that the dynamic loader knows; nil where it knows none.
  private static func folder(of library: String) -> String? {
    guard let out = clb_library_path(library, "cuInit") else { return nil }
    defer { clb_free(out) }
    let path = String(cString: out)
    return path.lastIndex(of: "/").map { String(path[..<$0]) }
  }

  /// NVIDIA's driver loads these by name alone, and finds them in a folder that the dynamic loader does not know where they are loaded.
  private func loadBeside() {
    guard let library = additions.first(where: { $0.library.contains("/libnvidia-opencl.so.") })?.library,
      let end = library.lastIndex(of: "/")
    else { return }
    let folder = library[...end]
    for name in ["libcuda.so.1", "libnvidia-nvvm.so.4", "libnvidia-ptxjitcompiler.so.1"] {
      _ = dlopen(folder + name, RTLD_NOW | RTLD_GLOBAL)
    }
  }

  /// Makes the loader's first call, so that it finds the additions too.
  ///
  /// - Returns: the additions that it was told of: none where there are none, or no folder could be written.
  func introduce(to firstCall: () -> Void) -> [Addition] {
    withFolder { folder in
      loadBeside()
      guard let folder else {
        firstCall()
        return
      }
      let before = Self.names.map { name in (name, getenv(name).map { String(cString: $0) }) }
      for name in Self.names { unsetenv(name) }
      setenv("OCL_ICD_VENDORS", folder, 1)
      firstCall()
      for (name, value) in before {
        if let value { setenv(name, value, 1) } else { unsetenv(name) }
      }
    }
  }

  /// Lends a folder of `.icd` files for all libraries, known ones and additions; nil where the loader needs none.
  func withFolder(_ body: (_ folder: String?) -> Void) -> [Addition] {
    let additions = self.additions
    guard !additions.isEmpty, let folder = makeFolder() else {
      body(nil)
      return []
    }
    let libraries = self.libraries
    let files = libraries.indices.map { folder + "/\($0).icd" }
    for (file, library) in zip(files, libraries) { Self.write(library + "\n", to: file) }
    body(folder)
    for file in files { unlink(file) }
    rmdir(folder)
    return additions
  }

  private func makeFolder() -> String? {
    for parent in [environment["TMPDIR"], "/tmp", "/var/tmp", "/dev/shm"] {
      guard let parent else { continue }
      var template = Array((parent + "/glomseg-icd-XXXXXX").utf8CString)
      if let folder = mkdtemp(&template) { return String(cString: folder) }
    }
    return nil
  }

  private static func write(_ text: String, to path: String) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL, 0o600)
    guard descriptor >= 0 else { return }
    let bytes = Array(text.utf8)
    _ = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
    close(descriptor)
  }

  private static func firstLine(_ path: String) -> String? {
    let descriptor = open(path, O_RDONLY)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: Int(PATH_MAX))
    let count = bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
    guard count > 0 else { return nil }
    let line = String(decoding: bytes[..<count].prefix { $0 != 10 && $0 != 13 }, as: UTF8.self)
    return line.isEmpty ? nil : line
  }
}
