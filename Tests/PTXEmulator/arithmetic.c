// Instructions on numbers.
#include <fenv.h>
#include <math.h>

#include "machine.h"

static uint32_t to_bf16(float value) {
  uint32_t bits = as_u(value);
  if (isnan(value)) return 0x7fff;
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

// Ties away from zero. What the lower bits are is left open: not zero here.
static uint32_t to_tf32(float value) {
  return isnan(value) ? 0x7fffffff : ((as_u(value) + 0x1000) & 0xffffe000) | 0xa55;
}

static float half_to_float(uint16_t bits) {
  _Float16 value;
  memcpy(&value, &bits, 2);
  return (float)value;
}

static uint16_t float_to_half(float value) {
  _Float16 half = (_Float16)value;
  uint16_t bits;
  memcpy(&bits, &half, 2);
  return bits;
}

static bool compares(int compare, double x, double y, bool unordered) {
  switch (compare) {
  case C_EQ: return x == y;
  case C_NE: return !unordered && x != y;
  case C_LT: return x < y;
  case C_LE: return x <= y;
  case C_GT: return x > y;
  case C_GE: return x >= y;
  case C_EQU: return unordered || x == y;
  case C_NEU: return unordered || x != y;
  case C_LTU: return unordered || x < y;
  case C_LEU: return unordered || x <= y;
  case C_GTU: return unordered || x > y;
  case C_GEU: return unordered || x >= y;
  case C_NUM: return !unordered;
  default: return unordered;
  }
}

#define INTEGER_COMPARE(x, y)                                                      \
  switch (i->compare) {                                                            \
  case C_EQ: EACH(bits |= (uint32_t)((x) == (y)) << l); break;                     \
  case C_NE: EACH(bits |= (uint32_t)((x) != (y)) << l); break;                     \
  case C_LT: case C_LO: EACH(bits |= (uint32_t)((x) < (y)) << l); break;           \
  case C_LE: case C_LS: EACH(bits |= (uint32_t)((x) <= (y)) << l); break;          \
  case C_GT: case C_HI: EACH(bits |= (uint32_t)((x) > (y)) << l); break;           \
  default: EACH(bits |= (uint32_t)((x) >= (y)) << l); break;                       \
  }

// What libdevice's exponential wants rounded other than to the nearest: x * y + z.
static float fused(float x, float y, float z, int rounding) {
  // A compiler that moves the product past the modes' changes would round it wrongly.
  volatile float a = x, b = y, c = z;
  fesetround(rounding == R_DOWN ? FE_DOWNWARD : FE_TOWARDZERO);
  volatile float result = fmaf(a, b, c);
  fesetround(FE_TONEAREST);
  return result;
}

static float flushed(float value) { return fabsf(value) < 0x1p-126f ? copysignf(0, value) : value; }

static double rounded(double value, int rounding) {
  switch (rounding) {
  case R_I_NEAREST: return rint(value);
  case R_I_DOWN: return floor(value);
  case R_I_UP: return ceil(value);
  default: return trunc(value);
  }
}

static uint64_t to_integer(double value, int type) {
  // Beyond the range is its end; what is no number is 0.
  if (isnan(value)) return 0;
  switch (type) {
  case T_S8: return (uint64_t)(int64_t)fmin(fmax(value, -128), 127);
  case T_S16: return (uint64_t)(int64_t)fmin(fmax(value, -32768), 32767);
  case T_S32: return (uint64_t)(int64_t)fmin(fmax(value, INT32_MIN), INT32_MAX);
  case T_S64: return value >= 0x1p63 ? INT64_MAX : value <= -0x1p63 ? (uint64_t)INT64_MIN : (uint64_t)(int64_t)value;
  case T_U8: return (uint64_t)fmin(fmax(value, 0), 255);
  case T_U16: return (uint64_t)fmin(fmax(value, 0), 65535);
  case T_U32: return (uint64_t)fmin(fmax(value, 0), UINT32_MAX);
  default: return value <= 0 ? 0 : value >= 0x1p64 ? UINT64_MAX : (uint64_t)value;
  }
}

int64_t integer_of(uint64_t bits, int type) {
  switch (type) {
  case T_S8: return (int8_t)bits;
  case T_S16: return (int16_t)bits;
  case T_S32: return (int32_t)bits;
  case T_U8: case T_B8: return (uint8_t)bits;
  case T_U16: case T_B16: return (uint16_t)bits;
  case T_U32: case T_B32: return (uint32_t)bits;
  default: return (int64_t)bits;
  }
}

static bool convert(const Instruction *i, uint64_t from, uint64_t *to) {
  bool from_float = i->from == T_F16 || i->from == T_F32 || i->from == T_F64;
  bool to_float = i->type == T_F16 || i->type == T_F32 || i->type == T_F64;
  double value = 0;
  if (from_float) {
    double wide;
    memcpy(&wide, &from, 8);
    value = i->from == T_F16 ? half_to_float((uint16_t)from) : i->from == T_F32 ? as_f((uint32_t)from) : wide;
    if (i->rounding >= R_I_NEAREST) value = rounded(value, i->rounding);
  }
  if (!to_float) {
    *to = from_float ? to_integer(value, i->type) : (uint64_t)integer_of(from, i->from);
    if (type_bytes(i->type) < 4) *to = i->type == T_S8 || i->type == T_S16 ? (uint32_t)integer_of(*to, i->type) : (uint64_t)integer_of(*to, i->type);
    return true;
  }
  if (i->rounding != R_NONE && i->rounding != R_NEAREST && i->rounding < R_I_NEAREST) return false;
  int64_t integer = from_float ? 0 : integer_of(from, i->from);
  bool is_unsigned = i->from == T_U64 || i->from == T_B64;
  if (i->type == T_F32) {
    if (i->saturates) value = value > 0 ? fmin(value, 1) : 0;
    *to = as_u(from_float ? (float)value : is_unsigned ? (float)(uint64_t)integer : (float)integer);
  } else if (i->type == T_F16) {
    // From fp32 in one rounding; from a double it would be two, and none comes.
    if (i->from == T_F64) return false;
    *to = float_to_half(from_float ? (float)value : (float)integer);
  } else {
    double wide = from_float ? value : is_unsigned ? (double)(uint64_t)integer : (double)integer;
    memcpy(to, &wide, 8);
  }
  return true;
}

static bool floating(Group *g, Warp *w, uint32_t m, const Instruction *i) {
  if (i->type == T_F64) {
    switch (i->operation) {
    case O_ADD: TWO(a[l] + b[l], double) return true;
    case O_SUB: TWO(a[l] - b[l], double) return true;
    case O_MUL: TWO(a[l] * b[l], double) return true;
    case O_DIV: TWO(a[l] / b[l], double) return true;
    case O_FMA: THREE(fma(a[l], b[l], c[l]), double) return true;
    default: return unknown(g, w, i);
    }
  }
  if (i->type == T_F32 && (i->rounding == R_DOWN || i->rounding == R_ZERO)) {
    const float *x = F32(1), *y = F32(2), *z = F32(i->count > 3 ? 3 : 2);
    switch (i->operation) {
    case O_ADD: EACH(F32(0)[l] = fused(x[l], 1, y[l], i->rounding)); return true;
    case O_MUL: EACH(F32(0)[l] = fused(x[l], y[l], -0.0f, i->rounding)); return true;
    case O_FMA: EACH(F32(0)[l] = fused(x[l], y[l], z[l], i->rounding)); return true;
    default: return unknown(g, w, i);
    }
  }
  if (i->rounding != R_NONE && i->rounding != R_NEAREST) return unknown(g, w, i);
  if (i->from == T_F16) {
    // Products' operands, else the first one, are fp16.
    const uint32_t *x = U32(1);
    const float *y = F32(2), *z = F32(i->count > 3 ? 3 : 2);
    switch (i->operation) {
    case O_ADD: EACH(F32(0)[l] = half_to_float((uint16_t)x[l]) + y[l]); return true;
    case O_SUB: EACH(F32(0)[l] = half_to_float((uint16_t)x[l]) - y[l]); return true;
    default: EACH(F32(0)[l] = fmaf(half_to_float((uint16_t)x[l]), half_to_float((uint16_t)as_u(y[l])), z[l])); return true;
    }
  }
  if (i->type == T_F32X2) {
    float *d = F32(0);
    const float *a = F32(1), *b = F32(2), *c = F32(i->count > 3 ? 3 : 2);
    switch (i->operation) {
    case O_ADD: EACH(for (int k = 2 * l; k < 2 * l + 2; k++) d[k] = a[k] + b[k]); return true;
    case O_SUB: EACH(for (int k = 2 * l; k < 2 * l + 2; k++) d[k] = a[k] - b[k]); return true;
    case O_MUL: EACH(for (int k = 2 * l; k < 2 * l + 2; k++) d[k] = a[k] * b[k]); return true;
    case O_FMA: EACH(for (int k = 2 * l; k < 2 * l + 2; k++) d[k] = fmaf(a[k], b[k], c[k])); return true;
    default: return unknown(g, w, i);
    }
  }
  if (i->type == T_F16) {
    // What needs no rounding.
    uint32_t *d = U32(0);
    const uint32_t *a = U32(1), *b = i->count > 2 ? U32(2) : a;
    switch (i->operation) {
    case O_MIN: EACH(d[l] = float_to_half(fminf(half_to_float((uint16_t)a[l]), half_to_float((uint16_t)b[l])))); return true;
    case O_MAX: EACH(d[l] = float_to_half(fmaxf(half_to_float((uint16_t)a[l]), half_to_float((uint16_t)b[l])))); return true;
    case O_ABS: EACH(d[l] = a[l] & 0x7fff); return true;
    case O_NEG: EACH(d[l] = (a[l] ^ 0x8000) & 0xffff); return true;
    default: return unknown(g, w, i);
    }
  }
  switch (i->operation) {
  case O_ADD: TWO(a[l] + b[l], float) return true;
  case O_SUB: TWO(a[l] - b[l], float) return true;
  case O_MUL: TWO(a[l] * b[l], float) return true;
  case O_DIV: TWO(a[l] / b[l], float) return true;
  case O_FMA: THREE(fmaf(a[l], b[l], c[l]), float) return true;
  case O_MIN: TWO(fminf(a[l], b[l]), float) return true;
  case O_MAX: TWO(fmaxf(a[l], b[l]), float) return true;
  default: {
    float *d = F32(0);
    const float *a = F32(1);
    switch (i->operation) {
    case O_ABS: EACH(d[l] = fabsf(a[l])); return true;
    case O_NEG: EACH(d[l] = -a[l]); return true;
    case O_EX2: EACH(d[l] = i->flushes ? flushed(exp2f(flushed(a[l]))) : exp2f(a[l])); return true;
    case O_LG2: EACH(d[l] = log2f(a[l])); return true;
    case O_RCP: EACH(d[l] = 1.0f / a[l]); return true;
    case O_SQRT: EACH(d[l] = sqrtf(a[l])); return true;
    case O_RSQRT: EACH(d[l] = 1.0f / sqrtf(a[l])); return true;
    default: return unknown(g, w, i);
    }
  }
  }
}

// A predicate, or always and never.
static uint32_t held(const Warp *w, int32_t number) { return number >= 0 ? w->predicates[number] : number == -1 ? ~0u : 0; }

static bool logic(Group *g, Warp *w, uint32_t m, const Instruction *i) {
  if (i->type == T_PRED) {
    uint32_t *d = &w->predicates[i->operands[0]], a = held(w, i->operands[1]);
    uint32_t b = i->operation == O_NOT ? 0 : held(w, i->operands[2]);
    uint32_t value = i->operation == O_AND ? a & b : i->operation == O_OR ? a | b : i->operation == O_XOR ? a ^ b : ~a;
    *d = (*d & ~m) | (value & m);
    return true;
  }
  switch (i->operation) {
  case O_AND: INTEGERS(a[l] & b[l], a[l] & b[l], a[l] & b[l], a[l] & b[l], a[l] & b[l]) return true;
  case O_OR: INTEGERS(a[l] | b[l], a[l] | b[l], a[l] | b[l], a[l] | b[l], a[l] | b[l]) return true;
  case O_XOR: INTEGERS(a[l] ^ b[l], a[l] ^ b[l], a[l] ^ b[l], a[l] ^ b[l], a[l] ^ b[l]) return true;
  default:
    if (type_bytes(i->type) == 8) EACH(U64(0)[l] = ~U64(1)[l]);
    else EACH(U32(0)[l] = type_bytes(i->type) == 2 ? ~U32(1)[l] & 0xffff : ~U32(1)[l]);
    return true;
  }
}

static bool compare(Group *g, Warp *w, uint32_t m, const Instruction *i) {
  uint32_t bits = 0;
  switch (i->type) {
  case T_F32: EACH(bits |= (uint32_t)compares(i->compare, F32(1)[l], F32(2)[l], isnan(F32(1)[l]) || isnan(F32(2)[l])) << l); break;
  case T_F64: EACH(bits |= (uint32_t)compares(i->compare, F64(1)[l], F64(2)[l], isnan(F64(1)[l]) || isnan(F64(2)[l])) << l); break;
  case T_F16:
    EACH({
      float x = half_to_float((uint16_t)U32(1)[l]);
      float y = half_to_float((uint16_t)U32(2)[l]);
      bits |= (uint32_t)compares(i->compare, x, y, isnan(x) || isnan(y)) << l;
    });
    break;
  case T_S32: INTEGER_COMPARE(S32(1)[l], S32(2)[l]) break;
  case T_B32: case T_U32: INTEGER_COMPARE(U32(1)[l], U32(2)[l]) break;
  case T_S64: INTEGER_COMPARE(S64(1)[l], S64(2)[l]) break;
  case T_B64: case T_U64: INTEGER_COMPARE(U64(1)[l], U64(2)[l]) break;
  case T_S16: INTEGER_COMPARE((int16_t)U32(1)[l], (int16_t)U32(2)[l]) break;
  case T_B16: case T_U16: INTEGER_COMPARE((uint16_t)U32(1)[l], (uint16_t)U32(2)[l]) break;
  default: return unknown(g, w, i);
  }
  uint32_t *d = &w->predicates[i->operands[0]];
  *d = (*d & ~m) | (bits & m);
  return true;
}

static bool is_floating(int type) { return type == T_F32 || type == T_F64 || type == T_F16 || type == T_F32X2; }

bool arithmetic(Group *g, Warp *w, uint32_t m, const Instruction *i) {
  switch (i->operation) {
  case O_MOV:
    if (i->type == T_PRED) {
      uint32_t *d = &w->predicates[i->operands[0]], value = held(w, i->operands[1]);
      *d = (*d & ~m) | (value & m);
    } else if (type_bytes(i->type) == 8) {
      EACH(U64(0)[l] = U64(1)[l]);
    } else {
      EACH(U32(0)[l] = U32(1)[l]);
    }
    return true;
  case O_PACK:
    if (type_bytes(i->type) == 8) EACH(U64(0)[l] = U32(1)[l] | (uint64_t)U32(2)[l] << 32);
    else EACH(U32(0)[l] = (U32(1)[l] & 0xffff) | U32(2)[l] << 16);
    return true;
  case O_UNPACK:
    if (type_bytes(i->type) == 8) {
      EACH({
        uint64_t value = U64(2)[l];
        U32(0)[l] = (uint32_t)value, U32(1)[l] = (uint32_t)(value >> 32);
      });
    } else {
      EACH({
        uint32_t value = U32(2)[l];
        U32(0)[l] = value & 0xffff, U32(1)[l] = value >> 16;
      });
    }
    return true;
  case O_SELP: {
    uint32_t p = w->predicates[i->operands[3]];
    if (type_bytes(i->type) == 8) EACH(U64(0)[l] = p >> l & 1 ? U64(1)[l] : U64(2)[l]);
    else EACH(U32(0)[l] = p >> l & 1 ? U32(1)[l] : U32(2)[l]);
    return true;
  }
  case O_SETP: return compare(g, w, m, i);
  case O_AND: case O_OR: case O_XOR: case O_NOT: return logic(g, w, m, i);
  case O_SHL: case O_SHR: return shift(g, w, m, i);
  case O_CVT:
    for (int l = 0; l < LANES; l++) {
      if (!(m >> l & 1)) continue;
      uint64_t to, from = i->wide & 2 ? U64(1)[l] : U32(1)[l];
      if (!convert(i, from, &to)) return unknown(g, w, i);
      if (i->wide & 1) U64(0)[l] = to;
      else U32(0)[l] = (uint32_t)to;
    }
    return true;
  case O_TO_TF32: EACH(U32(0)[l] = to_tf32(F32(1)[l])); return true;
  // The first operand in the upper half.
  case O_TO_BF16: EACH(U32(0)[l] = to_bf16(F32(1)[l]) << 16 | to_bf16(F32(2)[l])); return true;
  case O_COPYSIGN:
    // The sign is the first operand's.
    if (i->type != T_F32) return unknown(g, w, i);
    EACH(U32(0)[l] = (U32(1)[l] & 0x80000000u) | (U32(2)[l] & 0x7fffffffu));
    return true;
  case O_EX2: case O_LG2: case O_RCP: case O_SQRT: case O_RSQRT: case O_FMA: return floating(g, w, m, i);
  case O_ADD: case O_SUB: case O_MUL: case O_MUL_HI: case O_MUL_WIDE: case O_MAD: case O_MAD_WIDE: case O_DIV: case O_REM: case O_MIN: case O_MAX:
  case O_ABS: case O_NEG: case O_BFE: case O_BFI: case O_PRMT:
    return is_floating(i->type) ? floating(g, w, m, i) : integer(g, w, m, i);
  default: return unknown(g, w, i);
  }
}
