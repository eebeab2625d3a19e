// Batch normalisation over images and pixels, channel by channel, as tables that readers apply (prelude.clh's views).
// Reductions: one run per (run of pixels of one image, channel), then one per channel over the runs' sums (lanes.clh).
// Mean and variance by corrected two-pass within a run and Chan's merge over runs, never E[x^2] - E[x]^2.
// All `=`, but running statistics `=` (1 - momentum) * old + momentum * new, and dgamma, dbeta `+=` with ACCUMULATE 1.
// Macros: RELU 1: the view's f is ReLU, so gradients pass where its argument is positive. ACCUMULATE. FROZEN 1: the
// statistics are constants, so nothing flows back through them. Z_STORED, G_STORED: how z and g are stored (storage.clh).
// LINT: -DRELU=1 -DACCUMULATE=1
// LINT: -DRELU=1 -DFROZEN=1
// LINT: -DLANES=256 -DWIDTH=4 -DRELU=1
// LINT: -DRELU=1 -DZ_STORED=1
// LINT: -DRELU=1 -DZ_STORED=1 -DG_STORED=2
#include "lanes.clh"
#ifndef RELU
#define RELU 0
#endif
#ifndef ACCUMULATE
#define ACCUMULATE 0
#endif
#ifndef FROZEN
#define FROZEN 0
#endif
#ifndef Z_STORED
#define Z_STORED 0
#endif
#ifndef G_STORED
#define G_STORED 0
#endif

// How far ahead two streams are asked for: further than the processor's own prefetching, which ends with a page.
#define AHEAD 1024

// partial[c][run] = (mean, sum of squared deviations) of one run.
GROUP __kernel void batch_norm_partial(__global float *restrict partial, const __global float *restrict z, int channels,
                                       int plane, int runs_per_image, int run_length) {
  GROUP_MEMORY
  int run = RUN, c = CHANNEL, runs = RUNS;
  int n = run / runs_per_image, start = (run - n * runs_per_image) * run_length;
  int count = min(run_length, plane - start);
  ulong from = ((ulong)n * channels + c) * plane + start;

  floats sums = (floats)0.0f, more = (floats)0.0f;
  int i = 0;
  for (; count - i >= 2 * SPAN; i += 2 * SPAN) {
    sums += load_stored(Z_STORED, z, from + i + LANE);
    more += load_stored(Z_STORED, z, from + i + SPAN + LANE);
  }
  if (count - i >= SPAN) sums += load_stored(Z_STORED, z, from + i + LANE), i += SPAN;
  sums += more;
  float sum = SUM(sums);
  for (i += LANE; i < count; i += LANES) sum += element1(Z_STORED, z, from + i);
  float mean = GROUP_SUM(sum) / count;

  // This pass reads the first-level cache; memory brings what the next run will read.
  floats deviations = (floats)0.0f, squares = (floats)0.0f;
  for (i = 0; count - i >= SPAN; i += SPAN) {
    PREFETCH_ELEMENT(Z_STORED, z, from + run_length + i);
    floats d = load_stored(Z_STORED, z, from + i + LANE) - mean;
    deviations += d;
    squares = fma(d, d, squares);
  }
  float deviation = SUM(deviations), square = SUM(squares);
  for (i += LANE; i < count; i += LANES) {
    float d = element1(Z_STORED, z, from + i) - mean;
    deviation += d;
    square = fma(d, d, square);
  }
  deviation = GROUP_SUM(deviation);
  square = GROUP_SUM(square);
  if (LANE > 0) return;
  __global float *to = partial + ((ulong)c * runs + run) * 2;
  to[0] = mean + deviation / count;
  to[1] = square - deviation * deviation / count;
}

// table[c] = (mean, gamma / sigma, beta less the mean's rounding, 1 / sigma); running statistics as PyTorch keeps them.
GROUP __kernel void batch_norm_table(__global float *restrict table, __global float *restrict running_mean,
                                     __global float *restrict running_variance, const __global float *restrict partial,
                                     const __global float *restrict gamma, const __global float *restrict beta,
                                     int channels, int plane, int runs_per_image, int run_length, int runs,
                                     float momentum, float epsilon) {
  GROUP_MEMORY
  int c = RUN;
  const __global float *from = partial + (ulong)c * runs * 2;
  float total = (float)(runs / runs_per_image) * (float)plane;
  // Offsets from the first run's mean, so that nothing large cancels; compensated sums.
  float first = from[0], shift = 0.0f, lost = 0.0f;
  for (int r = LANE; r < runs; r += LANES) {
    int count = min(run_length, plane - r % runs_per_image * run_length);
    float v = (from[2 * r] - first) * count - lost, next = shift + v;
    lost = (next - shift) - v;
    shift = next;
  }
  shift = GROUP_SUM(shift) / total;
  float squares = 0.0f;
  lost = 0.0f;
  for (int r = LANE; r < runs; r += LANES) {
    int count = min(run_length, plane - r % runs_per_image * run_length);
    float d = (from[2 * r] - first) - shift;
    float v = fma(d * count, d, from[2 * r + 1]) - lost, next = squares + v;
    lost = (next - squares) - v;
    squares = next;
  }
  squares = GROUP_SUM(squares);
  if (LANE > 0) return;
  float mean = first + shift, variance = squares / total;
  float inverse = 1.0f / sqrt(variance + epsilon);
  // What rounding took from the mean goes into beta, so that a mean of a thousand sigma costs no digits.
  float rounded = shift - (mean - first), scale = gamma[c] * inverse;
  __global float *to = table + 4 * (ulong)c;
  to[0] = mean, to[1] = scale, to[2] = fma(-rounded, scale, beta[c]), to[3] = inverse;
  float unbiased = total > 1.0f ? squares / (total - 1.0f) : variance;
  running_mean[c] = (1.0f - momentum) * running_mean[c] + momentum * mean;
  running_variance[c] = (1.0f - momentum) * running_variance[c] + momentum * unbiased;
}

