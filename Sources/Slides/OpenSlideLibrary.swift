import Glibc

/// The functions of OpenSlide's C library, found when the program runs, so that it is no condition for building or starting.
///
/// GLOMSEG_OPENSLIDE names a library to take; else the usual names are tried.
struct OpenSlideLibrary: Sendable {
  typealias Slide = OpaquePointer

  let open: @convention(c) (UnsafePointer<CChar>) -> Slide?
  let close: @convention(c) (Slide) -> Void
  let error: @convention(c) (Slide) -> UnsafePointer<CChar>?
  let levelCount: @convention(c) (Slide) -> Int32
  let dimensions: @convention(c) (Slide, Int32, UnsafeMutablePointer<Int64>, UnsafeMutablePointer<Int64>) -> Void
  let property: @convention(c) (Slide, UnsafePointer<CChar>) -> UnsafePointer<CChar>?
  let read: @convention(c) (Slide, UnsafeMutablePointer<UInt32>, Int64, Int64, Int32, Int64, Int64) -> Void

  static let shared: OpenSlideLibrary? = find()

  private static func find() -> OpenSlideLibrary? {
    var names = ["libopenslide.so.1", "libopenslide.so.0", "libopenslide.so"]
    if let chosen = getenv("GLOMSEG_OPENSLIDE") { names.insert(String(cString: chosen), at: 0) }
    for name in names {
      if let handle = dlopen(name, RTLD_NOW | RTLD_LOCAL), let library = OpenSlideLibrary(handle) { return library }
    }
    return nil
  }

  private init?(_ handle: UnsafeMutableRawPointer) {
    // The signatures are those of openslide.h, unchanged since version 3.4.
    func function<Signature>(_ name: String, _ type: Signature.Type) -> Signature? {
      dlsym(handle, "openslide_" + name).map { unsafeBitCast($0, to: type) }
    }
    guard let open = function("open", (@convention(c) (UnsafePointer<CChar>) -> Slide?).self),
      let close = function("close", (@convention(c) (Slide) -> Void).self),
      let error = function("get_error", (@convention(c) (Slide) -> UnsafePointer<CChar>?).self),
      let levelCount = function("get_level_count", (@convention(c) (Slide) -> Int32).self),
      let dimensions = function(
        "get_level_dimensions",
        (@convention(c) (Slide, Int32, UnsafeMutablePointer<Int64>, UnsafeMutablePointer<Int64>) -> Void).self),
      let property = function(
        "get_property_value", (@convention(c) (Slide, UnsafePointer<CChar>) -> UnsafePointer<CChar>?).self),
      let read = function(
        "read_region",
        (@convention(c) (Slide, UnsafeMutablePointer<UInt32>, Int64, Int64, Int32, Int64, Int64) -> Void).self)
    else { return nil }
    self.open = open
    self.close = close
    self.error = error
    self.levelCount = levelCount
    self.dimensions = dimensions
    self.property = property
    self.read = read
  }
}
