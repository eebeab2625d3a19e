/// The attributes that a convolution and its gradients share.
///
/// The output channels may be split into branches of different dilation, stacked in order: the dilated bottleneck is
/// one convolution. All branches give planes of one size.
public struct ConvolutionShape: Sendable, Equatable {
  /// Consecutive output channels of one dilation.
  public struct Branch: Sendable, Equatable {
    public let channels: Int
    public let dilation: Int
    public let padding: Int
    public init(channels: Int, dilation: Int, padding: Int) {
      self.channels = channels
      self.dilation = dilation
      self.padding = padding
    }
  }

  /// Side of the kernel.
  public let kernel: Int
  public let branches: [Branch]

  public init(kernel: Int, branches: [Branch]) {
    precondition(kernel >= 1 && !branches.isEmpty, "a convolution has a kernel and at least one branch")
    self.kernel = kernel
    self.branches = branches
  }

  /// One branch; `padding` nil keeps the plane's size (odd kernels).
  public init(channels: Int, kernel: Int, dilation: Int = 1, padding: Int? = nil) {
    self.init(
      kernel: kernel,
      branches: [Branch(channels: channels, dilation: dilation, padding: padding ?? dilation * (kernel - 1) / 2)])
  }

  public var outChannels: Int { branches.reduce(0) { $0 + $1.channels } }
  var taps: Int { kernel * kernel }
  var largestDilation: Int { branches.map(\.dilation).max() ?? 1 }

  /// Branches with the first output channel of each.
  var placedBranches: [(branch: Branch, first: Int)] {
    var first = 0
    return branches.map { branch in
      defer { first += branch.channels }
      return (branch, first)
    }
  }

  /// Rows and columns of the output for an input plane.
  func outputPlane(_ h: Int, _ w: Int, operation: String) throws(EngineError) -> (h: Int, w: Int) {
    var plane: (h: Int, w: Int)?
    for branch in branches {
      let shrink = branch.dilation * (kernel - 1) - 2 * branch.padding
      let own = (h: h - shrink, w: w - shrink)
      guard own.h >= 1, own.w >= 1 else {
        throw .shape(operation: operation, problem: "a plane of \(h)x\(w) is smaller than the dilated kernel")
      }
      if let plane, plane != own {
        throw .shape(operation: operation, problem: "branches give planes of different sizes")
      }
      plane = own
    }
    guard let plane else { throw .shape(operation: operation, problem: "no branches") }
    return plane
  }
}
