/// What can go wrong with a run's files and settings. One sentence that names the file or the setting.
public enum RunError: Error, Sendable, CustomStringConvertible {
  case file(path: String, problem: String)
  case setting(name: String, problem: String)
  case request(String)

  public var description: String {
    switch self {
    case .file(let path, let problem): "\(path): \(problem)"
    case .setting(let name, let problem): "\(name): \(problem)"
    case .request(let problem): problem
    }
  }
}