__kernel void batch_norm_inference(__global float *restrict table, const __global float *restrict gamma,
                                   const __global float *restrict beta, const __global float *restrict running_mean,
                                   const __global float *restrict running_variance, int channels, float epsilon) {
  int c = get_global_id(0);
  if (c >= channels) return;
  float inverse = 1.0f / sqrt(running_variance[c] + epsilon);
  __global float *to = table + 4 * (ulong)c;
  to[0] = running_mean[c], to[1] = gamma[c] * inverse, to[2] = beta[c], to[3] = inverse;
}

// partial[c][run] = (sum g f', sum g f' (z - mean)) of one run.
GROUP __kernel void batch_norm_gradient_partial(__global float *restrict partial, const __global float *restrict g,
                                                const __global float *restrict z, const __global float *restrict table,
                                                int channels, int plane, int runs_per_image, int run_length) {
  GROUP_MEMORY
  int run = RUN, c = CHANNEL, runs = RUNS;
  int n = run / runs_per_image, start = (run - n * runs_per_image) * run_length;
  int count = min(run_length, plane - start);
  ulong base = ((ulong)n * channels + c) * plane + start;
  const __global float *t = table + 4 * (ulong)c;
  float mean = t[0], scale = t[1], beta = t[2];

  floats sums = (floats)0.0f, products = (floats)0.0f;
  int i = 0;
  for (; count - i >= SPAN; i += SPAN) {
    PREFETCH_ELEMENT(Z_STORED, z, base + i + AHEAD);
    PREFETCH_ELEMENT(G_STORED, g, base + i + AHEAD);
    floats d = load_stored(Z_STORED, z, base + i + LANE) - mean, v = load_stored(G_STORED, g, base + i + LANE);
#if RELU
    v = select((floats)0.0f, v, isgreater(fma(d, (floats)scale, (floats)beta), (floats)0.0f));
#endif
    sums += v;
    products = fma(v, d, products);
  }
  float sum = SUM(sums), product = SUM(products);
  for (i += LANE; i < count; i += LANES) {
    float d = element1(Z_STORED, z, base + i) - mean, v = element1(G_STORED, g, base + i);
#if RELU
    v = fma(d, scale, beta) > 0.0f ? v : 0.0f;
#endif
    sum += v;
    product = fma(v, d, product);
  }
  sum = GROUP_SUM(sum);
  product = GROUP_SUM(product);
  if (LANE > 0) return;
  __global float *to = partial + ((ulong)c * runs + run) * 2;
  to[0] = sum, to[1] = product;
}

// gradient_table[c] = (mean, scale, beta, q, r, 0, 0, 0); dgamma[c], dbeta[c].
GROUP __kernel void batch_norm_gradient_table(__global float *restrict gradient_table, __global float *restrict dgamma,
                                              __global float *restrict dbeta, const __global float *restrict partial,
                                              const __global float *restrict table, int channels, int count, int runs) {
  GROUP_MEMORY
  int c = RUN;
  const __global float *from = partial + (ulong)c * runs * 2, *t = table + 4 * (ulong)c;
  float2 sums = (float2)0.0f, lost = (float2)0.0f;
  for (int r = LANE; r < runs; r += LANES) {
    float2 v = vload2(r, from) - lost, next = sums + v;
    lost = (next - sums) - v;
    sums = next;
  }
  sums.x = GROUP_SUM(sums.x);
  sums.y = GROUP_SUM(sums.y);
  if (LANE > 0) return;
  float scale = t[1], inverse = t[3];
  __global float *to = gradient_table + 8 * (ulong)c;
  to[0] = t[0], to[1] = scale, to[2] = t[2];
  to[3] = FROZEN ? 0.0f : -scale * inverse * (inverse * sums.y / count);
  to[4] = FROZEN ? 0.0f : -scale * (sums.x / count);
  to[5] = to[6] = to[7] = 0.0f;
#if ACCUMULATE
  dgamma[c] += sums.y * inverse;
  dbeta[c] += sums.x;
#else
  dgamma[c] = sums.y * inverse;
  dbeta[c] = sums.x;
#endif
}
