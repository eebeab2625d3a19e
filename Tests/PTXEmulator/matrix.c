// What a warp makes with all of its items: products of matrix units, and exchanges.
#include <math.h>
#include <stdlib.h>

#include "machine.h"

// Towards zero, as matrix units round their sums.
static float cut(double sum) {
  float near = (float)sum;
  return isfinite(near) && fabs((double)near) > fabs(sum) ? nextafterf(near, 0.0f) : near;
}

static float bf16(uint32_t word, int upper) { return as_f(upper ? word & 0xffff0000u : word << 16); }

// PTX ISA, "Matrix Fragments for mma.m16n8k8" with .tf32 and "mma.m16n8k16" with .bf16: lane 4 g + t.
static void unpack_a(const Warp *w, const Instruction *i, int first, bool is_tf32, float a[16][16]) {
  for (int l = 0; l < LANES; l++)
    for (int k = 0; k < 4; k++) {
      uint32_t word = U32(first + k)[l];
      int row = l / 4 + (k & 1 ? 8 : 0);
      if (is_tf32) {
        a[row][l % 4 + (k & 2 ? 4 : 0)] = as_f(word & 0xffffe000u);
      } else {
        int column = 2 * (l % 4) + (k & 2 ? 8 : 0);
        a[row][column] = bf16(word, 0);
        a[row][column + 1] = bf16(word, 1);
      }
    }
}

static void product(Warp *w, const Instruction *i) {
  bool is_tf32 = i->type == T_F32;
  int depth = is_tf32 ? 8 : 16;
  float a[16][16], b[16][8];
  unpack_a(w, i, 4, is_tf32, a);
  for (int l = 0; l < LANES; l++)
    for (int k = 0; k < 2; k++) {
      uint32_t word = U32(8 + k)[l];
      if (is_tf32) {
        b[l % 4 + 4 * k][l / 4] = as_f(word & 0xffffe000u);
      } else {
        int row = 2 * (l % 4) + 8 * k;
        b[row][l / 4] = bf16(word, 0);
        b[row + 1][l / 4] = bf16(word, 1);
      }
    }
  for (int l = 0; l < LANES; l++) {
    float sums[4];
    for (int k = 0; k < 4; k++) {
      int row = l / 4 + (k & 2 ? 8 : 0), column = 2 * (l % 4) + (k & 1);
      double sum = F32(10 + k)[l];
      for (int j = 0; j < depth; j++) sum += (double)a[row][j] * b[j][column];
      sums[k] = cut(sum);
    }
    for (int k = 0; k < 4; k++) F32(k)[l] = sums[k];
  }
}

