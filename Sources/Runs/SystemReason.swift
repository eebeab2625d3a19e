import Foundation

/// The system's own words for a failed file operation, such as "No such file or directory": Foundation wraps them in an
/// error that only has a number to say.
package func systemReason(_ error: any Error) -> String {
  let error = error as NSError
  if error.domain == NSPOSIXErrorDomain { return String(cString: strerror(Int32(error.code))) }
  if let cause = error.userInfo[NSUnderlyingErrorKey] as? NSError { return systemReason(cause) }
  return error.localizedDescription
}
