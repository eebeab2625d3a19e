// Sums, products, shifts and fields of integers.
#include "machine.h"

bool shift(Group *g, Warp *w, uint32_t m, const Instruction *i) {
  const uint32_t *by = U32(2);
  bool left = i->operation == O_SHL;
  switch (i->type) {
  case T_B32: case T_U32:
    if (left) EACH(U32(0)[l] = by[l] > 31 ? 0 : U32(1)[l] << by[l]);
    else EACH(U32(0)[l] = by[l] > 31 ? 0 : U32(1)[l] >> by[l]);
    return true;
  case T_S32: EACH(S32(0)[l] = S32(1)[l] >> (by[l] > 31 ? 31 : by[l])); return true;
  case T_B64: case T_U64:
    if (left) EACH(U64(0)[l] = by[l] > 63 ? 0 : U64(1)[l] << by[l]);
    else EACH(U64(0)[l] = by[l] > 63 ? 0 : U64(1)[l] >> by[l]);
    return true;
  case T_S64: EACH(S64(0)[l] = S64(1)[l] >> (by[l] > 63 ? 63 : by[l])); return true;
  case T_B16: case T_U16:
    if (left) EACH(U32(0)[l] = by[l] > 15 ? 0 : U32(1)[l] << by[l] & 0xffff);
    else EACH(U32(0)[l] = by[l] > 15 ? 0 : (U32(1)[l] & 0xffff) >> by[l]);
    return true;
  default: return unknown(g, w, i);
  }
}

