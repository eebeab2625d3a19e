// fp32 values kept in 16 bits between two uses, and read back: IEEE half precision, rounded to nearest even, subnormals kept,
// values beyond +-65504 set to that. By integer arithmetic, so that every device gives the same bits and none needs fp16.
// One run (lanes.clh) per (run of pixels of one image, channel). HALF_TO_FLOAT 1: y = float(x), else y = half(x).
// LINT: -DHALF_TO_FLOAT=1
// LINT: -DLANES=256 -DWIDTH=4
#include "lanes.clh"
#ifndef HALF_TO_FLOAT
#define HALF_TO_FLOAT 0
#endif

// Below 2^-14 a half is a multiple of 2^-24, the last place of a float from 0.5 to 1: adding 0.5 rounds to it.
#define HALF_SUBNORMAL 0x38800000u

INLINE ushort half_bits1(float x) {
  uint u = as_uint(x), a = min(u & 0x7fffffffu, 0x477fe000u);
  uint h = a < HALF_SUBNORMAL ? as_uint(as_float(a) + 0.5f) - 0x3f000000u : ((a + 0xfffu + (a >> 13 & 1u)) >> 13) - 0x1c000u;
  return (ushort)(h | (u >> 16 & 0x8000u));
}

INLINE ushort16 half_bits16(float16 x) {
  uint16 u = as_uint16(x), a = min(u & 0x7fffffffu, (uint16)(0x477fe000u));
  uint16 small = as_uint16(as_float16(a) + 0.5f) - 0x3f000000u, normal = ((a + 0xfffu + (a >> 13 & 1u)) >> 13) - 0x1c000u;
  return convert_ushort16(select(normal, small, a < HALF_SUBNORMAL) | (u >> 16 & 0x8000u));
}

INLINE float half_value1(ushort bits) {
  uint h = bits & 0x7fffu;
  float v = h < 0x400u ? as_float(h + 0x3f000000u) - 0.5f : as_float((h << 13) + 0x38000000u);
  return as_float(as_uint(v) | (uint)(bits & 0x8000u) << 16);
}

INLINE float16 half_value16(ushort16 bits) {
  uint16 b = convert_uint16(bits), h = b & 0x7fffu;
  float16 v = select(as_float16((h << 13) + 0x38000000u), as_float16(h + 0x3f000000u) - 0.5f, h < 0x400u);
  return as_float16(as_uint16(v) | (b & 0x8000u) << 16);
}

#if HALF_TO_FLOAT
#define FROM ushort
#define TO float
#define CONVERT1 half_value1
#define CONVERT16 half_value16
#else
#define FROM float
#define TO ushort
#define CONVERT1 half_bits1
#define CONVERT16 half_bits16
#endif

GROUP __kernel void half_storage(__global TO *restrict y, const __global FROM *restrict x, int channels, int plane,
                                 int runs_per_image, int run_length) {
  int run = RUN, c = CHANNEL;
  int n = run / runs_per_image, start = (run - n * runs_per_image) * run_length;
  int count = min(run_length, plane - start);
  ulong base = ((ulong)n * channels + c) * plane + start;
  x += base, y += base;
  int i = 0;
  for (; LANES == 1 && i + 16 <= count; i += 16) vstore16(CONVERT16(vload16(0, x + i)), 0, y + i);
  for (i += LANE; i < count; i += LANES) y[i] = CONVERT1(x[i]);
}
