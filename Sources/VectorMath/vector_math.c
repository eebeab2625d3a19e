#include "VectorMath.h"
#include <math.h>
#include <string.h>

// ThreadSanitizer instruments the functions that choose a clone, and those run before it is ready.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_THREAD_SANITIZER
#endif
#endif

#if defined(__x86_64__) && !defined(UNDER_THREAD_SANITIZER)
#define CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define CLONES
#endif
#define INLINE static inline __attribute__((always_inline))
// Sums may be taken in any order, so that they vectorise; the order is fixed for a given processor.
#define REASSOCIATE _Pragma("clang fp reassociate(on)")

typedef struct {
  float mean, scale, beta, q, r;
} channel;

// By integers, as half.clh: the same bits on every processor.
INLINE void to_half(uint16_t *restrict y, const float *restrict x, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    uint32_t u, small;
    memcpy(&u, x + i, 4);
    uint32_t all = u & 0x7fffffffu, a = all < 0x477fe000u ? all : 0x477fe000u;
    float magnitude;
    memcpy(&magnitude, &a, 4);
    magnitude += 0.5f;
    memcpy(&small, &magnitude, 4);
    uint32_t normal = ((a + 0xfffu + (a >> 13 & 1u)) >> 13) - 0x1c000u;
    uint32_t h = a < 0x38800000u ? small - 0x3f000000u : normal;
    // Neither infinity nor what is no number may pass for a number.
    h = all < 0x7f800000u ? h : all == 0x7f800000u ? 0x7c00u : 0x7e00u;
    y[i] = (uint16_t)(h | (u >> 16 & 0x8000u));
  }
}

INLINE void from_half(float *restrict y, const uint16_t *restrict x, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    uint32_t h = x[i] & 0x7fffu, normal = (h << 13) + (h < 0x7c00u ? 0x38000000u : 0x70000000u), small = h + 0x3f000000u;
    float f;
    memcpy(&f, &small, 4);
    f -= 0.5f;
    memcpy(&small, &f, 4);
    uint32_t v = (h < 0x400u ? small : normal) | (uint32_t)(x[i] & 0x8000u) << 16;
    memcpy(y + i, &v, 4);
  }
}

// Elements of a tensor in 16 bits that are converted at a time.
enum { BLOCK = 512 };

INLINE channel load_channel(const vm_operand *x, int64_t c) {
  channel k = {0, 1, 0, 0, 0};
  int view = x->mode & ~VM_HALF;
  if (view == VM_NORMALIZED || view == VM_NORMALIZED_RELU) {
    const float *t = x->table + 4 * c;
    k.mean = t[0], k.scale = t[1], k.beta = t[2];
  } else if (view == VM_NORMALIZED_GRADIENT || view == VM_NORMALIZED_RELU_GRADIENT) {
    const float *t = x->table + 8 * c;
    k.mean = t[0], k.scale = t[1], k.beta = t[2], k.q = t[3], k.r = t[4];
  }
  return k;
}

INLINE float normalize(channel k, float z) { return (z - k.mean) * k.scale + k.beta; }

INLINE void show(float *restrict out, int view, channel k, const float *restrict in, const float *restrict aux,
                 int64_t count) {
  switch (view) {
  case VM_NORMALIZED:
    for (int64_t j = 0; j < count; j++) out[j] = normalize(k, in[j]);
    break;
  case VM_NORMALIZED_RELU:
    for (int64_t j = 0; j < count; j++) {
      float a = normalize(k, in[j]);
      out[j] = a > 0.0f ? a : 0.0f;
    }
    break;
  case VM_NORMALIZED_GRADIENT:
    for (int64_t j = 0; j < count; j++) out[j] = k.scale * in[j] + (k.q * (aux[j] - k.mean) + k.r);
    break;
  case VM_NORMALIZED_RELU_GRADIENT:
    for (int64_t j = 0; j < count; j++) {
      float g = normalize(k, aux[j]) > 0.0f ? in[j] : 0.0f;
      out[j] = k.scale * g + (k.q * (aux[j] - k.mean) + k.r);
    }
    break;
  case VM_DEPTH:
    for (int64_t j = 0; j < count; j++) out[j] = in[2 * j];
    break;
  default: memcpy(out, in, (size_t)count * sizeof(float));
  }
}

// `count` elements through the view, from element `base` of the tensors.
INLINE void load_span(float *restrict out, const vm_operand *x, channel k, int64_t base, int64_t count) {
  int view = x->mode & ~VM_HALF;
  if (!(x->mode & VM_HALF)) {
    show(out, view, k, x->data + base, x->aux + base, count);
    return;
  }
  int gradient = view == VM_NORMALIZED_GRADIENT || view == VM_NORMALIZED_RELU_GRADIENT, step = view == VM_DEPTH ? 2 : 1;
  const uint16_t *from = (const uint16_t *)(gradient ? x->aux : x->data) + base;
  float block[BLOCK];
  for (int64_t at = 0, most = BLOCK / step; at < count; at += most) {
    int64_t run = count - at < most ? count - at : most;
    from_half(block, from + at * step, (run - 1) * step + 1);
    show(out + at, view, k, gradient ? x->data + base + at : block, block, run);
  }
}

