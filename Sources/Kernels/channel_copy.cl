// channel_copy: y[n, y_first + c] = x[n, x_first + c] for every c of the grid; ACCUMULATE 1 adds to y. Concatenation over
// channels and its gradient. One run per (run of pixels of one image, channel).
// LINT: -DACCUMULATE=1
// LINT: -DLANES=256 -DWIDTH=4
#include "lanes.clh"
#ifndef ACCUMULATE
#define ACCUMULATE 0
#endif

GROUP __kernel void channel_copy(__global float *restrict y, const __global float *restrict x, int y_first,
                                 int y_channels, int x_first, int x_channels, int plane, int runs_per_image,
                                 int run_length) {
  int run = RUN, c = CHANNEL;
  int n = run / runs_per_image, start = (run - n * runs_per_image) * run_length;
  int count = min(run_length, plane - start);
  y += ((ulong)n * y_channels + y_first + c) * plane + start;
  x += ((ulong)n * x_channels + x_first + c) * plane + start;
  int i = 0;
  for (; count - i >= SPAN; i += SPAN) {
    floats v = load(x + i + LANE);
#if ACCUMULATE
    v += load(y + i + LANE);
#endif
    store(v, y + i + LANE);
  }
  for (i += LANE; i < count; i += LANES) {
#if ACCUMULATE
    y[i] += x[i];
#else
    y[i] = x[i];
#endif
  }
}
