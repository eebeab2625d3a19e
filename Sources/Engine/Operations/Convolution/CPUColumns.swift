import VectorMath

/// Convolutions on the CPU path: columns of a bounded run of pixels (im2col), then one matrix product.
enum CPUColumns {
  /// Channels [first, first + count) of an operand.
  typealias Source = (operand: vm_operand, first: Int, count: Int)

  /// How a plane's pixels are divided into runs, and the floats that a thread needs for a run.
  struct Layout {
    /// Pixels per run: the columns stay within half of a usual second-level cache, and the product wide enough for BLAS.
    let run: Int
    /// Floats of the columns (rows · run), and of the pixels that they are copied from.
    let columns: Int
    let stage: Int

    /// - Parameters:
    ///   - rows: of the columns, Σ channels · k².
    ///   - dilation: the largest, where there are several.
    init(rows: Int, plane: Int, kernel: Int, dilation: Int, outWidth: Int) {
      run = min(plane, max(256, (128 << 10) / max(1, rows)))
      columns = rows * run
      stage = Int(vm_im2col_stage(Int64(kernel), Int64(dilation), Int64(outWidth), Int64(run)))
    }

    var perThread: Int { columns + stage }
    func runs(_ plane: Int) -> Int { (plane + run - 1) / run }
  }

  static func scratchBytes(
    rows: Int, plane: Int, kernel: Int, dilation: Int, outWidth: Int, _ device: DeviceTraits
  ) -> Int {
    device.computeUnits * 4
      * Layout(rows: rows, plane: plane, kernel: kernel, dilation: dilation, outWidth: outWidth).perThread
  }

  static func weightGradientScratchBytes(
    rows: Int, columns: Int, plane: Int, kernel: Int, dilation: Int, outWidth: Int, _ device: DeviceTraits
  ) -> [Int] {
    let layout = Layout(rows: columns, plane: plane, kernel: kernel, dilation: dilation, outWidth: outWidth)
    return [layout.perThread, rows * layout.run, rows * columns].map { device.computeUnits * $0 * 4 }
  }

  /// Fills (Σ counts · k²) x count columns for pixels [start, start + count) of an output plane.
  static func fill(
    _ to: UnsafeMutablePointer<Float>, _ layout: Layout, _ sources: [Source], image: Int, kernel: Int, dilation: Int,
    padding: Int, outWidth: Int, start: Int, count: Int
  ) {
    let stage = to + layout.columns
    var to = to
    for var source in sources {
      vm_im2col(
        to, stage, &source.operand, Int64(image), Int64(source.first), Int64(source.count), Int64(kernel),
        Int64(dilation), Int64(padding), Int64(outWidth), Int64(start), Int64(count))
      to += source.count * kernel * kernel * count
    }
  }

  /// y[:, first ..< first + channels] = or += weights (channels, rows) · columns + bias.
  static func convolve(
    _ sources: [Source], weights: UnsafePointer<Float>, bias: UnsafePointer<Float>?, kernel: Int, dilation: Int,
    padding: Int, y: UnsafeMutablePointer<Float>, shape: Shape, first: Int, channels: Int, accumulates: Bool,
    columns: UnsafeMutablePointer<Float>, threads: Int
  ) {
    let rows = sources.reduce(0) { $0 + $1.count } * kernel * kernel
    let plane = shape.plane
    let layout = Layout(rows: rows, plane: plane, kernel: kernel, dilation: dilation, outWidth: shape.w)
    let (run, runs) = (layout.run, layout.runs(plane))
    parallelFor(threads) { part in
      let own = columns + part * layout.perThread
      for index in share(shape.n * runs, part, of: threads) {
        let image = index / runs
        let start = index % runs * run
        let count = min(run, plane - start)
        fill(
          own, layout, sources, image: image, kernel: kernel, dilation: dilation, padding: padding, outWidth: shape.w,
          start: start, count: count)
        let to = y + (image * shape.c + first) * plane + start
        if let bias, !accumulates {
          for o in 0..<channels { vm_fill(to + o * plane, bias[o], Int64(count)) }
        }
        BLAS.multiply(
          m: channels, n: count, k: rows, a: weights, lda: rows, b: own, ldb: count,
          beta: accumulates || bias != nil ? 1 : 0, c: to, ldc: plane)
      }
    }
  }

  /// dw (rows, columns) = or += Σ over pixels of rows · columnsᵀ; each thread sums its own pixels, added in order.
  static func weightGradient(
    rows: Source, shape: Shape, columns: [Source], kernel: Int, dilation: Int, padding: Int,
    dw: UnsafeMutablePointer<Float>, accumulates: Bool, scratch: [UnsafeMutablePointer<Float>], threads: Int
  ) {
    let width = columns.reduce(0) { $0 + $1.count } * kernel * kernel
    let plane = shape.plane
    let layout = Layout(rows: width, plane: plane, kernel: kernel, dilation: dilation, outWidth: shape.w)
    let (run, runs) = (layout.run, layout.runs(plane))
    parallelFor(threads) { part in
      let ownColumns = scratch[0] + part * layout.perThread
      let ownRows = scratch[1] + part * rows.count * run
      let sum = scratch[2] + part * rows.count * width
      vm_fill(sum, 0, Int64(rows.count * width))
      for index in share(shape.n * runs, part, of: threads) {
        let image = index / runs
        let start = index % runs * run
        let count = min(run, plane - start)
        fill(
          ownColumns, layout, columns, image: image, kernel: kernel, dilation: dilation, padding: padding, outWidth: shape.w,
          start: start, count: count)
        var operand = rows.operand
        for o in 0..<rows.count {
          vm_load_range(ownRows + o * count, &operand, Int64(image), Int64(rows.first + o), Int64(start), Int64(count))
        }
        BLAS.multiply(
          transposeB: true, m: rows.count, n: width, k: count, a: ownRows, lda: count, b: ownColumns, ldb: count,
          beta: 1, c: sum, ldc: width)
      }
    }
    let total = rows.count * width
    for part in 0..<threads {
      let sum = scratch[2] + part * total
      if part == 0 && !accumulates {
        dw.update(from: sum, count: total)
      } else {
        vm_add(dw, sum, Int64(total))
      }
    }
  }
}
