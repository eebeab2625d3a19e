public import Engine

/// The backends that the suite runs on: the CPU path and every OpenCL device found.
public enum Devices {
  /// - Throws: `.request` where no OpenCL device is found, the device's error where one cannot be opened: a suite that
  ///   silently tests less than it promises is worse than one that fails.
  public static func all() throws(EngineError) -> [any Backend] {
    let devices = OpenCLDevice.all()
    guard !devices.isEmpty else {
      throw .request("no OpenCL device was found: install a driver, such as PoCL (pocl-opencl-icd)")
    }
    var backends: [any Backend] = [CPUBackend()]
    for device in devices { backends.append(try OpenCLBackend(device)) }
    return backends
  }
}
