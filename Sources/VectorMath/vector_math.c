#include "storage.h"
#include <math.h>

float vm_element(const float *x, int stored, int64_t at) {
  float v;
  return *elements(&v, x, stored, at, 1);
}

INLINE void add_sums(const float *x, int64_t count, double shift, double *sum, double *squares) {
  REASSOCIATE
  double s = 0, ss = 0;
  for (int64_t i = 0; i < count; i++) {
    double d = (double)x[i] - shift;
    s += d;
    ss += d * d;
  }
  *sum += s;
  *squares += ss;
}

CLONES void vm_sums(const float *x, int stored, int64_t at, int64_t count, double shift, double *sum, double *squares) {
  float block[BLOCK];
  // One run where nothing is converted.
  int64_t most = stored == VM_FP32 ? count : BLOCK;
  for (int64_t i = 0; i < count; i += most) {
    int64_t run = count - i < most ? count - i : most;
    add_sums(elements(block, x, stored, at + i, run), run, shift, sum, squares);
  }
}

INLINE void add_norm_gradient_sums(const float *g, const float *z, int64_t count, float mean, float scale, float beta,
                                   int relu, double *sum, double *products) {
  REASSOCIATE
  double s = 0, sp = 0;
  for (int64_t i = 0; i < count; i++) {
    float d = z[i] - mean;
    float v = relu && !(d * scale + beta > 0.0f) ? 0.0f : g[i];
    s += (double)v;
    sp += (double)v * (double)d;
  }
  *sum += s;
  *products += sp;
}

CLONES void vm_norm_gradient_sums(const float *g, int g_stored, const float *z, int z_stored, int64_t at, int64_t count,
                                  float mean, float scale, float beta, int relu, double *sum, double *products) {
  float gradients[BLOCK], block[BLOCK];
  int64_t most = g_stored == VM_FP32 && z_stored == VM_FP32 ? count : BLOCK;
  for (int64_t i = 0; i < count; i += most) {
    int64_t run = count - i < most ? count - i : most;
    add_norm_gradient_sums(elements(gradients, g, g_stored, at + i, run), elements(block, z, z_stored, at + i, run), run, mean,
                           scale, beta, relu, sum, products);
  }
}

CLONES void vm_relu(float *y, const float *x, int64_t count) {
  for (int64_t i = 0; i < count; i++) y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}

CLONES void vm_relu_gradient(float *dx, const float *x, const float *dy, int64_t count, int accumulate) {
  if (accumulate)
    for (int64_t i = 0; i < count; i++) dx[i] += x[i] > 0.0f ? dy[i] : 0.0f;
  else
    for (int64_t i = 0; i < count; i++) dx[i] = x[i] > 0.0f ? dy[i] : 0.0f;
}

CLONES void vm_fill(float *y, float value, int64_t count) {
  for (int64_t i = 0; i < count; i++) y[i] = value;
}

CLONES void vm_add(float *y, const float *x, int64_t count) {
  for (int64_t i = 0; i < count; i++) y[i] += x[i];
}

INLINE double sum_of(const float *x, int64_t count) {
  REASSOCIATE
  double sum = 0;
  for (int64_t i = 0; i < count; i++) sum += (double)x[i];
  return sum;
}

CLONES double vm_sum(const float *x, int stored, int64_t at, int64_t count) {
  if (stored == VM_FP32) return sum_of(x + at, count);
  float block[BLOCK];
  double sum = 0;
  for (int64_t i = 0; i < count; i += BLOCK) {
    int64_t run = count - i < BLOCK ? count - i : BLOCK;
    sum += sum_of(elements(block, x, stored, at + i, run), run);
  }
  return sum;
}

CLONES double vm_sum_squares(const float *x, int64_t count) {
  REASSOCIATE
  double sum = 0;
  for (int64_t i = 0; i < count; i++) sum += (double)x[i] * (double)x[i];
  return sum;
}