// PTX ISA, "wgmma.mma_async", "Register Fragments for wgmma.mma_async.m64nNk8" and k16, "Matrix Descriptor": B K-major, not swizzled: of
// eight columns by 16 bytes a core matrix, a column after the other.
static bool warpgroup_product(Group *g, Warp *w, const Instruction *i) {
  bool is_tf32 = i->type == T_F32;
  int depth = is_tf32 ? 8 : 16, bytes = is_tf32 ? 4 : 2;
  int sums = i->count - 6, columns = sums * 2;
  if (!w->fenced) return broken(g, w, 0, i, "no wgmma.fence before it");
  w->committed = false;
  float a[16][16];
  unpack_a(w, i, sums, is_tf32, a);
  const uint64_t *descriptors = U64(sums + 4);
  uint64_t descriptor = descriptors[0];
  for (int l = 1; l < LANES; l++)
    if (descriptors[l] != descriptor) return broken(g, w, l, i, "items have other descriptors");
  if (descriptor & ~0x00003fff3fff3fffull) return broken(g, w, 0, i, "descriptor %#lx", (long)descriptor);
  uint32_t begin = (uint32_t)(descriptor & 0x3fff) << 4, leading = (uint32_t)(descriptor >> 16 & 0x3fff) << 4;
  uint32_t stride = (uint32_t)(descriptor >> 32 & 0x3fff) << 4;
  bool accumulates = w->predicates[i->operands[sums + 5]] & 1;
  static _Thread_local float b[16][128];
  for (int n = 0; n < columns; n++)
    for (int k = 0; k < depth; k++) {
      uint32_t core = begin + (uint32_t)(n / 8) * stride + (uint32_t)(k * bytes / 16) * leading;
      uint32_t address = core + (uint32_t)(n % 8) * 16 + (uint32_t)(k * bytes % 16);
      if (!in_shared(g, w, 0, i, address, bytes)) return false;
      Shadow *s = &g->shadow[(address - SHARED_BASE) / 2];
      for (int part = 0; part < bytes / 2; part++, s++) {
        if (!s->written) return broken(g, w, 0, i, "it multiplies shared memory that nobody wrote");
        if (s->copying) return broken(g, w, 0, i, "it multiplies what a copy is on its way to");
        if (s->wrote == g->epoch) return broken(g, w, 0, i, "it multiplies what item %d writes without a barrier between", s->writer);
        if (s->unfenced) return broken(g, w, 0, i, "it multiplies what item %d wrote without fence.proxy.async", s->writer);
        s->multiplying++;
        if (w->reading_count == w->reading_room) {
          w->reading_room = w->reading_room ? 2 * w->reading_room : 4096;
          w->reading = realloc(w->reading, sizeof(int) * (size_t)w->reading_room);
        }
        // 255 products on their way would be too many to count.
        if (s->multiplying == 255) return broken(g, w, 0, i, "too many products are on their way");
        w->reading[w->reading_count++] = (int)((address - SHARED_BASE) / 2) + part;
      }
      const uint8_t *at = shared_at(g, address);
      uint32_t word = 0;
      memcpy(&word, at, (size_t)bytes);
      b[k][n] = is_tf32 ? as_f(word & 0xffffe000u) : bf16(word, 0);
    }
  for (int l = 0; l < LANES; l++)
    for (int k = 0; k < sums; k++) {
      int row = l / 4 + (k & 2 ? 8 : 0), column = 8 * (k / 4) + 2 * (l % 4) + (k & 1);
      double sum = accumulates ? F32(k)[l] : 0;
      for (int j = 0; j < depth; j++) sum += (double)a[row][j] * b[j][column];
      F32(k)[l] = cut(sum);
    }
  return true;
}

// PTX ISA, "ldmatrix", .x4: lanes 8 k to 8 k + 7 name the rows of matrix k; of row r lanes 4 r to 4 r + 3 get a word each.
static bool load_matrices(Group *g, Warp *w, const Instruction *i) {
  uint32_t got[4][LANES];
  for (int k = 0; k < 4; k++) {
    uint64_t rows[LANES];
    for (int l = 0; l < LANES; l++) {
      uint32_t row = U32(4)[8 * k + l / 4], address = row + 4 * (uint32_t)(l % 4);
      rows[l] = address;
      if (!in_shared(g, w, 8 * k + l / 4, i, row, 16) || !note_read(g, w, l, i, address, 4)) return false;
      memcpy(&got[k][l], shared_at(g, address), 4);
    }
    if (g->counts) count_shared(g, ~0u, i, rows, 4);
  }
  for (int k = 0; k < 4; k++) memcpy(U32(k), got[k], sizeof got[k]);
  return true;
}

bool matrix(Group *g, Warp *w, uint32_t m, const Instruction *i) {
  if (m != ~0u) return broken(g, w, 0, i, "only a part of a warp is here");
  switch (i->operation) {
  case O_MMA: product(w, i); return true;
  case O_LDMATRIX: return load_matrices(g, w, i);
  case O_WGMMA: return warpgroup_product(g, w, i);
  case O_WGMMA_FENCE:
    if (w->first / 128 * 4 + 4 > g->warp_count) return broken(g, w, 0, i, "four warps are not there");
    w->fenced = true;
    return true;
  case O_WGMMA_COMMIT: w->committed = true; return true;
  case O_WGMMA_WAIT:
    if (w->reading_count && !w->committed) return broken(g, w, 0, i, "it waits for products that no group was closed behind");
    for (int k = 0; k < w->reading_count; k++) g->shadow[w->reading[k]].multiplying--;
    w->reading_count = 0;
    w->fenced = false;
    return true;
  default: {  // O_SHFL
    uint32_t got[LANES];
    for (int l = 0; l < LANES; l++) got[l] = U32(1)[(l ^ (int)U32(2)[l]) & 31];
    memcpy(U32(0), got, sizeof got);
    return true;
  }
  }
}
