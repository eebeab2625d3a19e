import Foundation

/// The system's own words for a failed file operation, such as "No such file or directory": Foundation wraps them in an
/// error that only has a number to say.
package func systemReason(_ error: any Error) -> String {
  let wrapper = error as NSError
  if wrapper.domain == NSPOSIXErrorDomain { return String(cString: strerror(Int32(wrapper.code))) }
  if let cause = wrapper.userInfo[NSUnderlyingErrorKey] as? any Error { return systemReason(cause) }
  return error.localizedDescription
}
