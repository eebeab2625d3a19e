internal import CLBridge

/// Buffers that the host writes through a queue of their own while the device runs a step, and from which the next step copies
/// into its inputs. Shared by the executables that share an arena: one batch waits at a time.
final class OpenCLUploads {
  private let backend: OpenCLBackend
  private let queue: OpenCLQueue
  private var buffers: [OpenCLBuffer] = []
  /// The last copy out of the buffers: they may be written again behind it.
  private var copied: OpenCLEvent?

  /// - Parameter bytes: of each input.
  init(_ bytes: [Int], _ backend: OpenCLBackend) throws(EngineError) {
    self.backend = backend
    queue = try OpenCLQueue(backend.context, device: backend.device.raw, profiling: false, backend.call)
    for count in bytes { buffers.append(try backend.makeBuffer(count, for: "an upload")) }
  }

  func holds(_ bytes: [Int]) -> Bool { buffers.count >= bytes.count && zip(buffers, bytes).allSatisfy { $0.byteCount >= $1 } }

  /// Writes input `index`, and returns when its bytes may be reused; the step that the device runs meanwhile goes on.
  func write(_ from: UnsafeRawPointer, _ byteCount: Int, to index: Int) throws(EngineError) {
    let waitsFor: [cl_event?] = copied.map { [$0.raw] } ?? []
    try backend.call.run("clEnqueueWriteBuffer") {
      waitsFor.withUnsafeBufferPointer { events in
        clEnqueueWriteBuffer(
          queue.raw, buffers[index].raw, cl_bool(CL_TRUE), 0, byteCount, from, cl_uint(events.count),
          events.isEmpty ? nil : events.baseAddress, nil)
      }
    }
  }

  /// Enqueues the copy of what was written to an input, behind all that was enqueued before.
  func copy(_ index: Int, _ byteCount: Int, to input: OpenCLBuffer) throws(EngineError) {
    var event: cl_event?
    try backend.call.run("clEnqueueCopyBuffer") {
      clEnqueueCopyBuffer(backend.queue.raw, buffers[index].raw, input.raw, 0, 0, byteCount, 0, nil, &event)
    }
    copied = event.map(OpenCLEvent.init)
  }
}
