// 2x2 max-pooling, stride 2, of x read through a plain or normalised view; odd edges are dropped.
// max_pool_forward: one run (lanes.clh) per row of y. max_pool_backward: one per pair of rows of x (and the odd last row): dy goes
// to the window's first maximum in row-major order, the others get 0; ACCUMULATE 1 adds to dx instead.
// Y_STORED, DX_STORED, DY_STORED: how y, dx and dy are stored (storage.clh).
// LINT: -DX_MODE=2 -DACCUMULATE=1
// LINT: -DX_MODE=10 -DY_STORED=1
// LINT: -DX_MODE=10 -DACCUMULATE=1 -DDX_STORED=2 -DDY_STORED=2
// LINT: -DLANES=64 -DWIDTH=4 -DX_MODE=2
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
#ifndef DX_STORED
#define DX_STORED 0
#endif
#ifndef DY_STORED
#define DY_STORED 0
#endif
#define X_STORED view_data_stored(X_MODE)

// An element, and sixteen neighbours, as the view shows them.
INLINE float shown1(view_channel k, const __global float *x, ulong i) { return view1(X_MODE, k, element1(X_STORED, x, i), 0.0f); }
INLINE float16 shown16(view_channel k, const __global float *x, ulong i) {
  return view16(X_MODE, k, element16(X_STORED, x, i), (float16)0.0f);
}

GROUP __kernel void max_pool_forward(__global float *restrict y, const __global float *restrict x,
                                     const __global float *restrict x_table, const __global float *restrict x_aux,
                                     int channels, int in_height, int in_width) {
  int row = RUN, c = get_global_id(1), n = get_global_id(2);
  int out_height = in_height / 2, out_width = in_width / 2;
  view_channel k;
  view_load_channel(&k, X_MODE, x_table, c);
  ulong top = (((ulong)n * channels + c) * in_height + 2 * row) * in_width, low = top + in_width;
  ulong to = (((ulong)n * channels + c) * out_height + row) * out_width;
  int j = 0;
  for (; LANES == 1 && SHUFFLES && j + 8 <= out_width; j += 8) {
    // The next two rows: a row ends before the processor's own prefetching has found its pace.
    PREFETCH_ELEMENT(X_STORED, x, top + 2 * j + 2 * in_width);
    PREFETCH_ELEMENT(X_STORED, x, low + 2 * j + 2 * in_width);
    float16 m = fmax(shown16(k, x, top + 2 * j), shown16(k, x, low + 2 * j));
    put8(Y_STORED, y, to + j, fmax(m.even, m.odd));
  }
  for (j += LANE; j < out_width; j += LANES)
    put1(Y_STORED, y, to + j, fmax(fmax(shown1(k, x, top + 2 * j), shown1(k, x, top + 2 * j + 1)),
                                 fmax(shown1(k, x, low + 2 * j), shown1(k, x, low + 2 * j + 1))));
}

GROUP __kernel void max_pool_backward(__global float *restrict dx, const __global float *restrict x,
                                      const __global float *restrict x_table, const __global float *restrict x_aux,
                                      const __global float *restrict dy, int channels, int in_height, int in_width) {
  int row = RUN, c = get_global_id(1), n = get_global_id(2);
  int out_height = in_height / 2, out_width = in_width / 2;
  view_channel k;
  view_load_channel(&k, X_MODE, x_table, c);
  ulong top = (((ulong)n * channels + c) * in_height + 2 * row) * in_width, low = top + in_width;
  if (row >= out_height) {
#if !ACCUMULATE
    for (int j = LANE; j < in_width; j += LANES) put1(DX_STORED, dx, top + j, 0.0f);
#endif
    return;
  }
  ulong from = (((ulong)n * channels + c) * out_height + row) * out_width;
  int j = 0;
  for (; LANES == 1 && SHUFFLES && j + 8 <= out_width; j += 8) {
    PREFETCH_ELEMENT(X_STORED, x, top + 2 * j + 2 * in_width);
    PREFETCH_ELEMENT(X_STORED, x, low + 2 * j + 2 * in_width);
    float16 u = shown16(k, x, top + 2 * j), l = shown16(k, x, low + 2 * j);
    float8 d = element8(DY_STORED, dy, from + j), zero = (float8)0.0f;
    float8 most = fmax(fmax(u.even, u.odd), fmax(l.even, l.odd));
    int8 first = isequal(u.even, most), second = isequal(u.odd, most) & ~first;
    int8 third = isequal(l.even, most) & ~(first | second), fourth = ~(first | second | third);
    float16 dt, dl;
    dt.even = select(zero, d, first), dt.odd = select(zero, d, second);
    dl.even = select(zero, d, third), dl.odd = select(zero, d, fourth);
#if ACCUMULATE
    dt += element16(DX_STORED, dx, top + 2 * j), dl += element16(DX_STORED, dx, low + 2 * j);
#endif
    put16(DX_STORED, dx, top + 2 * j, dt);
    put16(DX_STORED, dx, low + 2 * j, dl);
  }
  for (j += LANE; j < out_width; j += LANES) {
    float v[4] = {shown1(k, x, top + 2 * j), shown1(k, x, top + 2 * j + 1), shown1(k, x, low + 2 * j),
                  shown1(k, x, low + 2 * j + 1)};
    // Its value in a variable of its own: v[best] would put v into private memory.
    int best = 0;
    float most = v[0];
#pragma unroll
    for (int i = 1; i < 4; i++)
      if (v[i] > most) best = i, most = v[i];
#pragma unroll
    for (int i = 0; i < 4; i++) {
      ulong to = (i < 2 ? top : low) + 2 * j + (i & 1);
      float d = i == best ? element1(DY_STORED, dy, from + j) : 0.0f;
#if ACCUMULATE
      d += element1(DX_STORED, dx, to);
#endif
      put1(DX_STORED, dx, to, d);
    }
  }
#if !ACCUMULATE
  if (LANE == 0 && (in_width & 1)) put1(DX_STORED, dx, top + in_width - 1, 0.0f), put1(DX_STORED, dx, low + in_width - 1, 0.0f);
#endif
}
