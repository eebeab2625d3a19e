internal import CLBridge

/// An OpenCL device as found, before anything is made on it.
public struct OpenCLDevice: Sendable {
  public enum Kind: String, Sendable { case gpu = "GPU", cpu = "CPU", accelerator = "accelerator", other = "other" }

  /// "opencl:PLATFORM:DEVICE", counted as the drivers list them.
  public let selector: String
  public let platformName: String
  public let platformVersion: String
  public let name: String
  public let vendor: String
  public let driverVersion: String
  public let deviceVersion: String
  public let extensions: String
  public let kind: Kind
  public let computeUnits: Int
  public let memoryBytes: Int
  public let maxAllocationBytes: Int
  public let localBytes: Int
  public let alignmentBytes: Int
  public let maxWorkGroup: Int
  public let isAvailable: Bool
  /// As ``DeviceTraits/vectorFloats``: for a CPU as the processor says, since a driver may name what it was built for; where neither says, 16.
  let vectorFloats: Int
  /// Whose kernels suit it: a GPU's where it is one and nothing else, and has what they need.
  public let deviceClass: DeviceClass
  // Device ids are process-wide constants of the driver, safe to share.
  nonisolated(unsafe) let raw: OpaquePointer

  package var traits: DeviceTraits {
    var traits = DeviceTraits(
      kind: .openCL, deviceClass: deviceClass, name: name, computeUnits: computeUnits, localBytes: localBytes,
      alignmentBytes: alignmentBytes, maxAllocationBytes: maxAllocationBytes, memoryBytes: memoryBytes)
    traits.vectorFloats = vectorFloats
    return traits
  }

  /// Whether its memory is the host's.
  var usesHostMemory: Bool {
    var isUnified = cl_bool(CL_FALSE)
    let size = MemoryLayout<cl_bool>.size
    return kind == .cpu
      || clGetDeviceInfo(raw, cl_device_info(CL_DEVICE_HOST_UNIFIED_MEMORY), size, &isUnified, nil) == CL_SUCCESS
        && isUnified != CL_FALSE
  }

  /// Memory that nobody uses now, bytes. OpenCL has no such query; AMD's drivers have one of their own.
  var freeBytes: Int? {
    guard extensions.contains("cl_amd_device_attribute_query") else { return nil }
    // CL_DEVICE_GLOBAL_FREE_MEMORY_AMD: free in all and in the largest piece, KiB.
    var kibibytes = [0, 0]
    let size = 2 * MemoryLayout<Int>.size
    guard clGetDeviceInfo(raw, 0x4039, size, &kibibytes, nil) == CL_SUCCESS, kibibytes[0] > 0 else { return nil }
    return kibibytes[0] << 10
  }

  /// Whether the driver is PoCL, which compiles a kernel when it is first launched and keeps what it compiled.
  var isPoCL: Bool { platformName.hasPrefix("Portable Computing Language") }

  /// Whether compiled programs are worth keeping. PoCL keeps them itself, and compiles every kernel a second time when asked
  /// for a binary (docs/performance.md has the figures); Oclgrind has build options on its command line that no key would hold.
  var givesBinaries: Bool { !isPoCL && !name.hasPrefix("Oclgrind") }

  /// Drivers that the loader was told of beside those it knows, and why; the process's first call of OpenCL is here.
  package static let addedDrivers: [(library: String, reason: String)] = DriverSearch()
    .introduce {
      var count: cl_uint = 0
      _ = clGetPlatformIDs(0, nil, &count)
    }
    .map { ($0.library, $0.reason) }

  /// Every device of every platform; an empty list where there is no driver. A platform without devices is no error.
  public static func all() -> [OpenCLDevice] {
    _ = firstEnumeration
    return enumerate()
  }

  /// The process's first look at devices, which one thread makes while the others wait: PoCL 3.1 sets itself up in it, and
  /// meanwhile tells every other thread that it has no device.
  private static let firstEnumeration: Int = {
    HostDescription().whileDescribing {
      _ = addedDrivers
      return enumerate().count
    }
  }()

