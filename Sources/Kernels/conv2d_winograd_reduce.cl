// conv2d_winograd_reduce: adds what conv2d_winograd_weight_gradient.cl left in each slice, [slice][point][input channel]
// [output channel], in the slices' order, and transforms it to dw = G' (sum) G; accumulate 1 adds to dw. One work-item per
// (input channel, 16 output channels).

__kernel void conv2d_winograd_reduce(__global float *restrict dw, const __global float *restrict partial, int o_first,
                                     int out_channels, int in_channels, int slices, int o_all, int c_all,
                                     int accumulate) {
  int c = get_global_id(0), o = get_global_id(1) * 16;
  if (c >= in_channels || o >= out_channels) return;
  float16 u[4][4], s[3][4];
  for (int p = 0; p < 16; p++) {
    const __global float *from = partial + ((ulong)p * c_all + c) * o_all + o;
    float16 sum = vload16(0, from);
    for (int slice = 1; slice < slices; slice++) sum += vload16(0, from + (ulong)slice * 16 * c_all * o_all);
    u[p / 4][p & 3] = sum;
  }
  for (int j = 0; j < 4; j++) {
    float16 both = 0.5f * (u[1][j] + u[2][j]);
    s[0][j] = u[0][j] + both, s[1][j] = 0.5f * (u[1][j] - u[2][j]), s[2][j] = both + u[3][j];
  }
  for (int i = 0; i < 3; i++) {
    float16 both = 0.5f * (s[i][1] + s[i][2]);
    float16 taps[3] = {s[i][0] + both, 0.5f * (s[i][1] - s[i][2]), both + s[i][3]};
    for (int j = 0; j < 3; j++) {
      float lanes[16];
      vstore16(taps[j], 0, lanes);
      for (int b = 0; b < min(16, out_channels - o); b++) {
        __global float *to = dw + ((ulong)(o_first + o + b) * in_channels + c) * 9 + 3 * i + j;
        *to = accumulate ? *to + lanes[b] : lanes[b];
      }
    }
  }
}
