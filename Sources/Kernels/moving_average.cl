// average += rate * (x - average), rate = controls[0]. One work-item per 16 elements.
__kernel void moving_average(__global float *restrict average, const __global float *restrict x,
                             const __global float *restrict controls, int count) {
  int at = get_global_id(0) * 16;
  float rate = controls[0];
  if (at + 16 <= count) {
    float16 a = vload16(0, average + at);
    vstore16(a + rate * (vload16(0, x + at) - a), 0, average + at);
    return;
  }
  for (; at < count; at++) average[at] += rate * (x[at] - average[at]);
}
