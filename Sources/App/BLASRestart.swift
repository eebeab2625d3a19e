import Engine
import Foundation

/// Starts the program again where OpenBLAS did not know the processor: it chooses its kernels as it is loaded, before any of this runs.
enum BLASRestart {
  /// Returns where nothing is to be done, or cannot be: then the program is slower, but right.
  static func ifNeeded() {
    guard getenv(BLASKernels.variable) == nil, let kernels = BLASKernels.shouldBe,
      let program = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"),
      // Started by way of the dynamic loader, whose arguments are gone.
      !(program as NSString).lastPathComponent.hasPrefix("ld")
    else { return }
    // Once: the variable is there in the program that follows.
    setenv(BLASKernels.variable, kernels, 1)
    execv(program, CommandLine.unsafeArgv)
  }
}
