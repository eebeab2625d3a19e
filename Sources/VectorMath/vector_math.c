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

// By integers, as storage.clh: the same bits on every processor.
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

INLINE void to_bf16(uint16_t *restrict y, const float *restrict x, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    uint32_t u;
    memcpy(&u, x + i, 4);
    // What is no number must not be carried into infinity, or round through it to zero.
    uint32_t none = u >> 16 | 0x40u, rounded = (u + 0x7fffu + (u >> 16 & 1u)) >> 16;
    y[i] = (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? none : rounded);
  }
}

INLINE void from_bf16(float *restrict y, const uint16_t *restrict x, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    uint32_t v = (uint32_t)x[i] << 16;
    memcpy(y + i, &v, 4);
  }
}

// Elements that are converted at a time.
enum { BLOCK = 512 };

// Elements [at, at + count) of x, BLOCK at most: where they are, or converted into `block`.
INLINE const float *elements(float *restrict block, const float *x, int stored, int64_t at, int64_t count) {
  if (stored == VM_FP32) return x + at;
  const uint16_t *from = (const uint16_t *)x + at;
  if (stored == VM_FP16)
    from_half(block, from, count);
  else
    from_bf16(block, from, count);
  return block;
}

// y's elements [at, at + count) = v.
INLINE void put(float *y, int stored, int64_t at, const float *restrict v, int64_t count) {
  if (stored == VM_FP32)
    memcpy(y + at, v, (size_t)count * sizeof(float));
  else if (stored == VM_FP16)
    to_half((uint16_t *)y + at, v, count);
  else
    to_bf16((uint16_t *)y + at, v, count);
}

INLINE int view_of(int mode) { return mode & ~(VM_VIEW_FP16 | VM_VIEW_BF16); }
INLINE int needs_aux(int mode) {
  int view = view_of(mode);
  return view == VM_NORMALIZED_GRADIENT || view == VM_NORMALIZED_RELU_GRADIENT;
}
INLINE int data_stored(int mode) {
  if (mode & VM_VIEW_BF16) return VM_BF16;
  return mode & VM_VIEW_FP16 && !needs_aux(mode) ? VM_FP16 : VM_FP32;
}
INLINE int aux_stored(int mode) { return mode & VM_VIEW_FP16 && needs_aux(mode) ? VM_FP16 : VM_FP32; }

INLINE channel load_channel(const vm_operand *x, int64_t c) {
  channel k = {0, 1, 0, 0, 0};
  int view = view_of(x->mode);
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
  int view = view_of(x->mode), data = data_stored(x->mode), aux = aux_stored(x->mode), step = view == VM_DEPTH ? 2 : 1;
  if (data == VM_FP32 && aux == VM_FP32) {
    show(out, view, k, x->data + base, x->aux + base, count);
    return;
  }
  float block[BLOCK], beside[BLOCK];
  for (int64_t at = 0, most = BLOCK / step; at < count; at += most) {
    int64_t run = count - at < most ? count - at : most;
    const float *in = elements(block, x->data, data, base + at * step, (run - 1) * step + 1);
    show(out + at, view, k, in, needs_aux(x->mode) ? elements(beside, x->aux, aux, base + at, run) : in, run);
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
  if (view_of(x->mode) == VM_DEPTH) {
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

CLONES void vm_load_range(float *y, const vm_operand *x, int64_t n, int64_t c, int64_t start, int64_t count) {
  load_span(y, x, load_channel(x, c), (n * x->channels + c) * x->height * x->width + start, count);
}

CLONES void vm_put_range(float *y, int stored, int64_t at, const vm_operand *x, int64_t n, int64_t c, int64_t start,
                         int64_t count, int accumulate) {
  channel k = load_channel(x, c);
  int64_t base = (n * x->channels + c) * x->height * x->width + start;
  if (stored == VM_FP32 && !accumulate) {
    load_span(y + at, x, k, base, count);
    return;
  }
  float block[BLOCK], before[BLOCK];
  for (int64_t i = 0; i < count; i += BLOCK) {
    int64_t run = count - i < BLOCK ? count - i : BLOCK;
    load_span(block, x, k, base + i, run);
    if (accumulate) {
      const float *old = elements(before, y, stored, at + i, run);
      for (int64_t j = 0; j < run; j++) block[j] += old[j];
    }
    put(y, stored, at + i, block, run);
  }
}

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

CLONES void vm_max_pool_gradient_rows(float *dx, int dx_stored, const vm_operand *x, const float *dy, int dy_stored, int64_t n,
                                      int64_t c, int64_t row, int64_t out_height, int64_t out_width, int accumulate) {
  channel k = load_channel(x, c);
  int64_t width = x->width, base = ((n * x->channels + c) * x->height + 2 * row) * width;
  int64_t from = ((n * x->channels + c) * out_height + row) * out_width;
  int64_t rows = x->height - 2 * row < 2 ? x->height - 2 * row : 2;
  float top[BLOCK], low[BLOCK], d[2][BLOCK], gradients[BLOCK], before[BLOCK];
  for (int64_t at = 0; at < width; at += BLOCK) {
    int64_t run = width - at < BLOCK ? width - at : BLOCK;
    memset(d, 0, sizeof(d));
    // Windows; an odd last column has none.
    int64_t windows = row < out_height ? run / 2 : 0;
    if (windows > 0) {
      load_span(top, x, k, base + at, 2 * windows);
      load_span(low, x, k, base + width + at, 2 * windows);
      const float *g = elements(gradients, dy, dy_stored, from + at / 2, windows);
      for (int64_t j = 0; j < windows; j++) {
        float v[4] = {top[2 * j], top[2 * j + 1], low[2 * j], low[2 * j + 1]};
        int best = 0;
        for (int i = 1; i < 4; i++)
          if (v[i] > v[best]) best = i;
        d[best / 2][2 * j + (best & 1)] = g[j];
      }
    }
    for (int64_t i = 0; i < rows; i++) {
      if (accumulate) {
        const float *old = elements(before, dx, dx_stored, base + i * width + at, run);
        for (int64_t j = 0; j < run; j++) d[i][j] += old[j];
      }
      put(dx, dx_stored, base + i * width + at, d[i], run);
    }
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

int vm_has_avx2_and_fma(void) {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return 0;
#endif
}

void vm_copy(float *y, const float *x, int64_t count) { memcpy(y, x, (size_t)count * sizeof(float)); }
