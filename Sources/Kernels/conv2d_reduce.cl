// conv2d_reduce: dw[o,c,t] = the sum over slices, in their order, of partial[slice][o / 8][c][t][o % 8]; accumulate 1 adds to dw.
// One work-item per (input channel, output channel).
#define BLOCK 8

__kernel void conv2d_reduce(__global float *restrict dw, const __global float *restrict partial,
                                            int o_first, int out_channels, int in_channels, int taps, int slices,
                            int accumulate) {
  int c = get_global_id(0), o = get_global_id(1);
  if (c >= in_channels || o >= out_channels) return;
  int blocks = (out_channels + BLOCK - 1) / BLOCK;
  ulong stride = (ulong)blocks * in_channels * taps * BLOCK;
  const __global float *from = partial + ((ulong)(o / BLOCK) * in_channels + c) * taps * BLOCK + (o & (BLOCK - 1));
  __global float *to = dw + ((ulong)(o_first + o) * in_channels + c) * taps;
  for (int t = 0; t < taps; t++) {
    float sum = 0.0f;
    for (int s = 0; s < slices; s++) sum += from[s * stride + t * BLOCK];
    to[t] = accumulate ? to[t] + sum : sum;
  }
}
