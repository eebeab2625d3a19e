// relu_forward: y = max(x, 0). relu_backward: dx = dy where x > 0, else 0; ACCUMULATE 1 adds to dx.
// One work-item per (run of pixels of one image, channel).
// LINT: -DACCUMULATE=1
#ifndef ACCUMULATE
#define ACCUMULATE 0
#endif

__kernel void relu_forward(__global float *restrict y, const __global float *restrict x, int channels, int plane,
                           int runs_per_image, int run_length) {
  int run = get_global_id(0), c = get_global_id(1);
  int n = run / runs_per_image, start = (run - n * runs_per_image) * run_length;
  int count = min(run_length, plane - start);
  ulong base = ((ulong)n * channels + c) * plane + start;
  y += base, x += base;
  int i = 0;
  for (; i + 16 <= count; i += 16) vstore16(fmax(vload16(0, x + i), (float16)0.0f), 0, y + i);
  for (; i < count; i++) y[i] = fmax(x[i], 0.0f);
}

__kernel void relu_backward(__global float *restrict dx, const __global float *restrict x,
                            const __global float *restrict dy, int channels, int plane, int runs_per_image,
                            int run_length) {
  int run = get_global_id(0), c = get_global_id(1);
  int n = run / runs_per_image, start = (run - n * runs_per_image) * run_length;
  int count = min(run_length, plane - start);
  ulong base = ((ulong)n * channels + c) * plane + start;
  dx += base, x += base, dy += base;
  int i = 0;
  for (; i + 16 <= count; i += 16) {
    float16 v = select((float16)0.0f, vload16(0, dy + i), isgreater(vload16(0, x + i), (float16)0.0f));
#if ACCUMULATE
    v += vload16(0, dx + i);
#endif
    vstore16(v, 0, dx + i);
  }
  for (; i < count; i++) {
    float v = x[i] > 0.0f ? dy[i] : 0.0f;
#if ACCUMULATE
    v += dx[i];
#endif
    dx[i] = v;
  }
}