INLINE void load_row(float *restrict out, const vm_operand *x, channel k, int64_t n, int64_t c, int64_t row,
                     int64_t column, int64_t count) {
  int64_t skip = column < 0 ? (-column < count ? -column : count) : 0;
  int64_t last = x->width - column < count ? x->width - column : count;
  if (row < 0 || row >= x->height || last <= skip) {
    memset(out, 0, (size_t)count * sizeof(float));
    return;
  }
  if (skip > 0) memset(out, 0, (size_t)skip * sizeof(float));
  if (last < count) memset(out + last, 0, (size_t)(count - last) * sizeof(float));
  int64_t base, step = 1;
  if ((x->mode & ~VM_HALF) == VM_DEPTH) {
    base = ((n * (x->channels / 4) + c / 4) * 2 * x->height + 2 * row + ((c >> 1) & 1)) * 2 * x->width + (c & 1);
    step = 2;
  } else {
    base = ((n * x->channels + c) * x->height + row) * x->width;
  }
  base += (column + skip) * step;
  load_span(out + skip, x, k, base, last - skip);
}

CLONES void vm_load_row(float *out, const vm_operand *x, int64_t n, int64_t c, int64_t row, int64_t column,
                        int64_t count) {
  load_row(out, x, load_channel(x, c), n, c, row, column, count);
}

int64_t vm_im2col_stage(int64_t k, int64_t dilation, int64_t out_width, int64_t count) {
  int64_t halo = (k - 1) * dilation;
  int64_t one_row = (halo + 1) * (count + halo);
  int64_t rows = (count + out_width - 2) / out_width + 1;
  int64_t whole_rows = (rows + halo) * (out_width + halo);
  return one_row > whole_rows ? one_row : whole_rows;
}

CLONES void vm_im2col(float *out, float *stage, const vm_operand *x, int64_t n, int64_t first, int64_t channels,
                      int64_t k, int64_t dilation, int64_t pad, int64_t out_width, int64_t start, int64_t count) {
  // The rows and columns of the output that the run touches: part of one row, or rows from edge to edge.
  int64_t top = start / out_width, bottom = (start + count - 1) / out_width;
  int64_t left = top == bottom ? start % out_width : 0;
  int64_t width = top == bottom ? count : out_width;
  int64_t halo = (k - 1) * dilation, pitch = width + halo;
  for (int64_t c = 0; c < channels; c++) {
    channel view = load_channel(x, first + c);
    float *to = out + c * k * k * count;
    if (k == 1 && pad == 0) {
      for (int64_t at = start, i = top; i <= bottom; i++) {
        int64_t j = at % out_width, run = out_width - j < start + count - at ? out_width - j : start + count - at;
        load_row(to, x, view, n, first + c, i, j, run);
        to += run, at += run;
      }
      continue;
    }
    // Each pixel goes through its view once here; the taps then copy.
    int64_t rows = bottom - top + 1 + halo;
    for (int64_t i = 0; i < rows; i++)
      load_row(stage + i * pitch, x, view, n, first + c, top + i - pad, left - pad, pitch);
    for (int64_t p = 0; p < k; p++)
      for (int64_t q = 0; q < k; q++)
        for (int64_t at = start, i = top; i <= bottom; i++) {
          int64_t j = at % out_width, run = out_width - j < start + count - at ? out_width - j : start + count - at;
          memcpy(to, stage + (i - top + p * dilation) * pitch + (j - left) + q * dilation, (size_t)run * sizeof(float));
          to += run, at += run;
        }
  }
}

CLONES void vm_load_range(float *y, const vm_operand *x, int64_t n, int64_t c, int64_t start, int64_t count,
                          int accumulate) {
  channel k = load_channel(x, c);
  int64_t base = (n * x->channels + c) * x->height * x->width + start;
  if (!accumulate) {
    load_span(y, x, k, base, count);
    return;
  }
  float block[BLOCK];
  for (int64_t at = 0; at < count; at += BLOCK) {
    int64_t run = count - at < BLOCK ? count - at : BLOCK;
    load_span(block, x, k, base + at, run);
    for (int64_t j = 0; j < run; j++) y[at + j] += block[j];
  }
}

CLONES void vm_store_half_range(uint16_t *y, const vm_operand *x, int64_t n, int64_t c, int64_t start, int64_t count) {
  channel k = load_channel(x, c);
  int64_t base = (n * x->channels + c) * x->height * x->width + start;
  float block[BLOCK];
  for (int64_t at = 0; at < count; at += BLOCK) {
    int64_t run = count - at < BLOCK ? count - at : BLOCK;
    load_span(block, x, k, base + at, run);
    to_half(y + at, block, run);
  }
}

