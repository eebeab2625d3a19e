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
