public import Engine

/// The backends that the suite runs on: the CPU path and every OpenCL device found.
public enum Devices {
  /// - Throws: `.request` where no OpenCL device is found, the device's error where one cannot be opened: a suite that
  ///   silently tests less than it promises is worse than one that fails.
  public static func all() throws(EngineError) -> [any Backend] {
    let backends = try DeviceSelection.all()
    guard backends.count > 1 else {
      throw .request("no OpenCL device was found: install a driver, such as PoCL (pocl-opencl-icd)")
    }
    return backends
  }
}
