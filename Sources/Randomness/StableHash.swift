/// FNV-1a over bytes, 64 bits: the same in every process and on every machine, unlike `Hasher`.
package struct StableHash {
  package private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

  package mutating func combine(_ bytes: some Sequence<UInt8>) {
    for byte in bytes { value = (value ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
  }

  package init(_ bytes: some Sequence<UInt8>) { combine(bytes) }

  /// Hexadecimal digits, 16 at most.
  package var digits: String { String(value, radix: 16) }
}
