// What reads a tensor through a view.
#include "storage.h"

typedef struct {
  float mean, scale, beta, q, r;
} channel;

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
