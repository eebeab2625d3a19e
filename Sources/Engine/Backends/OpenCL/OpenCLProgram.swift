internal import CLBridge
import Glibc

/// One like those of OpenCLObjects.swift.
final class OpenCLProgram {
  let raw: OpaquePointer
  init(_ context: OpenCLContext, sources: [String], _ call: OpenCLCall) throws(EngineError) {
    raw = try call.make("clCreateProgramWithSource") { status in
      let copies = sources.map { strdup($0) }
      defer { copies.forEach { free($0) } }
      var pointers: [UnsafePointer<CChar>?] = copies.map { UnsafePointer($0) }
      return clCreateProgramWithSource(context.raw, cl_uint(pointers.count), &pointers, nil, status)
    }
  }

  /// - Parameter binary: what the driver gave for a program that it had built.
  init(_ context: OpenCLContext, device: cl_device_id, binary: [UInt8], _ call: OpenCLCall) throws(EngineError) {
    raw = try call.make("clCreateProgramWithBinary") { status in
      binary.withUnsafeBufferPointer { bytes in
        var (device, size, start): (cl_device_id?, Int, UnsafePointer<UInt8>?) = (device, bytes.count, bytes.baseAddress)
        var accepted: cl_int = CL_SUCCESS
        let program = clCreateProgramWithBinary(context.raw, 1, &device, &size, &start, &accepted, status)
        if status.pointee == CL_SUCCESS { status.pointee = accepted }
        return program
      }
    }
  }

  deinit { clReleaseProgram(raw) }

  /// - Parameters:
  ///   - file: what an error names.
  ///   - macros: what it names beside the options.
  /// - Throws: `.build` with the log where the compiler, or an assembler behind it, refuses.
  func build(
    for device: cl_device_id, _ options: String, file: String, macros: String = "", _ call: OpenCLCall
  ) throws(EngineError) {
    var raw: cl_device_id? = device
    do throws(EngineError) {
      try call.run("clBuildProgram") { clBuildProgram(self.raw, 1, &raw, options, nil, nil) }
    } catch {
      guard case .device(let status, _, _) = error else { throw error }
      // An assembler may refuse under another status: then only the log says why.
      let log = log(for: device)
      guard status.code == CL_BUILD_PROGRAM_FAILURE || log.lowercased().contains("error") else { throw error }
      let missing = log.isEmpty ? Self.missingCompiler(device) : nil
      throw .build(file: file, options: "\(options) \(macros)", device: call.device, log: missing ?? log)
    }
  }

  /// Since version 525 NVIDIA's driver compiles by a library that a container may lack; the log is then empty.
  private static func missingCompiler(_ device: cl_device_id) -> String? {
    var out: UnsafeMutablePointer<CChar>?
    guard clb_device_string(device, cl_device_info(CL_DEVICE_VENDOR), &out) == CL_SUCCESS, let out else { return nil }
    defer { clb_free(out) }
    guard String(cString: out).hasPrefix("NVIDIA"), dlopen(nvidiaCompiler, RTLD_LAZY) == nil else { return nil }
    return "\(nvidiaCompiler), NVIDIA's compiler, cannot be loaded: it is a part of the driver that has to be there too"
  }
  private static let nvidiaCompiler = "libnvidia-nvvm.so.4"

  func log(for device: cl_device_id) -> String {
    var out: UnsafeMutablePointer<CChar>?
    guard clb_build_log(raw, device, &out) == CL_SUCCESS, let out else { return "(no log)" }
    defer { clb_free(out) }
    return String(cString: out)
  }

  /// The driver's own form of the built program; empty where it gives none.
  func binary(_ call: OpenCLCall) throws(EngineError) -> [UInt8] {
    var out: UnsafeMutablePointer<CChar>?
    var size = 0
    try call.run("clGetProgramInfo") { clb_program_binary(raw, &out, &size) }
    guard let out else { return [] }
    defer { clb_free(out) }
    return out.withMemoryRebound(to: UInt8.self, capacity: size) { Array(UnsafeBufferPointer(start: $0, count: size)) }
  }
}
