// materialize: y = view(x), prelude.clh's views; ACCUMULATE 1 adds to y. One work-item per (run of pixels, channel).
// LINT: -DX_MODE=4
#ifndef X_MODE
#define X_MODE VIEW_PLAIN
#endif
#ifndef ACCUMULATE
#define ACCUMULATE 0
#endif

__kernel void materialize(__global float *restrict y, const __global float *restrict x,
                          const __global float *restrict x_table, const __global float *restrict x_aux, int channels,
                          int plane, int runs_per_image, int run_length) {
  int run = get_global_id(0), c = get_global_id(1);
  int n = run / runs_per_image, start = (run - n * runs_per_image) * run_length;
  int count = min(run_length, plane - start);
  ulong base = ((ulong)n * channels + c) * plane + start;
  view_channel k;
  view_load_channel(&k, X_MODE, x_table, c);
  y += base, x += base, x_aux += base;
  int i = 0;
  for (; i + 16 <= count; i += 16) {
    float16 a = view_needs_aux(X_MODE) ? vload16(0, x_aux + i) : (float16)0.0f;
    float16 v = view16(X_MODE, k, vload16(0, x + i), a);
#if ACCUMULATE
    v += vload16(0, y + i);
#endif
    vstore16(v, 0, y + i);
  }
  for (; i < count; i++) {
    float v = view1(X_MODE, k, x[i], view_needs_aux(X_MODE) ? x_aux[i] : 0.0f);
#if ACCUMULATE
    v += y[i];
#endif
    y[i] = v;
  }
}
