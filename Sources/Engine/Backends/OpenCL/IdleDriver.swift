internal import CLBridge

/// A driver that the loader was told of and that brought no device: the loader leaves it out and says nothing, so that a container without
/// its GPU looks like a machine without a driver.
public struct IdleDriver: Sendable {
  public let library: String
  /// What is wrong, and what may be the reason: "has no device here: ...".
  public let reason: String

  /// Those of this machine. Asks each driver's library by itself, after the loader: for listings, not for each start.
  public static func all() -> [IdleDriver] {
    _ = OpenCLDevice.all()
    return DriverSearch().libraries.compactMap { library in fault(library).map { IdleDriver(library: library, reason: $0) } }
  }

  private static func fault(_ library: String) -> String? {
    var platforms = [cl_platform_id?](repeating: nil, count: 16)
    var count: cl_uint = 0
    var why: UnsafeMutablePointer<CChar>?
    let status = clb_driver_platforms(library, cl_uint(platforms.count), &platforms, &count, &why)
    defer { clb_free(why) }
    if let why { return "cannot be loaded: \(String(cString: why))" }
    if status == CL_INVALID_PLATFORM { return "is no OpenCL driver: it lacks clIcdGetPlatformIDsKHR" }
    let hasDevice = platforms.prefix(Int(count)).contains { platform in
      guard let platform else { return false }
      var devices: cl_uint = 0
      return clGetDeviceIDs(platform, cl_device_type(CL_DEVICE_TYPE_ALL), 0, nil, &devices) == CL_SUCCESS && devices > 0
    }
    return hasDevice ? nil : "has no device here" + hint(library)
  }

  /// What a driver of its kind most often lacks.
  private static func hint(_ library: String) -> String {
    let hints = [
      ("nvidia", "does nvidia-smi list a GPU, and was the container given it (--gpus all)?"),
      ("amdocl", "may this user open /dev/kfd and /dev/dri (groups render and video)?"),
      ("igdrcl", "may this user open /dev/dri/renderD128 (group render)?"),
      ("pocl", "may this user write to its cache (POCL_CACHE_DIR, XDG_CACHE_HOME or HOME)?"),
      ("Rusticl", "RUSTICL_ENABLE names the drivers that it may use."),
    ]
    return hints.first { library.contains($0.0) }.map { ": \($0.1)" } ?? ""
  }
}
