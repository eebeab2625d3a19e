// adam_step over whole slabs: m = b1 m + rest1 g, v = b2 v + rest2 g^2, p = p * decay - step * m / (sqrt(v) * correction +
// epsilon), controls = (step, correction, gradient scale, decay); rest1, rest2 are 1-b1 and 1-b2, which fp32 would blur.
// One run per SPAN elements.
// LINT:
// LINT: -DLANES=256 -DWIDTH=4
#include "lanes.clh"

GROUP __kernel void adam_step(__global float *restrict p, __global float *restrict m, __global float *restrict v,
                              const __global float *restrict g, const __global float *restrict controls, int count,
                              float beta1, float rest1, float beta2, float rest2, float epsilon) {
  int at = RUN * SPAN + LANE, left = count - RUN * SPAN;
  float step = controls[0], correction = controls[1], scale = controls[2], decay = controls[3];
  if (left >= SPAN) {
    floats gi = load(g + at) * scale;
    floats mi = beta1 * load(m + at) + rest1 * gi;
    floats vi = beta2 * load(v + at) + rest2 * gi * gi;
    store(mi, m + at);
    store(vi, v + at);
    store(load(p + at) * decay - step * mi / (sqrt(vi) * correction + epsilon), p + at);
    return;
  }
  for (; at < count; at += LANES) {
    float gi = g[at] * scale;
    float mi = beta1 * m[at] + rest1 * gi;
    float vi = beta2 * v[at] + rest2 * gi * gi;
    m[at] = mi, v[at] = vi;
    p[at] = p[at] * decay - step * mi / (sqrt(vi) * correction + epsilon);
  }
}
