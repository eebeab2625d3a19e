import ArgumentParser
import Foundation
import Testing

@testable import App

/// The help of every command, beside a snapshot in `Help/`: a change of words shows in the diff that made it.
@Suite struct HelpTests {
  private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Help")

  private static let commands: [(name: String, type: any ParsableCommand.Type)] = list("glomseg", Root.self)

  private static func list(
    _ name: String, _ type: any ParsableCommand.Type
  ) -> [(name: String, type: any ParsableCommand.Type)] {
    [(name, type)]
      + type.configuration.subcommands.flatMap { list(name + " " + ($0.configuration.commandName ?? ""), $0) }
  }

  @Test(arguments: commands.map(\.name))
  func helpIsAsItWas(_ name: String) throws {
    let type = try #require(Self.commands.first { $0.name == name }?.type)
    let text = Root.helpMessage(for: type, columns: 80) + "\n"
    let file = Self.folder.appendingPathComponent(name.replacingOccurrences(of: " ", with: "-") + ".txt")
    guard let snapshot = try? String(contentsOf: file, encoding: .utf8) else {
      try text.write(to: file, atomically: true, encoding: .utf8)
      Issue.record("there was no snapshot of '\(name) --help'; one was written to \(file.path): read it, then run again")
      return
    }
    #expect(text == snapshot, "delete \(file.path) and run again to take the new text")
  }

  /// A command that does something shows how.
  @Test(arguments: commands.filter { $0.type.configuration.subcommands.isEmpty }.map(\.name))
  func helpHasAnExample(_ name: String) throws {
    let type = try #require(Self.commands.first { $0.name == name }?.type)
    #expect(type.configuration.discussion.contains("Example: \(name)"))
  }

  @Test func everySnapshotIsOfACommand() throws {
    let files = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path)
    let names = Set(Self.commands.map { $0.name.replacingOccurrences(of: " ", with: "-") + ".txt" })
    #expect(Set(files) == names)
  }
}
