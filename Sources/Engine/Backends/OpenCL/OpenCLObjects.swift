internal import CLBridge
import Glibc

// One class per OpenCL object, one handle each, released when the last reference goes. Classes rather than noncopyable
// structs because they live in arrays and dictionaries. Handles never leave this folder.

final class OpenCLContext {
  let raw: OpaquePointer
  init(device: cl_device_id, _ call: OpenCLCall) throws(EngineError) {
    var device: cl_device_id? = device
    raw = try call.make("clCreateContext") { clCreateContext(nil, 1, &device, nil, nil, $0) }
  }
  deinit { clReleaseContext(raw) }
}

final class OpenCLQueue {
  let raw: OpaquePointer
  init(_ context: OpenCLContext, device: cl_device_id, profiling: Bool, _ call: OpenCLCall) throws(EngineError) {
    let properties = profiling ? cl_command_queue_properties(CL_QUEUE_PROFILING_ENABLE) : 0
    raw = try call.make("clCreateCommandQueue") { clCreateCommandQueue(context.raw, device, properties, $0) }
  }
  deinit {
    clFinish(raw)
    clReleaseCommandQueue(raw)
  }
}

final class OpenCLBuffer {
  let raw: OpaquePointer
  let byteCount: Int
  /// What a sub-buffer is part of: it must outlive it.
  let parent: OpenCLBuffer?
  /// Where in it the sub-buffer begins, bytes.
  let origin: Int

  init(_ context: OpenCLContext, byteCount: Int, _ call: OpenCLCall) throws(EngineError) {
    parent = nil
    origin = 0
    self.byteCount = byteCount
    raw = try call.make("clCreateBuffer") { clCreateBuffer(context.raw, cl_mem_flags(CL_MEM_READ_WRITE), byteCount, nil, $0) }
  }

  init(part offset: Int, _ byteCount: Int, of parent: OpenCLBuffer, _ call: OpenCLCall) throws(EngineError) {
    self.parent = parent
    origin = offset
    self.byteCount = byteCount
    var region = cl_buffer_region(origin: offset, size: byteCount)
    raw = try call.make("clCreateSubBuffer") {
      clCreateSubBuffer(
        parent.raw, cl_mem_flags(CL_MEM_READ_WRITE), cl_buffer_create_type(CL_BUFFER_CREATE_TYPE_REGION), &region, $0)
    }
  }

  deinit { clReleaseMemObject(raw) }
}

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

final class OpenCLKernel {
  let raw: OpaquePointer
  /// The program must outlive its kernels on some drivers.
  private let program: OpenCLProgram
  init(_ program: OpenCLProgram, function: String, _ call: OpenCLCall) throws(EngineError) {
    self.program = program
    raw = try call.make("clCreateKernel") { clCreateKernel(program.raw, function, $0) }
  }
  deinit { clReleaseKernel(raw) }
}

final class OpenCLEvent {
  let raw: OpaquePointer
  init(_ raw: OpaquePointer) { self.raw = raw }
  deinit { clReleaseEvent(raw) }
}

import Glibc
