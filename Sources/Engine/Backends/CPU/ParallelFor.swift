import Dispatch

/// Runs `body(part)` for each part on several threads and waits. The one place that lets a pointer cross threads:
/// the bodies of a call write disjoint memory.
func parallelFor(_ parts: Int, _ body: (Int) -> Void) {
  if parts <= 1 {
    if parts == 1 { body(0) }
    return
  }
  withoutActuallyEscaping(body) { escaping in
    nonisolated(unsafe) let shared = escaping
    DispatchQueue.concurrentPerform(iterations: parts) { shared($0) }
  }
}

/// The half-open range of `count` items that falls to `part` of `parts`, in order.
func share(_ count: Int, _ part: Int, of parts: Int) -> Range<Int> {
  (count * part / parts)..<(count * (part + 1) / parts)
}
