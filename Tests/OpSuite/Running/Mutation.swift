public import Engine

/// A fault planted in a kernel's text: the catalogue has to catch each.
public struct Mutation: Sendable, CustomStringConvertible {
  public let name: String
  /// The embedded file that it is in.
  public let file: String
  /// What it replaces, by what; each must occur in the file.
  public let edits: [(find: String, replace: String)]
  /// Part of the names of the cases that are to catch it: one case's, where compiling those before it would take long.
  public let filter: String
  /// The kernels that it is one of, and what they round to.
  public let kernels: KernelChoice
  public let precision: Precision

  public var description: String { name }

  init(
    _ name: String, in file: String, caughtBy filter: String, as kernels: KernelChoice = .cpu,
    precision: Precision = .fp32, _ edits: (String, String)...
  ) {
    self.name = name
    self.kernels = kernels
    self.precision = precision
    self.file = file
    self.filter = filter
    self.edits = edits.map { (find: $0.0, replace: $0.1) }
  }

  /// The text with the fault; nil where what it replaces isn't there, as after the kernel was rewritten.
  public func apply(to text: String) -> String? {
    var text = text
    for edit in edits {
      guard text.contains(edit.find) else { return nil }
      text = text.replacing(edit.find, with: edit.replace)
    }
    return text
  }

