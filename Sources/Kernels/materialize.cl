// materialize: y = view(x), prelude.clh's views; ACCUMULATE 1 adds to y. One run per (run of pixels, channel).
// LINT: -DX_MODE=4
// LINT: -DLANES=256 -DWIDTH=4 -DX_MODE=4
#include "lanes.clh"
#ifndef X_MODE
#define X_MODE VIEW_PLAIN
#endif
#ifndef ACCUMULATE
#define ACCUMULATE 0
#endif

GROUP __kernel void materialize(__global float *restrict y, const __global float *restrict x,
                                const __global float *restrict x_table, const __global float *restrict x_aux,
                                int channels, int plane, int runs_per_image, int run_length) {
  int run = RUN, c = CHANNEL;
  int n = run / runs_per_image, start = (run - n * runs_per_image) * run_length;
  int count = min(run_length, plane - start);
  ulong base = ((ulong)n * channels + c) * plane + start;
  view_channel k;
  view_load_channel(&k, X_MODE, x_table, c);
  y += base, x += base, x_aux += base;
  int i = 0;
  for (; count - i >= SPAN; i += SPAN) {
    floats a = view_needs_aux(X_MODE) ? load(x_aux + i + LANE) : (floats)0.0f;
    floats v = VIEW(X_MODE, k, load(x + i + LANE), a);
#if ACCUMULATE
    v += load(y + i + LANE);
#endif
    store(v, y + i + LANE);
  }
  for (i += LANE; i < count; i += LANES) {
    float v = view1(X_MODE, k, x[i], view_needs_aux(X_MODE) ? x_aux[i] : 0.0f);
#if ACCUMULATE
    v += y[i];
#endif
    y[i] = v;
  }
}
