// swift-tools-version: 6.2
import PackageDescription

/// One list of strict settings for every Swift target.
let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")

let package = Package(
  name: "glomseg",
  products: [
    .executable(name: "glomseg", targets: ["App"]),
    .library(name: "GlomsegEngine", targets: ["Engine"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
  ],
  targets: [
    // C: the OpenCL bridge, the kernels' text, BLAS, vector loops, image codecs, TIFF.
    .target(name: "CLBridge", linkerSettings: [.linkedLibrary("OpenCL")]),
    .target(name: "Kernels"),
    .target(name: "PeerScripts"),
    .systemLibrary(name: "CBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
    .target(name: "VectorMath", linkerSettings: [.linkedLibrary("m")]),
    .target(
      name: "ImageCodecs", linkerSettings: [.linkedLibrary("png"), .linkedLibrary("jpeg")]),
    .systemLibrary(name: "CTIFF", pkgConfig: "libtiff-4", providers: [.apt(["libtiff-dev"])]),
    .target(
      name: "TIFFBridge", dependencies: ["CTIFF"], linkerSettings: [.linkedLibrary("jpeg"), .linkedLibrary("z")]),

    // Swift: images and data sets know no engine; the engine knows no images.
    .target(name: "Randomness", swiftSettings: strict),
    .target(name: "Host", swiftSettings: strict),
    .target(name: "Threads", dependencies: ["Host"], swiftSettings: strict),
    .target(name: "Images", dependencies: ["ImageCodecs"], swiftSettings: strict),
    .target(name: "Slides", dependencies: ["Images", "TIFFBridge", "Threads"], swiftSettings: strict),
    .target(
      name: "Datasets", dependencies: ["Images", "Randomness", "Slides", "Threads"], swiftSettings: strict),
    .target(
      name: "Engine", dependencies: ["CLBridge", "Kernels", "CBLAS", "VectorMath", "Host", "Randomness"],
      swiftSettings: strict),
    .target(
      name: "OpSuite", dependencies: ["Engine"], path: "Tests/OpSuite", swiftSettings: strict),
    .target(
      name: "Benchmarks", dependencies: ["Engine", "Randomness"], path: "benchmarks/Sources", swiftSettings: strict),
    .target(
      name: "Runs", dependencies: ["Engine", "Datasets", "Host", "Images", "Randomness", "Slides", "Threads", yams],
      swiftSettings: strict
    ),
    .target(
      name: "Reports", dependencies: ["Runs", "Engine", "Datasets", "Images"], swiftSettings: strict),
    .executableTarget(
      name: "App",
      dependencies: [
        "Engine", "Runs", "Reports", "Benchmarks", "Host", "Images", "Slides", "Datasets", "OpSuite", "PeerScripts",
        argumentParser,
        logging, yams,
      ],
      swiftSettings: strict),

    .testTarget(name: "HostTests", dependencies: ["Host"], swiftSettings: strict),
    .testTarget(name: "ImagesTests", dependencies: ["Images"], swiftSettings: strict),
    .testTarget(name: "SlidesTests", dependencies: ["Slides", "Images", "Randomness"], swiftSettings: strict),
    .testTarget(
      name: "DatasetsTests", dependencies: ["Datasets", "Images", "Randomness", "Slides", "Threads"],
      swiftSettings: strict),
    .testTarget(
      name: "EngineTests", dependencies: ["Engine", "Host", "OpSuite"], swiftSettings: strict),
    .testTarget(
      name: "RunsTests", dependencies: ["Runs", "Engine", "Images", "Datasets", "Slides"], swiftSettings: strict),
    .testTarget(
      name: "ReportsTests", dependencies: ["Reports", "Runs", "Engine", "Images", "Datasets"], swiftSettings: strict),
    .testTarget(
      name: "AppTests", dependencies: ["App", "Benchmarks", "Engine", "Images", "Datasets", "Runs", "Slides", argumentParser],
      exclude: ["Help"],
      swiftSettings: strict),
  ],
  cLanguageStandard: .gnu2x
)