CLONES void vm_interleave(float *y, const float *even, const float *odd, float bias, int64_t count) {
  for (int64_t j = 0; j < count; j++) {
    y[2 * j] = even[j] + bias;
    y[2 * j + 1] = odd[j] + bias;
  }
}

// log(1 + exp(-|x|)): the stable part of BCE with logits.
INLINE float softplus_tail(float x) { return log1pf(expf(-fabsf(x))); }

INLINE float sigmoid(float x) {
  float e = expf(-fabsf(x));
  float small = e / (1.0f + e);
  return x >= 0.0f ? 1.0f - small : small;
}

void vm_bce_dice_sums(const float *logits, const float *target, int64_t count, float pos_weight, double sums[4]) {
  double bce = 0, overlap = 0, missed = 0, area = 0;
  for (int64_t i = 0; i < count; i++) {
    float x = logits[i], t = target[i];
    float weight = 1.0f + (pos_weight - 1.0f) * t;
    // (1-t) x + weight * max(-x, 0), sorted by sign: terms of one sign, so that a confident pixel's tiny loss survives.
    bce += (double)(weight * softplus_tail(x) + (x >= 0.0f ? (1.0f - t) * x : -pos_weight * t * x));
    float p = sigmoid(x);
    overlap += (double)(p * t);
    missed += (double)(p * (1.0f - t) + sigmoid(-x) * t);
    area += (double)p + (double)t;
  }
  sums[0] += bce, sums[1] += overlap, sums[2] += missed, sums[3] += area;
}

void vm_bce_dice_gradient(float *d, const float *logits, const float *target, int64_t count, float pos_weight,
                          float bce_scale, float dice_target, float dice_constant) {
  for (int64_t i = 0; i < count; i++) {
    float x = logits[i], t = target[i], p = sigmoid(x), rest = sigmoid(-x);
    float bce = (1.0f - t) * p - pos_weight * t * rest;
    d[i] = bce_scale * bce + p * rest * (dice_target * t + dice_constant);
  }
}

CLONES void vm_adam(float *p, float *m, float *v, const float *g, int64_t count, float b1, float rest1, float b2,
                    float rest2, float eps, float step, float correction, float grad_scale, float decay) {
  for (int64_t i = 0; i < count; i++) {
    float gi = g[i] * grad_scale;
    float mi = b1 * m[i] + rest1 * gi;
    float vi = b2 * v[i] + rest2 * gi * gi;
    m[i] = mi;
    v[i] = vi;
    p[i] = p[i] * decay - step * mi / (sqrtf(vi) * correction + eps);
  }
}

CLONES void vm_moving_average(float *average, const float *x, int64_t count, float rate) {
  for (int64_t i = 0; i < count; i++) average[i] += rate * (x[i] - average[i]);
}

CLONES void vm_multiply_add(float *y, const float *x, int64_t count, int64_t rounds, float a, float b) {
  // Eight independent vectors of 16: enough to hide the latency of two multiply-adds a cycle.
  typedef float vector __attribute__((vector_size(64), aligned(4), may_alias));
  enum { CHAINS = 8, TOGETHER = 16 * CHAINS };
  int64_t at = 0;
  for (; at + TOGETHER <= count; at += TOGETHER) {
    vector v[CHAINS];
    for (int c = 0; c < CHAINS; c++) v[c] = *(const vector *)(x + at + 16 * c);
    for (int64_t r = 0; r < rounds; r++)
      for (int c = 0; c < CHAINS; c++) v[c] = v[c] * a + b;
    for (int c = 0; c < CHAINS; c++) *(vector *)(y + at + 16 * c) = v[c];
  }
  for (; at < count; at++) {
    float v = x[at];
    for (int64_t r = 0; r < rounds; r++) v = v * a + b;
    y[at] = v;
  }
}

int vm_has_avx2_and_fma(void) {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return 0;
#endif
}

int vm_has_avx512(void) {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512f");
#else
  return 0;
#endif
}

void vm_copy(float *y, const float *x, int64_t count) { memcpy(y, x, (size_t)count * sizeof(float)); }
