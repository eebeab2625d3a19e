// materialize: y = view(x), prelude.clh's views; ACCUMULATE 1 adds to y; Y_STORED: how it is stored (storage.clh). One run per (run of pixels,
// channel).
// LINT: -DX_MODE=4
// LINT: -DX_MODE=10 -DY_STORED=1
// LINT: -DX_MODE=28 -DY_STORED=2 -DACCUMULATE=1
// LINT: -DLANES=256 -DWIDTH=4 -DX_MODE=4
#include "lanes.clh"
#ifndef X_MODE
#define X_MODE VIEW_PLAIN
#endif
#ifndef ACCUMULATE
#define ACCUMULATE 0
#endif
#ifndef Y_STORED
#define Y_STORED 0
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
  int i = 0;
  for (; count - i >= SPAN; i += SPAN) {
    ulong at = base + i + LANE;
    floats a = view_needs_aux(X_MODE) ? load_stored(view_aux_stored(X_MODE), x_aux, at) : (floats)0.0f;
    floats v = VIEW(X_MODE, k, load_stored(view_data_stored(X_MODE), x, at), a);
#if ACCUMULATE
    v += load_stored(Y_STORED, y, at);
#endif
    store_stored(Y_STORED, v, y, at);
  }
  for (i += LANE; i < count; i += LANES) {
    ulong at = base + i;
    float v = view1(X_MODE, k, element1(view_data_stored(X_MODE), x, at),
                    view_needs_aux(X_MODE) ? element1(view_aux_stored(X_MODE), x_aux, at) : 0.0f);
#if ACCUMULATE
    v += element1(Y_STORED, y, at);
#endif
    put1(Y_STORED, y, at, v);
  }
}