  public static let all: [Mutation] = [
    Mutation(
      "a dilation off by one", in: "conv2d_stage.clh", caughtBy: "convolution/n1_c3_o8_h9_w7_k3_d2_seed1",
      ("(q) * DILATION)", "(q) * (DILATION - (DILATION > 1)))")),
    Mutation(
      "a tap swapped under GATHER", in: "conv2d_stage.clh", caughtBy: "convolution/n1_c2_o3_h20_w21_k3_d9_seed1",
      ("(((p) * K + (q)) * tap_plane)", "(((q) * K + (p)) * tap_plane)")),
    Mutation(
      "a swapped stride", in: "conv2d.cl", caughtBy: "convolution/",
      ("(ulong)(tile_y + i) * out_width + tile_x + j", "(ulong)(tile_y + i) * out_height + tile_x + j")),
    Mutation(
      "an unwritten edge column", in: "conv2d.cl", caughtBy: "convolution/",
      ("int count = min(16, columns - j);", "int count = min(16, columns - j) - 1;")),
    Mutation(
      "a write beyond the last row", in: "conv2d.cl", caughtBy: "convolution/",
      ("int rows = min(tile_height, out_height - tile_y),", "int rows = tile_height,")),
    Mutation(
      "a dropped bias", in: "conv2d.cl", caughtBy: "convolution/",
      ("bias[bias_first + (o + b) / bias_per]", "0.0f")),
    Mutation(
      "a gradient that isn't added to", in: "conv2d.cl", caughtBy: "convolution/",
      ("bool add = accumulate || c_begin > 0;", "bool add = c_begin > 0;")),
    Mutation(
      "weights not flipped for the gradient", in: "conv2d_pack.cl", caughtBy: "convolution/n2_c5_o9_h17_w33_k3_d1_seed1",
      ("(taps - 1 - t)", "t")),
    Mutation(
      "the halo between two images of a tile not skipped", in: "conv2d_weight_gradient.cl",
      caughtBy: "convolution/n3_c9+20_o17+9_h10_w19_k3_d1+2_view-relu+plain_then-relu_seed1",
      ("i = 0, xi += image_staged - rows * PITCH;", "i = 0;")),
    Mutation(
      "a vector across the edge moved the wrong way", in: "conv2d_stage.clh",
      caughtBy: "convolution/n2_c5_o9_h17_w33_k3_d1_seed1",
      ("lanes + 16 + column - near", "lanes + 16 - column + near")),
    Mutation(
      "a slice of the weight gradient left out", in: "conv2d_reduce.cl", caughtBy: "convolution/",
      ("s < slices; s++", "s < slices - (slices > 1); s++")),
    Mutation(
      "a sign in Winograd's input transform", in: "conv2d_winograd.clh", caughtBy: "convolution/n1_c33_o32_h9_w35_k3_d1_seed1",
      ("t[2] = d2 - d1", "t[2] = d1 - d2")),
    Mutation(
      "a point of Winograd's output transform left out", in: "conv2d_winograd.clh",
      caughtBy: "convolution/n1_c33_o32_h9_w35_k3_d1_seed1",
      ("out[2 * i + 1] = s[i][1] - s[i][2] - s[i][3];", "out[2 * i + 1] = s[i][1] - s[i][2];")),
    Mutation(
      "Winograd's last row left unmasked", in: "conv2d_winograd.cl", caughtBy: "convolution/n1_c33_o32_h9_w35_k3_d1_seed1",
      ("r < 2 && i + r < rows", "r < 2")),
    Mutation(
      "Winograd's weight gradient summed over one tile", in: "conv2d_winograd_weight_gradient.cl",
      caughtBy: "convolution/n2_c20_o32_h70_w66_k3_d1_seed1",
      ("tile == first ? acc[b][v] : vload16(v, at) + acc[b][v]", "acc[b][v]")),
    Mutation(
      "channels of dz not turned", in: "conv2d_winograd_weight_gradient.cl",
      caughtBy: "convolution/n1_c33_o32_h9_w35_k3_d1_seed1",
      ("          transpose16(v);\n", "")),
    Mutation(
      "a patch read before it is staged", in: "conv2d_gpu.cl", caughtBy: "convolution/", as: .nvidia,
      ("barrier(CLK_LOCAL_MEM_FENCE);\n\n", "\n\n")),
    Mutation(
      "a halo a column short", in: "conv2d_gpu.cl", caughtBy: "convolution/n2_c5_o9_h17_w33_k3_d1_seed1", as: .nvidia,
      ("#define PATCH_W (TILE_W + HALO)", "#define PATCH_W (TILE_W + HALO - (HALO > 0))")),
    Mutation(
      "half a segment left unwritten", in: "conv2d_gpu.cl", caughtBy: "convolution/n1_c3_o4_h8_w12_k3_d1_twice_seed1",
      as: .nvidia,
      ("if (count > 4) put4(", "if (count > 8) put4(")),
    Mutation(
      "a GPU's gradient that isn't added to", in: "conv2d_gpu.cl", caughtBy: "convolution/n1_c3_o4_h8_w12_k3_d1_twice_seed1",
      as: .gpu,
      ("!Y_STORED && accumulate ? element4(0, y, to) + sums[b].lo : sums[b].lo", "sums[b].lo")),
    Mutation(
      "a column beyond the plane read", in: "conv2d_gpu.clh", caughtBy: "convolution/", as: .nvidia,
      ("column >= width", "column > width")),
    Mutation(
      "a slice's first tile left out", in: "conv2d_gpu_weight_gradient.cl",
      caughtBy: "convolution/n2_c5_o9_h17_w33_k3_d1_seed1", as: .nvidia,
      ("for (int tile = first;", "for (int tile = first + (last - first > 1);")),
    Mutation(
      "a row of the weight gradient's window skipped", in: "conv2d_gpu_weight_gradient.cl",
      caughtBy: "convolution/n2_c5_o9_h17_w33_k3_d1_seed1",
      as: .gpu, ("xi[c * C_LANES * X_PLANE + a * DILATION * PITCH + j + HALO]", "xi[c * C_LANES * X_PLANE + j + HALO]")),
    Mutation(
      "a slice left out of the GPU's sum", in: "conv2d_gpu_weight_gradient.cl", caughtBy: "convolution/", as: .nvidia,
      ("s < slices; s += 16", "s < slices - (slices > 1); s += 16")),
    Mutation(
      "a GPU's rows beyond the last", in: "conv2d_gpu.cl", caughtBy: "convolution/", as: .nvidia,
      ("y_row >= out_height || ", "")),
    Mutation(
      "a GPU's dropped bias", in: "conv2d_gpu.cl", caughtBy: "convolution/", as: .gpu,
      ("bias[bias_first + (o_first + b) / bias_per]", "0.0f")),
    Mutation(
      "two of four pixels swapped", in: "conv2d_gpu.cl", caughtBy: "transposed_convolution/", as: .nvidia,
      ("(float2)(even[l], odd[l])", "(float2)(odd[l], even[l])")),
    Mutation(
      "a single tap's weights turned", in: "conv2d_gpu.cl", caughtBy: "convolution/n1_c2_o3_h20_w21_k3_d9_seed1", as: .nvidia,
      ("TAPS + p * K + q) * O_VECTORS", "TAPS + q * K + p) * O_VECTORS")),
    Mutation(
      "the first group's weights for all", in: "conv2d_gpu.cl",
      caughtBy: "convolution/n2_c40_o70_h5_w9_k1_d1_view-relu_seed1", as: .gpu,
      ("(ulong)group * in_channels * TAPS * O_VECTORS", "0")),
    Mutation(
      "a patch's later elements at the first's place", in: "conv2d_gpu.cl",
      caughtBy: "convolution/n2_c5_o9_h17_w33_k3_d1_seed1", as: .nvidia,
      ("(k_begin + k) * STAGE_LANES, i", "k * STAGE_LANES, i")),
    Mutation(
      "four channels' pixels one channel's", in: "conv2d_gpu_weight_gradient.cl", caughtBy: "convolution/", as: .gpu,
      ("4 * unit + (stage_lane & 3)", "4 * unit + (stage_lane & 2)")),
    Mutation(
      "a row beyond the plane read", in: "conv2d_gpu.clh", caughtBy: "convolution/", as: .gpu,
      ("row >= height", "row > height")),
    Mutation(
      "one channel for all of the second source", in: "conv2d_gpu.clh",
      caughtBy: "convolution/n1_c4+3_o5_h11_w18_k3_d1_view-relu+plain_seed1", as: .nvidia,
      ("(c) - x0_used, x1_channels", "0, x1_channels")),
    Mutation(
      "a depth's row by its column", in: "conv2d_gpu.clh", caughtBy: "transposed_convolution/", as: .nvidia,
      ("((c >> 1) & 1) * 2 * width", "(c & 1) * 2 * width")),
    Mutation(
      "a branch's rows taken for the first's", in: "conv2d_gpu_weight_gradient.cl",
      caughtBy: "convolution/n1_c6_o3+5+2_h9_w10_k3_d1+2+4_view-relu_then-relu_seed1", as: .gpu,
      ("dw[first + i]", "dw[i]")),
    Mutation(
      "an item's inputs as neighbours", in: "conv2d_gpu_weight_gradient.cl", caughtBy: "convolution/", as: .nvidia,
      ("c_begin + c * C_LANES + c_lane;", "c_begin + c + c_lane * ITEM_C;")),
    Mutation(
      "a single tap's column forgotten", in: "conv2d_gpu_weight_gradient.cl",
      caughtBy: "convolution/n1_c2_o3_h20_w21_k3_d9_seed1", as: .gpu,
      ("x_begin = tile_x - pad_x + q * DILATION;", "x_begin = tile_x - pad_x;")),
    Mutation(
      "a fragment's halves swapped", in: "matrix_nvidia.clh", caughtBy: "convolution/", as: .emulated, precision: .tf32,
      ("8 * ((r) & 1)", "8 * ((r) >> 1)"), ("4 * ((r) >> 1)", "4 * ((r) & 1)")),
    Mutation(
      "a column of the sums taken for the next", in: "matrix_nvidia.clh", caughtBy: "convolution/", as: .emulated,
      precision: .bf16,
      ("(2 * ((lane) & 3) + ((i) & 1))", "(((lane) & 3) + 4 * ((i) & 1))")),
    Mutation(
      "one of three products left out", in: "matrix.clh", caughtBy: "convolution/", as: .emulated,
      ("product = MATRIX_PRODUCT(product, (a)[0], (b)[1]);", "product = product;")),
    Mutation(
      "what bf16 leaves taken from the wrong number", in: "matrix.clh", caughtBy: "convolution/", as: .emulated,
      precision: .fp32Fast, ("first - as_float(words.s0 << 16)", "first - as_float(words.s0 & 0xffff0000u)")),
    Mutation(
      "a tap's column forgotten on matrix units", in: "conv2d_matrix.cl",
      caughtBy: "convolution/n2_c5_o9_h17_w33_k3_d1_seed1", as: .emulated,
      precision: .tf32, ("* PATCH_W + b * DILATION", "* PATCH_W")),
    Mutation(
      // Their weights are zero: it shows where what lies behind the tensor is not a number, so one case may miss it.
      "channels beyond the last step's", in: "conv2d_matrix.cl", caughtBy: "convolution/", as: .emulated, precision: .bf16,
      ("WORD(w, m) * VALUES + v, in_channels - 1)", "WORD(w, m) * VALUES + v, in_channels)")),
    Mutation(
      "a half of the last pair left unwritten", in: "conv2d_matrix.cl",
      caughtBy: "transposed_convolution/n4_c9_o17_h33_w16_seed4", as: .emulated,
      precision: .tf32, ("both = C_RUN == 2 && column + 1 < out_width", "both = C_RUN == 2 && column + 2 < out_width")),
    Mutation(
      "a pair's second tile of another slice", in: "conv2d_matrix_weight_gradient.cl",
      caughtBy: "convolution/n1_c3_o8_h9_w7_k3_d2_seed1",
      as: .emulated, precision: .bf16, ("there = tile + v < last", "there = tile + v < tiles")),
    Mutation(
      "a patch's last elements not staged", in: "conv2d_matrix.cl", caughtBy: "convolution/n2_c5_o9_h17_w33_k3_d1_seed1",
      as: .emulated, precision: .tf32,
      ("if (e >= PATCH_H * PATCH_W) continue;", "if (e >= PATCH_H * PATCH_W - 1) continue;")),
    Mutation(
      "a pair's two numbers copied to one place", in: "conv2d_matrix.cl", caughtBy: "convolution/n2_c5_o9_h17_w33_k3_d1_seed1",
      as: .emulated, precision: .bf16,
      ("(OWN_WORD(word) * VALUES + (v)) * PLACES", "(OWN_WORD(word) * VALUES) * PLACES")),
    Mutation(
      "a gradient taken for its activation", in: "conv2d_ahead.clh",
      caughtBy: "convolution/n2_c36_o33_h19_w34_k3_d1_then-norm", as: .emulated, precision: .tf32,
      ("at[apart])", "at[0])")),
    Mutation(
      "a word's other half", in: "conv2d_ahead.clh", caughtBy: "convolution/n1_c3_o8_h9_w7_k3_d2_fp16", as: .emulated,
      precision: .tf32, ("(second ? word >> 16 : word)", "(second ? word : word >> 16)")),
    Mutation(
      "a word's other gradient", in: "conv2d_ahead.clh",
      caughtBy: "convolution/n2_c36_o33_h19_w34_k3_d1_then-norm_whole_gradients-bf16", as: .emulated, precision: .tf32,
      ("second ? word & 0xffff0000u : word << 16", "second ? word << 16 : word & 0xffff0000u")),
    Mutation(
      "two neighbours of a run exchanged", in: "conv2d_matrix_weight_gradient.cl",
      caughtBy: "convolution/n5_c9_o10_h16_w16_k3_d2_view-relu", as: .emulated, precision: .bf16,
      ("words[part][1], words[part][2]", "words[part][2], words[part][1]")),
    Mutation(
      "a row of another fragment loaded", in: "matrix_nvidia.clh", caughtBy: "convolution/n2_c5_o9_h17_w33_k3_d1_seed1",
      as: .emulated, precision: .tf32, ("rows[8 * r + group_id]", "rows[8 * (r ^ 1) + group_id]")),
    Mutation(
      "an image's pair read from the first", in: "conv2d_matrix_weight_gradient.cl",
      caughtBy: "convolution/n2_c5_o9_h17_w33_k3_d1_seed1", as: .emulated,
      precision: .bf16, ("ulong beyond = (ulong)(image[v] - image[0]) * X_CHANNELS(c) * x_plane", "ulong beyond = 0")),
    Mutation(
      "a shared row summed twice", in: "conv2d_matrix_weight_gradient.cl",
      caughtBy: "convolution/n2_c5_o9_h17_w33_k3_d1_seed1", as: .emulated,
      precision: .tf32, ("int i = row + share;", "int i = row;")),
    Mutation(
      "a warpgroup's second columns the first's", in: "conv2d_matrix.cl", caughtBy: "convolution/n1_c33_o32_h9_w35_k3_d1_seed1",
      as: .warpgroupEmulated, precision: .tf32, ("b * DILATION + M_COLUMN(m);", "b * DILATION;")),
    Mutation(
      "a warpgroup's rows as far apart as its tile is wide", in: "conv2d_matrix.cl",
      caughtBy: "convolution/n1_c33_o32_h9_w35_k3_d1_seed1", as: .warpgroupEmulated, precision: .tf32,
      ("PLANE * 16, PATCH_W * 16)", "PLANE * 16, TILE_W * 16)")),
    Mutation(
      "a column's weights for the next", in: "conv2d_matrix.cl", caughtBy: "convolution/n1_c33_o32_h9_w35_k3_d1_seed1",
      as: .warpgroupEmulated, precision: .bf16, ("turn + 1 < TAP_TURNS ? turn + 1 : 0;", "turn;")),
    Mutation(
      "a warpgroup's second parts the first's", in: "conv2d_matrix.cl", caughtBy: "convolution/n1_c33_o32_h9_w35_k3_d1_seed1",
      as: .warpgroupEmulated, precision: .fp32, ("taps[0], pixels + at + 2 * PLANE,", "taps[0], pixels + at,")),
    Mutation(
      "the second of two pairs over the first", in: "conv2d_matrix.cl", caughtBy: "convolution/n1_c33_o32_h9_w35_k3_d1_seed1",
      as: .warpgroupEmulated, precision: .bf16, ("* PLANE + e) * 4 + (w & 3);", "* PLANE + e) * 4 + (w & 1);")),
    Mutation(
      "a copy of another word of four", in: "conv2d_matrix.cl", caughtBy: "convolution/n1_c33_o32_h9_w35_k3_d1_seed1",
      as: .warpgroupEmulated, precision: .tf32, ("* AT_ONCE + ((word) & (AT_ONCE - 1))", "* AT_ONCE + ((word) & (AT_ONCE - 2))")),
    Mutation(
      "a pixel of an mfma's sums taken for the next", in: "matrix_amd.clh", caughtBy: "convolution/", as: .amdEmulated,
      ("C_COLUMN(lane, i) (4 * ((lane) >> 4) + (i))", "C_COLUMN(lane, i) (((lane) >> 4) + 4 * (i))")),
    Mutation(
      "a channel's quarter read for another", in: "matrix_amd.clh", caughtBy: "convolution/", as: .amdEmulated,
      precision: .bf16, ("A_WORD(lane, r) (((lane) >> 4) + 4 * (r))", "A_WORD(lane, r) (2 * ((lane) >> 4) + (r))")),
    Mutation(
      "the second of two mfma forgotten", in: "matrix_amd.clh", caughtBy: "convolution/", as: .amdEmulated,
      precision: .tf32, ("return MFMA(b.s1, a.s1, c);", "return c;")),
    Mutation(
      "an mfma's operands swapped", in: "matrix_amd.clh", caughtBy: "convolution/", as: .amdEmulated,
      precision: .fp32Fast, ("return MFMA(b, a, c);", "return MFMA(a, b, c);")),
    Mutation(
      "a row of a wmma's sums taken for another", in: "matrix_wmma.clh", caughtBy: "convolution/", as: .wmmaEmulated,
      precision: .bf16, ("C_ROW(lane, i) (2 * (i) + ((lane) >> 4))", "C_ROW(lane, i) ((i) + 8 * ((lane) >> 4))")),
    Mutation(
      "a wave's upper half without a copy of a wmma's channels", in: "matrix_wmma.clh", caughtBy: "convolution/",
      as: .wmmaEmulated,
      precision: .bf16, ("#define A_ROW(lane, r) ((lane) & 15)", "#define A_ROW(lane, r) ((lane) & 15 ^ (lane) >> 4)")),
    Mutation(
      "rows of a taken by halves, not by turns", in: "matrix_intel.clh", caughtBy: "convolution/", as: .intelEmulated,
      precision: .tf32, ("A_ROW(lane, r) (((lane) >> 3) + 2 * (r))", "A_ROW(lane, r) (8 * ((lane) >> 3) + (r))")),
    Mutation(
      "the same number of a pair for both items", in: "matrix_intel.clh", caughtBy: "convolution/", as: .intelEmulated,
      precision: .bf16, ("uint shift = (get_local_id(0) & 1) * 16", "uint shift = 0")),
    Mutation(
      "the first eight rows twice", in: "matrix_intel.clh", caughtBy: "convolution/", as: .intelEmulated,
      ("MAD(c.hi, a.hi, b)", "MAD(c.hi, a.lo, b)")),
    Mutation(
      "a column of b by turns", in: "matrix_intel.clh", caughtBy: "convolution/", as: .intelEmulated, precision: .fp32Fast,
      ("#define B_WORD(lane, r) (r)\n", "#define B_WORD(lane, r) ((r) / 2 + 4 * ((r) & 1))\n")),
    Mutation(
      "weights packed for 32 lanes", in: "conv2d_matrix_pack.cl", caughtBy: "convolution/", as: .amdEmulated,
      precision: .bf16, ("item & (MATRIX_LANES - 1), at = item / MATRIX_LANES", "item & 31, at = item / 32")),
    Mutation(
      "a kernel row not flipped for matrix units", in: "conv2d_matrix_pack.cl",
      caughtBy: "convolution/n1_c33_o32_h9_w35_k3_d1_seed1", as: .emulated,
      precision: .tf32, ("(TAPS - 1 - t)", "t")),
    Mutation(
      "a sum overwritten while it is read", in: "lanes.clh", caughtBy: "batch_norm/", as: .nvidia,
      ("// The last sum may still be being read.\n  barrier(CLK_LOCAL_MEM_FENCE);", "")),
    Mutation(
      "a rest taken by every item", in: "adam.cl", caughtBy: "adam/", as: .gpu,
      ("at < count; at += LANES", "at < count; at++")),
    Mutation(
      "half the lanes left out of a sum", in: "lanes.clh", caughtBy: "channel_sum/", as: .gpu,
      ("int count = LANES / 2", "int count = LANES / 4")),
    Mutation(
      "a lane's elements not apart", in: "lanes.clh", caughtBy: "materialize/n4_c6_h127_w65_view-plain_seed9", as: .nvidia,
      (
        "element1(stored, from, i + LANES), element1(stored, from, i + 2 * LANES)",
        "element1(stored, from, i + 1), element1(stored, from, i + 2)"
      )),
    Mutation(
      "a dropped bias gradient", in: "channel_sum.cl", caughtBy: "convolution/", ("? total[c] + sum", "? total[c]")),
    Mutation(
      "a ReLU mask forgotten at a row's end", in: "prelude.clh", caughtBy: "convolution/",
      ("fma(d, k.scale, k.beta) > 0.0f ? x : 0.0f", "x")),
    Mutation(
      "variance as E[x²] − E[x]²", in: "batch_norm.cl", caughtBy: "batch_norm/n2_c3_h33_w31_mean",
      ("floats d = load_stored(Z_STORED, z, from + i + LANE) - mean;", "floats d = load_stored(Z_STORED, z, from + i + LANE);"),
      ("float d = element1(Z_STORED, z, from + i) - mean;", "float d = element1(Z_STORED, z, from + i);"),
      ("mean + deviation / count", "mean")),
    Mutation(
      "a biased running variance", in: "batch_norm.cl", caughtBy: "batch_norm/",
      ("squares / (total - 1.0f)", "squares / total")),
    Mutation(
      "a gradient table without its mean term", in: "batch_norm.cl", caughtBy: "batch_norm/",
      ("to[4] = FROZEN ? 0.0f : -scale * (sums.x / count);", "to[4] = 0.0f;")),
    Mutation(
      "a half rounded towards zero", in: "storage.clh", caughtBy: "materialize/n1_c2_h5_w7_fp16",
      ("((a + 0xfffu + (a >> 13 & 1u)) >> 13) - 0x1c000u;\n  uint16 special", "(a >> 13) - 0x1c000u;\n  uint16 special")),
    Mutation(
      "a gradient's upper half rounded towards zero", in: "storage.clh", caughtBy: "materialize/n1_c3_h33_w31_bf16",
      ("rounded = (u + 0x7fffu + (u >> 16 & 1u)) >> 16;", "rounded = u >> 16;")),
    Mutation(
      "a gradient in 16 bits read as 32", in: "prelude.clh",
      caughtBy: "convolution/n2_c36_o33_h19_w34_k3_d1_then-norm_whole_gradients-bf16",
      ("if ((mode & VIEW_BF16) != 0) return STORED_BF16;", "")),
    Mutation(
      "a norm's gradient in 16 bits read as 32", in: "batch_norm.cl", caughtBy: "batch_norm/n2_c3_h9_w7_relu_fp16_gradients-bf16",
      ("load_stored(G_STORED, g,", "load_stored(0, g,"), ("element1(G_STORED, g,", "element1(0, g,")),
    Mutation(
      "a skip's gradient in 16 bits added to as 32", in: "max_pool.cl",
      caughtBy: "max_pool/n1_c2_h7_w9_view-relu_twice_fp16_gradients",
      ("d += element1(DX_STORED, dx, to);", "d += element1(0, dx, to);")),
    Mutation(
      "a GPU's four gradients written as halves", in: "storage.clh",
      caughtBy: "convolution/n2_c9_o17_h6_w20_k3_d1_then-relu_whole_fp16_gradients-bf16", as: .gpu,
      ("(ushort4)(bf16_bits1(v.s0),", "(ushort4)(half_bits1(v.s0),")),
    Mutation(
      "two of four gradients exchanged", in: "storage.clh",
      caughtBy: "convolution/n2_c9_o17_h6_w20_k3_d1_then-relu_whole_fp16_gradients-bf16", as: .emulated, precision: .bf16,
      (
        "return bf16_value4(*(const __global ushort4 *)((const __global ushort *)from + i));",
        "return bf16_value4((*(const __global ushort4 *)((const __global ushort *)from + i)).s1032);"
      )),
    Mutation(
      "a gradient's activation in 16 bits read as 32", in: "prelude.clh",
      caughtBy: "convolution/n2_c36_o33_h19_w34_k3_d1_then-norm_whole_fp16",
      ("&& view_needs_aux(mode) ? STORED_FP16 : STORED_FP32", "&& view_needs_aux(mode) ? STORED_FP32 : STORED_FP32")),
    Mutation(
      "the last of a row written in 16 bits left out", in: "conv2d.cl",
      caughtBy: "convolution/n1_c3_o8_h9_w7_k3_d2_fp16",
      ("put1(Y_STORED, y, to + l, !Y_STORED && add", "if (!Y_STORED || l + 1 < count) put1(Y_STORED, y, to + l, !Y_STORED && add")
    ),
    Mutation(
      "a group's gradient without its mean term", in: "group_norm.cl", caughtBy: "group_norm/",
      ("to[4] = -inverse * (all / total);", "to[4] = 0.0f;")),
    Mutation(
      "a group's statistics with the first image's parameters", in: "group_norm.cl", caughtBy: "group_norm/",
      ("first_channel = group % groups * group_channels;", "first_channel = 0;")),
    Mutation(
      "frozen statistics that move", in: "batch_norm.cl", caughtBy: "batch_norm/n2_c3_h9_w7_relu_frozen_seed1",
      ("to[4] = FROZEN ? 0.0f : ", "to[4] = ")),
    Mutation(
      "the last of equal maxima", in: "max_pool.cl", caughtBy: "max_pool/",
      ("if (v[i] > most)", "if (v[i] >= most)")),
    Mutation(
      "an odd edge left unwritten", in: "max_pool.cl", caughtBy: "max_pool/",
      ("put1(DX_STORED, dx, top + in_width - 1, 0.0f), put1(DX_STORED, dx, low + in_width - 1, 0.0f);", ";")),
    Mutation(
      "a positive weight forgotten in the gradient", in: "bce_dice.cl", caughtBy: "bce_dice_loss/",
      ("- pos_weight * t * rest", "- t * rest")),
    Mutation(
      "a moving average that forgets its rate", in: "moving_average.cl", caughtBy: "moving_average/",
      ("a + rate * (", "a + 0.5f * (")),
    Mutation(
      "Adam without bias correction", in: "adam.cl", caughtBy: "adam/", ("sqrt(vi) * correction", "sqrt(vi)")),
  ]
}
