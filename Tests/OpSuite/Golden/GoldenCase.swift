import Engine
import Foundation

/// One case computed elsewhere: an operation's inputs and what it should give, from a safetensors file.
///
/// The metadata say what it is: `op`, `attrs` (a JSON object of numbers and strings), `tolerance` (the relative error
/// an fp32 implementation may have), `reference` (what computed it).
public struct GoldenCase: Sendable, CustomStringConvertible {
  /// The file's name without its extension.
  public let name: String
  public let path: String
  /// Such as `conv2d`.
  public let operation: String
  /// What computed the values.
  public let reference: String
  /// The largest relative error allowed for fp32.
  public let tolerance: Double
  /// The numbers among the attributes; true and false are 1 and 0.
  public let numbers: [String: Double]
  /// The strings among the attributes.
  public let texts: [String: String]
  /// Every tensor by name, in Double.
  public let tensors: [String: Tensor64]

  public var description: String { "\(name) (\(operation))" }

  /// Reads a file.
  ///
  /// - Throws: ``GoldenError`` when it isn't a safetensors file, lacks `op` or `tolerance`, or has attributes of
  ///   another kind.
  public init(path: String) throws(GoldenError) {
    func wrong(_ reason: String) -> GoldenError { .content(path: path, reason: reason) }
    let metadata: [String: String]
    var tensors: [String: Tensor64] = [:]
    do {
      let file = try SafetensorsFile(open: path)
      metadata = file.metadata
      for (name, info) in file.tensors {
        tensors[name] = Tensor64(info.shape, try file.doubles(name))
      }
    } catch {
      throw .file(error)
    }
    guard let operation = metadata["op"] else {
      throw wrong("the metadata lack op: not a golden case")
    }
    guard let text = metadata["tolerance"], let tolerance = Double(text), tolerance.isFinite,
      tolerance > 0
    else { throw wrong("the metadata lack a positive tolerance") }
    (numbers, texts) = try Self.attributes(metadata["attrs"] ?? "{}", path: path)
    name = URL(fileURLWithPath: path).deletingPathExtension().lastPathComponent
    self.path = path
    self.operation = operation
    self.tolerance = tolerance
    self.tensors = tensors
    reference = metadata["reference"] ?? "unknown"
  }

  /// A case made in memory, such as one of a kind that no file has.
  public init(
    name: String, operation: String, tolerance: Double, numbers: [String: Double], tensors: [String: Tensor64]
  ) {
    self.name = name
    path = name
    self.operation = operation
    self.tolerance = tolerance
    self.numbers = numbers
    self.tensors = tensors
    texts = [:]
    reference = "made in memory"
  }

  private static func attributes(
    _ json: String, path: String
  ) throws(GoldenError) -> (numbers: [String: Double], texts: [String: String]) {
    guard let object = try? JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any]
    else {
      throw .content(path: path, reason: "attrs is not a JSON object: \(json.prefix(80))")
    }
    var numbers: [String: Double] = [:]
    var texts: [String: String] = [:]
    for (key, value) in object {
      if let number = value as? NSNumber {
        numbers[key] = number.doubleValue
      } else if let text = value as? String {
        texts[key] = text
      } else {
        throw .content(path: path, reason: "the attribute \(key) is neither a number nor a string")
      }
    }
    return (numbers, texts)
  }

  /// A tensor that has to be there.
  public func tensor(_ name: String) throws(GoldenError) -> Tensor64 {
    guard let tensor = tensors[name] else {
      throw .content(path: path, reason: "tensor \(name) is missing from this \(operation) case")
    }
    return tensor
  }

  /// A number that has to be among the attributes.
  public func number(_ key: String) throws(GoldenError) -> Double {
    guard let number = numbers[key] else {
      throw .content(path: path, reason: "attribute \(key) is missing from this \(operation) case")
    }
    return number
  }

  /// A whole number that has to be among the attributes.
  public func integer(_ key: String) throws(GoldenError) -> Int {
    guard let integer = Int(exactly: try number(key)) else {
      throw .content(path: path, reason: "attribute \(key) is not a whole number")
    }
    return integer
  }

  /// The tensors whose names begin with `prefix`, without it: `init.`, `grad.`, `final.` of a training case.
  public func tensors(under prefix: String) -> [String: Tensor64] {
    var result: [String: Tensor64] = [:]
    for (name, tensor) in tensors where name.hasPrefix(prefix) {
      result[String(name.dropFirst(prefix.count))] = tensor
    }
    return result
  }

  /// The tensors an implementation is given: the rest of ``tensors`` is what it should compute.
  public var inputNames: Set<String> {
    let given: Set<String> =
      switch operation {
      case "conv2d", "conv_transpose2d": ["x", "weight", "bias", "grad_y"]
      case "batch_norm": ["x", "weight", "bias", "running_mean", "running_var", "grad_y"]
      case "max_pool2d", "relu": ["x", "grad_y"]
      case "concat": ["a", "b", "grad_y"]
      case "bce_dice_loss": ["logits", "target"]
      case "adam": Set(tensors.keys.filter { $0 == "param" || $0.hasPrefix("grad_") })
      case "variable_unet_training":
        Set(
          tensors.keys.filter {
            $0.hasPrefix("init.") || $0.hasPrefix("x_") || $0.hasPrefix("target_")
          })
      default: []
      }
    return given.intersection(tensors.keys)
  }

  /// The tensors an implementation should compute, sorted.
  public var expectedNames: [String] {
    tensors.keys.filter { !inputNames.contains($0) }.sorted()
  }

  /// Holds one result against the file.
  ///
  /// - Parameter tolerance: instead of the case's own, for an implementation in Double. `final.` has 20 times either.
  public func compare(
    _ name: String, _ got: Tensor64, tolerance: Double? = nil
  ) throws(GoldenError) -> TensorComparison {
    TensorComparison(
      name: name, got: got, want: try tensor(name),
      tolerance: (tolerance ?? self.tolerance) * (name.hasPrefix("final.") ? 20 : 1))
  }

  /// The golden files at a path: itself, or those in a folder and the folders in it, sorted.
  ///
  /// - Throws: ``GoldenError`` when there is nothing there.
  public static func files(at path: String) throws(GoldenError) -> [String] {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw .content(path: path, reason: "there is no such file or folder")
    }
    guard isFolder.boolValue else { return [path] }
    let names = ((try? FileManager.default.subpathsOfDirectory(atPath: path)) ?? [])
      .filter { $0.hasSuffix(".safetensors") }.sorted()
    guard !names.isEmpty else {
      throw .content(path: path, reason: "the folder holds no .safetensors files")
    }
    return names.map { URL(fileURLWithPath: path).appendingPathComponent($0).path }
  }

  /// The folder of golden files beside the package, `../shared/golden` from its root; nil where there is none.
  ///
  /// - Parameter source: a file in the package; by default the caller's own.
  public static func folder(besidePackageOf source: String = #filePath) -> String? {
    var directory = URL(fileURLWithPath: source).deletingLastPathComponent().standardizedFileURL
    while !FileManager.default.fileExists(
      atPath: directory.appendingPathComponent("Package.swift").path)
    {
      guard directory.path != "/" else { return nil }
      directory.deleteLastPathComponent()
    }
    let folder = directory.deletingLastPathComponent().appendingPathComponent("shared/golden").path
    return FileManager.default.fileExists(atPath: folder) ? folder : nil
  }
}
