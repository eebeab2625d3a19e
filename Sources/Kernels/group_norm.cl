// Group normalisation with the kernels of batch_norm.cl: (N, C, H, W) is (1, N groups, C / groups * H, W) to the moments of
// batch_norm_partial, and (1, N C, H, W) to materialize and batch_norm_gradient_partial, whose tables have N C rows.
// All `=`, but dgamma, dbeta `+=` with ACCUMULATE 1.
// LINT: -DACCUMULATE=1
#ifndef ACCUMULATE
#define ACCUMULATE 0
#endif

// table[n * channels + c] = (mean, gamma / sigma, beta less the mean's rounding, 1 / sigma) of c's group, from the moments of
// the group's runs (mean, sum of squared deviations). One work-item per (image, group).
__kernel void group_norm_table(__global float *restrict table, const __global float *restrict partial,
                               const __global float *restrict gamma, const __global float *restrict beta, int groups,
                               int group_channels, int plane, int runs, int run_length, float epsilon) {
  int group = get_global_id(0), first_channel = group % groups * group_channels;
  const __global float *from = partial + (ulong)group * runs * 2;
  float total = (float)group_channels * (float)plane;
  int elements = group_channels * plane;
  // Offsets from the first run's mean, so that nothing large cancels; compensated sums.
  float first = from[0], shift = 0.0f, lost = 0.0f;
  for (int r = 0; r < runs; r++) {
    float v = (from[2 * r] - first) * min(run_length, elements - r * run_length) - lost, next = shift + v;
    lost = (next - shift) - v;
    shift = next;
  }
  shift /= total;
  float squares = 0.0f;
  lost = 0.0f;
  for (int r = 0; r < runs; r++) {
    float d = (from[2 * r] - first) - shift;
    float v = fma(d * min(run_length, elements - r * run_length), d, from[2 * r + 1]) - lost, next = squares + v;
    lost = (next - squares) - v;
    squares = next;
  }
  float mean = first + shift, inverse = 1.0f / sqrt(squares / total + epsilon);
  float rounded = shift - (mean - first);
  for (int c = 0; c < group_channels; c++) {
    float scale = gamma[first_channel + c] * inverse;
    __global float *to = table + 4 * ((ulong)group * group_channels + c);
    to[0] = mean, to[1] = scale, to[2] = fma(-rounded, scale, beta[first_channel + c]), to[3] = inverse;
  }
}

// sums[n * channels + c] = (sum g f', sum g f' (z - mean)) over the runs of batch_norm_gradient_partial;
// gradient_table = (mean, scale, beta, q, r, 0, 0, 0). One work-item per (image, group).
__kernel void group_norm_gradient_table(__global float *restrict gradient_table, __global float *restrict sums,
                                        const __global float *restrict partial, const __global float *restrict table,
                                        const __global float *restrict gamma, int groups, int group_channels, int plane,
                                        int runs) {
  int group = get_global_id(0), first_channel = group % groups * group_channels;
  ulong first = (ulong)group * group_channels;
  float total = (float)group_channels * (float)plane, inverse = table[4 * first + 3];
  float all = 0.0f, products = 0.0f;
  for (int c = 0; c < group_channels; c++) {
    const __global float *from = partial + (first + c) * runs * 2;
    float2 sum = (float2)0.0f, lost = (float2)0.0f;
    for (int r = 0; r < runs; r++) {
      float2 v = vload2(r, from) - lost, next = sum + v;
      lost = (next - sum) - v;
      sum = next;
    }
    vstore2(sum, first + c, sums);
    all = fma(gamma[first_channel + c], sum.x, all);
    products = fma(gamma[first_channel + c], sum.y, products);
  }
  for (int c = 0; c < group_channels; c++) {
    const __global float *t = table + 4 * (first + c);
    __global float *to = gradient_table + 8 * (first + c);
    to[0] = t[0], to[1] = t[1], to[2] = t[2];
    to[3] = -inverse * inverse * inverse * (products / total);
    to[4] = -inverse * (all / total);
    to[5] = to[6] = to[7] = 0.0f;
  }
}

// dgamma[c], dbeta[c] over the images. One work-item per channel.
__kernel void group_norm_parameter_gradient(__global float *restrict dgamma, __global float *restrict dbeta,
                                            const __global float *restrict sums, const __global float *restrict table,
                                            int channels, int images) {
  int c = get_global_id(0);
  float gamma = 0.0f, beta = 0.0f;
  for (int n = 0; n < images; n++) {
    ulong at = (ulong)n * channels + c;
    float2 sum = vload2(at, sums);
    gamma = fma(sum.y, table[4 * at + 3], gamma);
    beta += sum.x;
  }
#if ACCUMULATE
  dgamma[c] += gamma, dbeta[c] += beta;
#else
  dgamma[c] = gamma, dbeta[c] = beta;
#endif
}