bool integer(Group *g, Warp *w, uint32_t m, const Instruction *i) {
  switch (i->operation) {
  case O_ADD:
    INTEGERS((uint32_t)a[l] + (uint32_t)b[l], a[l] + b[l], (uint64_t)a[l] + (uint64_t)b[l], a[l] + b[l], (a[l] + b[l]) & 0xffff)
    return true;
  case O_SUB:
    INTEGERS((uint32_t)a[l] - (uint32_t)b[l], a[l] - b[l], (uint64_t)a[l] - (uint64_t)b[l], a[l] - b[l], (a[l] - b[l]) & 0xffff)
    return true;
  case O_MUL:
    INTEGERS((uint32_t)a[l] * (uint32_t)b[l], a[l] * b[l], (uint64_t)a[l] * (uint64_t)b[l], a[l] * b[l], (a[l] * b[l]) & 0xffff)
    return true;
  case O_MUL_HI:
    INTEGERS((int64_t)a[l] * b[l] >> 32, (uint64_t)a[l] * b[l] >> 32, (__int128)a[l] * b[l] >> 64, (unsigned __int128)a[l] * b[l] >> 64, 0)
    return type_bytes(i->type) == 2 ? unknown(g, w, i) : true;
  // By zero: whatever comes, it is no error.
  case O_DIV:
    INTEGERS(b[l] == 0 || (b[l] == -1 && a[l] == INT32_MIN) ? -1 : a[l] / b[l], b[l] ? a[l] / b[l] : ~0u,
             b[l] == 0 || (b[l] == -1 && a[l] == INT64_MIN) ? -1 : a[l] / b[l], b[l] ? a[l] / b[l] : ~0ul, 0)
    return type_bytes(i->type) == 2 ? unknown(g, w, i) : true;
  case O_REM:
    INTEGERS(b[l] == 0 || b[l] == -1 ? 0 : a[l] % b[l], b[l] ? a[l] % b[l] : ~0u, b[l] == 0 || b[l] == -1 ? 0 : a[l] % b[l],
             b[l] ? a[l] % b[l] : ~0ul, 0)
    return type_bytes(i->type) == 2 ? unknown(g, w, i) : true;
  case O_MIN:
    INTEGERS(a[l] < b[l] ? a[l] : b[l], a[l] < b[l] ? a[l] : b[l], a[l] < b[l] ? a[l] : b[l], a[l] < b[l] ? a[l] : b[l], 0)
    return type_bytes(i->type) == 2 ? unknown(g, w, i) : true;
  case O_MAX:
    INTEGERS(a[l] > b[l] ? a[l] : b[l], a[l] > b[l] ? a[l] : b[l], a[l] > b[l] ? a[l] : b[l], a[l] > b[l] ? a[l] : b[l], 0)
    return type_bytes(i->type) == 2 ? unknown(g, w, i) : true;
  case O_MAD:
    if (type_bytes(i->type) == 4) THREE(a[l] * b[l] + c[l], uint32_t)
    else if (type_bytes(i->type) == 8) THREE(a[l] * b[l] + c[l], uint64_t)
    else return unknown(g, w, i);
    return true;
  case O_MUL_WIDE:
    if (i->type == T_S16) EACH(S32(0)[l] = (int16_t)U32(1)[l] * (int16_t)U32(2)[l]);
    else if (i->type == T_U16) EACH(U32(0)[l] = (U32(1)[l] & 0xffff) * (U32(2)[l] & 0xffff));
    else if (i->type == T_S32) EACH(S64(0)[l] = (int64_t)S32(1)[l] * S32(2)[l]);
    else EACH(U64(0)[l] = (uint64_t)U32(1)[l] * U32(2)[l]);
    return true;
  case O_MAD_WIDE:
    if (type_bytes(i->type) == 2) return unknown(g, w, i);
    if (i->type == T_S32) EACH(U64(0)[l] = (uint64_t)((int64_t)S32(1)[l] * S32(2)[l]) + U64(3)[l]);
    else EACH(U64(0)[l] = (uint64_t)U32(1)[l] * U32(2)[l] + U64(3)[l]);
    return true;
  case O_ABS:
    if (i->type != T_S32) return unknown(g, w, i);
    EACH(U32(0)[l] = S32(1)[l] < 0 ? 0u - U32(1)[l] : U32(1)[l]);
    return true;
  case O_NEG:
    if (type_bytes(i->type) == 8) EACH(U64(0)[l] = 0 - U64(1)[l]);
    else EACH(U32(0)[l] = (0 - U32(1)[l]) & (type_bytes(i->type) == 2 ? 0xffff : ~0u));
    return true;
  case O_BFE: {
    bool wide = type_bytes(i->type) == 8;
    if (i->type != T_U32 && i->type != T_U64) return unknown(g, w, i);
    EACH({
      uint32_t from = U32(2)[l] & 0xff, count = U32(3)[l] & 0xff;
      uint64_t value = wide ? U64(1)[l] : U32(1)[l];
      value = from > 63 ? 0 : value >> from;
      if (count < 64) value &= (1ull << count) - 1;
      if (wide) U64(0)[l] = value;
      else U32(0)[l] = (uint32_t)value;
    });
    return true;
  }
  case O_BFI: {
    bool wide = type_bytes(i->type) == 8;
    EACH({
      uint32_t at = U32(3)[l] & 0xff, count = U32(4)[l] & 0xff;
      uint64_t mask = at > 63 ? 0 : (count > 63 ? ~0ull : (1ull << count) - 1) << at;
      uint64_t from = wide ? U64(1)[l] : U32(1)[l], value = wide ? U64(2)[l] : U32(2)[l];
      value = (value & ~mask) | (at > 63 ? 0 : from << at & mask);
      if (wide) U64(0)[l] = value;
      else U32(0)[l] = (uint32_t)value;
    });
    return true;
  }
  case O_PRMT:
    EACH({
      uint64_t bytes = U32(1)[l] | (uint64_t)U32(2)[l] << 32;
      uint32_t value = 0;
      for (int k = 0; k < 4; k++) {
        uint32_t choice = U32(3)[l] >> 4 * k & 15, byte = (uint32_t)(bytes >> 8 * (choice & 7)) & 0xff;
        // With its highest bit the choice is of the byte's sign.
        value |= (choice & 8 ? (byte & 0x80 ? 0xff : 0) : byte) << 8 * k;
      }
      U32(0)[l] = value;
    });
    return true;
  default: return unknown(g, w, i);
  }
}
