// What a device can do at most, for benchmarks to be quoted against: no step of a model launches these.
//
// roof_arithmetic: y[i] = x[i] after `rounds` times x = fma(x, a, b). x, y (count).
//   Eight independent vectors an item: enough to hide the latency of two fused multiply-adds a cycle.
// roof_copy: y[i] = x[i]. x, y (count). Four elements an item, neighbours side by side: as one vector, which vload4 is not on NVIDIA's.

#define CHAINS 8

__kernel void roof_arithmetic(__global float *restrict y, const __global float *restrict x, int count, int rounds, float a,
                              float b) {
  int at = (int)get_global_id(0) * CHAINS * 16;
  if (at + CHAINS * 16 > count) {
    for (int i = at; i < count; i++) {
      float v = x[i];
      for (int r = 0; r < rounds; r++) v = fma(v, a, b);
      y[i] = v;
    }
    return;
  }
  float16 v[CHAINS];
#pragma unroll
  for (int c = 0; c < CHAINS; c++) v[c] = vload16(c, x + at);
  for (int r = 0; r < rounds; r++) {
#pragma unroll
    for (int c = 0; c < CHAINS; c++) v[c] = fma(v[c], (float16)a, (float16)b);
  }
#pragma unroll
  for (int c = 0; c < CHAINS; c++) vstore16(v[c], c, y + at);
}

__kernel void roof_copy(__global float *restrict y, const __global float *restrict x, int count) {
  ulong at = get_global_id(0) * 4;
  if (at + 4 <= (ulong)count)
    *(__global float4 *)(y + at) = *(const __global float4 *)(x + at);
  else
    for (; at < (ulong)count; at++) y[at] = x[at];
}
