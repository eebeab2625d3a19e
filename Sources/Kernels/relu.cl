// relu_forward: y = max(x, 0). relu_backward: dx = dy where x > 0, else 0; ACCUMULATE 1 adds to dx.
// One run per (run of pixels of one image, channel).
// LINT: -DACCUMULATE=1
// LINT: -DLANES=256 -DWIDTH=4
#include "lanes.clh"
#ifndef ACCUMULATE
#define ACCUMULATE 0
#endif

GROUP __kernel void relu_forward(__global float *restrict y, const __global float *restrict x, int channels, int plane,
                                 int runs_per_image, int run_length) {
  int run = RUN, c = CHANNEL;
  int n = run / runs_per_image, start = (run - n * runs_per_image) * run_length;
  int count = min(run_length, plane - start);
  ulong base = ((ulong)n * channels + c) * plane + start;
  y += base, x += base;
  int i = 0;
  for (; count - i >= SPAN; i += SPAN) store(fmax(load(x + i + LANE), (floats)0.0f), y + i + LANE);
  for (i += LANE; i < count; i += LANES) y[i] = fmax(x[i], 0.0f);
}

GROUP __kernel void relu_backward(__global float *restrict dx, const __global float *restrict x,
                                  const __global float *restrict dy, int channels, int plane, int runs_per_image,
                                  int run_length) {
  int run = RUN, c = CHANNEL;
  int n = run / runs_per_image, start = (run - n * runs_per_image) * run_length;
  int count = min(run_length, plane - start);
  ulong base = ((ulong)n * channels + c) * plane + start;
  dx += base, x += base, dy += base;
  int i = 0;
  for (; count - i >= SPAN; i += SPAN) {
    floats v = select((floats)0.0f, load(dy + i + LANE), isgreater(load(x + i + LANE), (floats)0.0f));
#if ACCUMULATE
    v += load(dx + i + LANE);
#endif
    store(v, dx + i + LANE);
  }
  for (i += LANE; i < count; i += LANES) {
    float v = x[i] > 0.0f ? dy[i] : 0.0f;
#if ACCUMULATE
    v += dx[i];
#endif
    dx[i] = v;
  }
}
