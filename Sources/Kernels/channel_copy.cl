// channel_copy: y[n, y_first + c] = x[n, x_first + c] for every c of the grid; ACCUMULATE 1 adds to y. Concatenation over
// channels and its gradient. One work-item per (run of pixels of one image, channel).
// LINT: -DACCUMULATE=1
#ifndef ACCUMULATE
#define ACCUMULATE 0
#endif

__kernel void channel_copy(__global float *restrict y, const __global float *restrict x, int y_first, int y_channels,
                           int x_first, int x_channels, int plane, int runs_per_image, int run_length) {
  int run = get_global_id(0), c = get_global_id(1);
  int n = run / runs_per_image, start = (run - n * runs_per_image) * run_length;
  int count = min(run_length, plane - start);
  y += ((ulong)n * y_channels + y_first + c) * plane + start;
  x += ((ulong)n * x_channels + x_first + c) * plane + start;
  int i = 0;
  for (; i + 16 <= count; i += 16) {
    float16 v = vload16(0, x + i);
#if ACCUMULATE
    v += vload16(0, y + i);
#endif
    vstore16(v, 0, y + i);
  }
  for (; i < count; i++) {
#if ACCUMULATE
    y[i] += x[i];
#else
    y[i] = x[i];
#endif
  }
}