  private static func enumerate() -> [OpenCLDevice] {
    var platformCount: cl_uint = 0
    guard clGetPlatformIDs(0, nil, &platformCount) == CL_SUCCESS, platformCount > 0 else { return [] }
    var platforms = [cl_platform_id?](repeating: nil, count: Int(platformCount))
    guard clGetPlatformIDs(platformCount, &platforms, nil) == CL_SUCCESS else { return [] }
    var found: [OpenCLDevice] = []
    for (platformIndex, platform) in platforms.enumerated() {
      guard let platform else { continue }
      var count: cl_uint = 0
      let all = cl_device_type(CL_DEVICE_TYPE_ALL)
      guard clGetDeviceIDs(platform, all, 0, nil, &count) == CL_SUCCESS, count > 0 else { continue }
      var devices = [cl_device_id?](repeating: nil, count: Int(count))
      guard clGetDeviceIDs(platform, all, count, &devices, nil) == CL_SUCCESS else { continue }
      for (deviceIndex, device) in devices.enumerated() {
        guard let device else { continue }
        found.append(OpenCLDevice(platform, device, selector: "opencl:\(platformIndex):\(deviceIndex)"))
      }
    }
    return found
  }

  private init(_ platform: cl_platform_id, _ device: cl_device_id, selector: String) {
    func text(_ what: Int32) -> String {
      var out: UnsafeMutablePointer<CChar>?
      guard clb_device_string(device, cl_device_info(what), &out) == CL_SUCCESS, let out else { return "" }
      defer { clb_free(out) }
      return String(cString: out)
    }
    func platformText(_ what: Int32) -> String {
      var out: UnsafeMutablePointer<CChar>?
      guard clb_platform_string(platform, cl_platform_info(what), &out) == CL_SUCCESS, let out else { return "" }
      defer { clb_free(out) }
      return String(cString: out)
    }
    func number<T: FixedWidthInteger>(_ what: Int32, _ type: T.Type) -> Int {
      var value = T.zero
      guard clGetDeviceInfo(device, cl_device_info(what), MemoryLayout<T>.size, &value, nil) == CL_SUCCESS else { return 0 }
      return Int(clamping: value)
    }
    raw = device
    self.selector = selector
    platformName = platformText(CL_PLATFORM_NAME)
    platformVersion = platformText(CL_PLATFORM_VERSION)
    name = text(CL_DEVICE_NAME)
    vendor = text(CL_DEVICE_VENDOR)
    driverVersion = text(CL_DRIVER_VERSION)
    deviceVersion = text(CL_DEVICE_VERSION)
    extensions = text(CL_DEVICE_EXTENSIONS)
    let type = number(CL_DEVICE_TYPE, cl_device_type.self)
    kind =
      type & Int(CL_DEVICE_TYPE_GPU) != 0
      ? .gpu : type & Int(CL_DEVICE_TYPE_CPU) != 0 ? .cpu : type & Int(CL_DEVICE_TYPE_ACCELERATOR) != 0 ? .accelerator : .other
    computeUnits = max(1, number(CL_DEVICE_MAX_COMPUTE_UNITS, cl_uint.self))
    memoryBytes = number(CL_DEVICE_GLOBAL_MEM_SIZE, cl_ulong.self)
    maxAllocationBytes = number(CL_DEVICE_MAX_MEM_ALLOC_SIZE, cl_ulong.self)
    localBytes = number(CL_DEVICE_LOCAL_MEM_SIZE, cl_ulong.self)
    alignmentBytes = max(64, number(CL_DEVICE_MEM_BASE_ADDR_ALIGN, cl_uint.self) / 8)
    maxWorkGroup = number(CL_DEVICE_MAX_WORK_GROUP_SIZE, Int.self)
    isAvailable = number(CL_DEVICE_AVAILABLE, cl_bool.self) != 0
    let vector = number(CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, cl_uint.self)
    vectorFloats = (2..<16).contains(vector) && !(kind == .cpu && Processor.hasAVX512) ? 8 : 16
    // A simulator may call itself a CPU and a GPU in one.
    let isGPU = kind == .gpu && type & Int(CL_DEVICE_TYPE_CPU) == 0
    let suits = maxWorkGroup >= DeviceClass.leastWorkGroup && localBytes >= DeviceClass.leastLocalBytes
    let vendor = vendor.lowercased()
    if !isGPU || !suits {
      deviceClass = .cpu
    } else if vendor.contains("nvidia") {
      deviceClass = .nvidia
    } else if vendor.contains("advanced micro devices") || vendor.contains("amd") {
      deviceClass = .amd
    } else if vendor.contains("intel") {
      deviceClass = .intel
    } else {
      deviceClass = .gpu
    }
  }
}
