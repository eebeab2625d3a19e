// Weights for the Winograd kernels: U = G w G' of each 3x3 filter, one work-item per (input channel, block of 8 output
// channels).
//
//       |  1    0    0  |
//   G = | 1/2  1/2  1/2 |
//       | 1/2 -1/2  1/2 |
//       |  0    0    1  |
#define BLOCK 8

INLINE void filter_row(float to[4], float a, float b, float c) {
  to[0] = a, to[1] = 0.5f * (a + b + c), to[2] = 0.5f * (a - b + c), to[3] = c;
}

// Packs U as [block of 8 output channels][point][input channel][8], zero beyond the last channel. Arguments as in
// conv2d_pack.cl: transposed 1 takes w flipped, rows and columns exchanged.
__kernel void conv2d_winograd_pack(__global float *restrict packed, const __global float *restrict w, int o0, int c0,
                                   int w_in, int out_channels, int in_channels, int transposed) {
  int c = get_global_id(0), block = get_global_id(1);
  if (c >= in_channels) return;
  for (int b = 0; b < BLOCK; b++) {
    int o = block * BLOCK + b;
    float g[9];
    for (int t = 0; t < 9; t++) {
      g[t] = 0.0f;
      if (o < out_channels)
        g[t] = transposed ? w[((ulong)(o0 + c) * w_in + c0 + o) * 9 + (8 - t)]
                          : w[((ulong)(o0 + o) * w_in + c0 + c) * 9 + t];
    }
    float rows[3][4], u[4];
    for (int i = 0; i < 3; i++) filter_row(rows[i], g[3 * i], g[3 * i + 1], g[3 * i + 2]);
    for (int j = 0; j < 4; j++) {
      filter_row(u, rows[0][j], rows[1][j], rows[2][j]);
      for (int i = 0; i < 4; i++)
        packed[(((ulong)block * 16 + 4 * i + j) * in_channels + c) * BLOCK + b] = u[i];
    }
  }
}
