// Elements of a tensor as they are stored: enum vm_storage.
#ifndef VECTORMATH_STORAGE_H
#define VECTORMATH_STORAGE_H
#include "shared.h"

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

#endif