float vm_element(const float *x, int half, int64_t at) {
  if (!half) return x[at];
  float v;
  from_half(&v, (const uint16_t *)x + at, 1);
  return v;
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

CLONES void vm_sums(const float *x, int half, int64_t at, int64_t count, double shift, double *sum, double *squares) {
  if (!half) {
    add_sums(x + at, count, shift, sum, squares);
    return;
  }
  float block[BLOCK];
  for (int64_t i = 0; i < count; i += BLOCK) {
    int64_t run = count - i < BLOCK ? count - i : BLOCK;
    from_half(block, (const uint16_t *)x + at + i, run);
    add_sums(block, run, shift, sum, squares);
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

CLONES void vm_norm_gradient_sums(const float *g, const float *z, int half, int64_t at, int64_t count, float mean, float scale,
                                  float beta, int relu, double *sum, double *products) {
  if (!half) {
    add_norm_gradient_sums(g, z + at, count, mean, scale, beta, relu, sum, products);
    return;
  }
  float block[BLOCK];
  for (int64_t i = 0; i < count; i += BLOCK) {
    int64_t run = count - i < BLOCK ? count - i : BLOCK;
    from_half(block, (const uint16_t *)z + at + i, run);
    add_norm_gradient_sums(g + i, block, run, mean, scale, beta, relu, sum, products);
  }
}

INLINE float load_one(const vm_operand *x, channel k, int64_t at) {
  float v;
  load_span(&v, x, k, at, 1);
  return v;
}

CLONES void vm_max_pool_row(float *y, const vm_operand *x, int64_t n, int64_t c, int64_t row, int64_t out_width) {
  channel k = load_channel(x, c);
  int64_t base = ((n * x->channels + c) * x->height + 2 * row) * x->width;
  float top[512], low[512];
  for (int64_t at = 0; at < out_width; at += 256) {
    int64_t run = out_width - at < 256 ? out_width - at : 256;
    int64_t from = base + 2 * at;
    load_span(top, x, k, from, 2 * run);
    load_span(low, x, k, from + x->width, 2 * run);
    for (int64_t j = 0; j < run; j++) {
      float a = top[2 * j] >= top[2 * j + 1] ? top[2 * j] : top[2 * j + 1];
      float b = low[2 * j] >= low[2 * j + 1] ? low[2 * j] : low[2 * j + 1];
      y[at + j] = a >= b ? a : b;
    }
  }
}

CLONES void vm_max_pool_gradient_rows(float *dx, const vm_operand *x, const float *dy, int64_t n, int64_t c,
                                      int64_t row, int64_t out_height, int64_t out_width, int accumulate) {
  channel k = load_channel(x, c);
  int64_t width = x->width;
  int64_t base = ((n * x->channels + c) * x->height + 2 * row) * width;
  int64_t rows = x->height - 2 * row < 2 ? x->height - 2 * row : 2;
  if (!accumulate) memset(dx + base, 0, (size_t)(rows * width) * sizeof(float));
  if (row >= out_height) return;
  const float *d = dy + ((n * x->channels + c) * out_height + row) * out_width;
  for (int64_t j = 0; j < out_width; j++) {
    int64_t at[4] = {base + 2 * j, base + 2 * j + 1, base + width + 2 * j, base + width + 2 * j + 1};
    int best = 0;
    float most = load_one(x, k, at[0]);
    for (int i = 1; i < 4; i++) {
      float v = load_one(x, k, at[i]);
      if (v > most) most = v, best = i;
    }
    dx[at[best]] += d[j];
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

CLONES double vm_sum(const float *x, int64_t count) {
  REASSOCIATE
  double sum = 0;
  for (int64_t i = 0; i < count; i++) sum += (double)x[i];
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
  double bce = 0, overlap = 0, predicted = 0, positive = 0;
  for (int64_t i = 0; i < count; i++) {
    float x = logits[i], t = target[i];
    float weight = 1.0f + (pos_weight - 1.0f) * t;
    // (1-t) x + weight * max(-x, 0), sorted by sign: terms of one sign, so that a confident pixel's tiny loss survives.
    bce += (double)(weight * softplus_tail(x) + (x >= 0.0f ? (1.0f - t) * x : -pos_weight * t * x));
    float p = sigmoid(x);
    overlap += (double)(p * t);
    predicted += (double)p;
    positive += (double)t;
  }
  sums[0] += bce, sums[1] += overlap, sums[2] += predicted, sums[3] += positive;
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

void vm_copy(float *y, const float *x, int64_t count) { memcpy(y, x, (size_t)count * sizeof(float)); }
