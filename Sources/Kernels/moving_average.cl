// average += rate * (x - average), rate = controls[0]. One run per SPAN elements.
// LINT:
// LINT: -DLANES=256 -DWIDTH=4
#include "lanes.clh"

GROUP __kernel void moving_average(__global float *restrict average, const __global float *restrict x,
                                   const __global float *restrict controls, int count) {
  int at = RUN * SPAN + LANE, left = count - RUN * SPAN;
  float rate = controls[0];
  if (left >= SPAN) {
    floats a = load(average + at);
    store(a + rate * (load(x + at) - a), average + at);
    return;
  }
  for (; at < count; at += LANES) average[at] += rate * (x[at] - average[at]);
}
