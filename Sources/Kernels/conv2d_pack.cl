// conv2d_pack: puts weights into the order in which the convolution kernels read them: one work-item per (input channel, block of
// BLOCK output channels); on GPUs, one run (lanes.clh). taps: the kernel side squared. Macros: BLOCK.
// LINT:
// LINT: -DLANES=256 -DWIDTH=4 -DBLOCK=64
#include "lanes.clh"
#ifndef BLOCK
#define BLOCK 8
#endif

// Packs w into [block of BLOCK output channels][input channel][tap][BLOCK], zero beyond the last channel.
// transposed 0: output channel o, input channel c from w[o0 + o, c0 + c, p, q], w being (out, in, K, K).
// transposed 1: from w[o0 + c, c0 + o, K-1-p, K-1-q]: the gradient's weights, gathered.
GROUP __kernel void conv2d_pack(__global float *restrict packed, const __global float *restrict w, int o0, int c0,
                                int w_in, int out_channels, int in_channels, int taps, int transposed) {
  int c = RUN, block = get_global_id(1);
  if (c >= in_channels) return;
  __global float *to = packed + ((ulong)block * in_channels + c) * taps * BLOCK;
  for (int e = LANE; e < taps * BLOCK; e += LANES) {
    int t = e / BLOCK, o = block * BLOCK + e - t * BLOCK;
    float v = 0.0f;
    if (o < out_channels)
      v = transposed ? w[((ulong)(o0 + c) * w_in + c0 + o) * taps + (taps - 1 - t)]
                     : w[((ulong)(o0 + o) * w_in + c0 + c) * taps + t];
    to[e] = v;
  }
}
