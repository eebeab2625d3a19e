import Foundation
import Testing

/// Who may import what: only operations know mathematics, only backends know devices, only CLBridge knows C.
@Suite struct LayeringTests {
  static let cModules: Set<String> = ["CLBridge", "Kernels", "CBLAS", "VectorMath"]

  /// The one place for each C module; VectorMath, plain loops over pointers, is also what operations run on the CPU.
  @Test func cModulesAreImportedWhereTheyBelong() throws {
    for file in try Sources.files(under: "Sources/Engine") {
      for module in file.imports.intersection(Self.cModules) {
        let allowed =
          switch module {
          case "CLBridge": file.path.hasPrefix("Sources/Engine/Backends/OpenCL/")
          case "Kernels": file.path == "Sources/Engine/Backends/OpenCL/ProgramCache.swift"
          case "CBLAS": file.path == "Sources/Engine/Backends/CPU/BLAS.swift"
          default:
            file.path.hasPrefix("Sources/Engine/Backends/CPU/") || file.path.hasPrefix("Sources/Engine/Operations/")
          }
        #expect(allowed, "\(file.path) imports \(module)")
      }
    }
  }

  @Test func graphAndTensorKnowNoDevice() throws {
    for folder in ["Sources/Engine/Graph", "Sources/Engine/Tensor"] {
      for file in try Sources.files(under: folder) {
        #expect(file.imports.isDisjoint(with: Self.cModules), "\(file.path) imports \(file.imports)")
        #expect(
          !file.text.contains("OpenCLBackend") && !file.text.contains("CPUBackend"), "\(file.path) names a backend")
        #expect(!file.text.contains("cl_mem") && !file.text.contains("cblas_"), "\(file.path) calls a C library")
      }
    }
  }

  /// Operations describe launches as data, so no OpenCL type may appear in them.
  @Test func operationsCallNoDevice() throws {
    for file in try Sources.files(under: "Sources/Engine/Operations") {
      for word in ["clEnqueue", "cl_mem", "OpenCLBuffer", "OpenCLBackend"] {
        #expect(!file.text.contains(word), "\(file.path) contains \(word)")
      }
    }
  }

  @Test func engineHasNoFoundationInItsHotPath() throws {
    for folder in [
      "Sources/Engine/Graph", "Sources/Engine/Operations", "Sources/Engine/Backends", "Sources/Engine/Tensor",
    ] {
      for file in try Sources.files(under: folder) {
        #expect(!file.imports.contains("Foundation"), "\(file.path) imports Foundation")
      }
    }
  }

  @Test func modulesImportOneWay() throws {
    for file in try Sources.files(under: "Sources/Runs") {
      #expect(!file.imports.contains("Reports"), "\(file.path) imports Reports")
    }
    for folder in ["Sources/Images", "Sources/Slides", "Sources/Datasets", "Sources/Engine", "Sources/Runs", "Sources/Reports"] {
      for file in try Sources.files(under: folder) {
        #expect(
          !file.imports.contains("App") && !file.imports.contains("OpSuite"), "\(file.path) imports \(file.imports)")
        if ["Sources/Images", "Sources/Slides", "Sources/Datasets"].contains(folder) {
          #expect(!file.imports.contains("Engine"), "\(file.path) imports Engine")
        }
      }
    }
  }

  /// libtiff and OpenSlide stay inside Slides.
  @Test func slidesAloneReadTIFF() throws {
    for folder in ["Sources/Images", "Sources/Datasets", "Sources/Runs", "Sources/App", "Sources/Slides"] {
      for file in try Sources.files(under: folder) {
        let reads = file.imports.contains("TIFFBridge") || file.text.contains("dlopen")
        #expect(!reads || folder == "Sources/Slides", "\(file.path) reads TIFF or OpenSlide itself")
        if folder == "Sources/Slides" {
          #expect(file.imports.isDisjoint(with: ["Datasets", "Runs", "App"]), "\(file.path) imports \(file.imports)")
        }
      }
    }
  }

  /// The reference must not share code with what it verifies.
  @Test func referenceUsesNothingOfTheEngine() throws {
    for file in try Sources.files(under: "Tests/OpSuite/Reference") {
      #expect(file.imports.isSubset(of: ["Foundation"]), "\(file.path) imports \(file.imports)")
    }
  }
}
