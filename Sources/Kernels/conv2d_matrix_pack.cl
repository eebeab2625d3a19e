// conv2d_matrix_pack: puts weights into the order in which conv2d_matrix.cl's items hold them: one work-item per (16 output
// channels, step of input channels, tap, lane). Packs w into [16 output channels][step][tap][part][lane], a matrix_a each; zero
// beyond the last channels. o0, c0, w_in, transposed as in conv2d_pack.cl.
// Macros: K kernel side; those of matrix.clh.
// LINT:
// LINT: -DELEMENT=1 -DPARTS=2 -DK=1
// LINT: -DMATRIX=1 -DELEMENT=1 -DPARTS=2 -target nvptx64
// LINT: -DMATRIX=1 -DPARTS=2 -target nvptx64
// LINT: -DLAYOUT=2 -DELEMENT=2
// LINT: -DLAYOUT=4 -DELEMENT=1
// LINT: -DLAYOUT=3 -DELEMENT=1 -DPARTS=2
// LINT: -DMATRIX=3 -DPARTS=2 -target spir64
#include "matrix.clh"
#ifndef K
#define K 3
#endif
#define TAPS (K * K)

__kernel void conv2d_matrix_pack(__global matrix_a *restrict packed, const __global float *restrict w, int o0, int c0, int w_in,
                                 int out_channels, int in_channels, int transposed, int steps, int count) {
  int item = get_global_id(0);
  if (item >= count) return;
  int lane = item & (MATRIX_LANES - 1), at = item / MATRIX_LANES, rest = at / TAPS, t = at - rest * TAPS;
  int tile = rest / steps, step = rest - tile * steps;
  uint high[A_COUNT], low[A_COUNT];
  for (int r = 0; r < A_COUNT; r++) {
    int o = tile * 16 + A_ROW(lane, r), first = step * MATRIX_K + A_WORD(lane, r) * VALUES;
    float v[2] = {0.0f, 0.0f};
    for (int i = 0; i < VALUES; i++) {
      int c = first + i;
      if (o < out_channels && c < in_channels)
        v[i] = transposed ? w[((ulong)(o0 + c) * w_in + c0 + o) * TAPS + (TAPS - 1 - t)]
                          : w[((ulong)(o0 + o) * w_in + c0 + c) * TAPS + t];
    }
    uint2 words = to_words(v[0], v[1]);
    high[r] = words.s0, low[r] = words.s1;
  }
  packed[(ulong)at * PARTS * MATRIX_LANES + lane] = A_OF(high);
  if (PARTS == 2) packed[((ulong)at * PARTS + 1) * MATRIX_LANES + lane] = A_OF(low);
}
