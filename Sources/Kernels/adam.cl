// adam_step over whole slabs: m = b1 m + rest1 g, v = b2 v + rest2 g^2, p = p * decay - step * m / (sqrt(v) * correction +
// epsilon), controls = (step, correction, gradient scale, decay); rest1, rest2 are 1-b1 and 1-b2, which fp32 would blur.
// One work-item per 16 elements.
__kernel void adam_step(__global float *restrict p, __global float *restrict m, __global float *restrict v,
                        const __global float *restrict g, const __global float *restrict controls, int count,
                        float beta1, float rest1, float beta2, float rest2, float epsilon) {
  int at = get_global_id(0) * 16;
  int end = min(at + 16, count);
  float step = controls[0], correction = controls[1], scale = controls[2], decay = controls[3];
  if (at + 16 <= count) {
    float16 gi = vload16(0, g + at) * scale;
    float16 mi = beta1 * vload16(0, m + at) + rest1 * gi;
    float16 vi = beta2 * vload16(0, v + at) + rest2 * gi * gi;
    vstore16(mi, 0, m + at);
    vstore16(vi, 0, v + at);
    vstore16(vload16(0, p + at) * decay - step * mi / (sqrt(vi) * correction + epsilon), 0, p + at);
    return;
  }
  for (; at < end; at++) {
    float gi = g[at] * scale;
    float mi = beta1 * m[at] + rest1 * gi;
    float vi = beta2 * v[at] + rest2 * gi * gi;
    m[at] = mi, v[at] = vi;
    p[at] = p[at] * decay - step * mi / (sqrt(vi) * correction + epsilon);
  }
}
