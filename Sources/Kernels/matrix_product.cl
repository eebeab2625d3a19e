// matrix_product: y = a b for a (16, k), b (k, 16), y (16, 16), all row by row, by fragments of a device's matrix units; k is a
// multiple of 16. What a probe runs before anything relies on those units. One work-group; its four units compute the same.
// Macros: those of matrix.clh; AHEAD 1: what b's words are made of goes through local memory by copy_word; LDMATRIX 1: a's words do, too;
// WARPGROUP 1: b is read from local memory, in eights of columns that are as far apart there as rows of a convolution's patch.
// LINT:
// LINT: -DMATRIX=1 -DAHEAD=1 -DLDMATRIX=1 -target nvptx64
// LINT: -DAHEAD=1 -DLDMATRIX=1 -DPARTS=2
// LINT: -DELEMENT=1 -DPARTS=2
// LINT: -DMATRIX=1 -DPARTS=2 -target nvptx64
// LINT: -DMATRIX=1 -DELEMENT=1 -target nvptx64
// LINT: -DLAYOUT=2 -DELEMENT=2
// LINT: -DLAYOUT=2 -DELEMENT=1 -DPARTS=2
// LINT: -DLAYOUT=4 -DELEMENT=1
// LINT: -DLAYOUT=3
// LINT: -DLAYOUT=3 -DELEMENT=1 -DPARTS=2
// LINT: -DMATRIX=3 -DPARTS=2 -target spir64
// LINT: -DWARPGROUP=1
// LINT: -DMATRIX=1 -DWARPGROUP=1 -target nvptx64
// LINT: -DMATRIX=1 -DWARPGROUP=1 -DELEMENT=1 -target nvptx64
// LINT: -DMATRIX=1 -DWARPGROUP=1 -DPARTS=2 -target nvptx64
// LINT: -DWARPGROUP=1 -DELEMENT=1 -DPARTS=2
#define N_TILES 8
#include "matrix.clh"
#ifndef AHEAD
#define AHEAD 0
#endif
// Words from one row of a to the next in local memory.
#define A_APART 12

__attribute__((reqd_work_group_size(MATRIX_ITEMS, 1, 1))) MATRIX_SUB_GROUP
__kernel void matrix_product_probe(__global float *restrict y, const __global float *restrict a, const __global float *restrict b,
                                   int k) {
  MATRIX_MEMORY
#if AHEAD
  __local uint copied[MATRIX_K * 16];
#endif
#if LDMATRIX
  __local uint4 a_fours[PARTS * 16 * A_APART / 4];
  __local uint *a_rows = (__local uint *)a_fours;
#endif
  int item = get_local_id(0), lane = item & (MATRIX_LANES - 1);
#if WARPGROUP
  // Columns from one eight of them to the next, before the first, and from four words to the next.
  const int apart = 10, before = 3, plane = 8 * 10 + 7;
  __local uint4 patch_fours[PARTS * 2 * 87];
  __local uint *patch = (__local uint *)patch_fours;
  matrix_c group_sums[N_TILES];
#pragma unroll
  for (int j = 0; j < N_TILES; j++) group_sums[j] = (matrix_c)0.0f;
  for (int step = 0; step < k; step += MATRIX_K) {
    // Of all four words of 64 columns, which are b's sixteen four times over, an item has those of one.
    int half_step = item / 64, j = (item & 63) / 8, i = item & 7;
    uint2 words[4];
    for (int w = 0; w < 4; w++) {
      const __global float *from = b + (step + (4 * half_step + w) * VALUES) * 16 + 8 * (j & 1) + i;
      words[w] = to_words(from[0], from[(VALUES - 1) * 16]);
    }
    __local uint4 *to = patch_fours + half_step * plane + before + j * apart + i;
    to[0] = (uint4)(words[0].s0, words[1].s0, words[2].s0, words[3].s0);
    if (PARTS == 2) to[2 * plane] = (uint4)(words[0].s1, words[1].s1, words[2].s1, words[3].s1);
    MATRIX_GROUP_STAGED()
    barrier(CLK_LOCAL_MEM_FENCE);
    uint a_words[PARTS][A_COUNT];
    for (int r = 0; r < A_COUNT; r++) {
      const __global float *from = a + A_ROW(lane, r) * k + step + A_WORD(lane, r) * VALUES;
      uint2 both = to_words(from[0], from[VALUES - 1]);
      a_words[0][r] = both.s0;
      if (PARTS == 2) a_words[PARTS - 1][r] = both.s1;
    }
    matrix_a a_held[PARTS];
    for (int part = 0; part < PARTS; part++) a_held[part] = A_OF(a_words[part]);
    ulong columns = MATRIX_DESCRIPTOR(patch, before * 16, plane * 16, apart * 16);
#if PARTS == 2
    matrix_c products[N_TILES];
#pragma unroll
    for (int c = 0; c < N_TILES; c++) products[c] = (matrix_c)0.0f;
#else
#define products group_sums
#endif
    MATRIX_GROUP_BEGIN()
#if PARTS == 2
    MATRIX_ADD_GROUP(0, products, a_held[1], columns, patch)
    MATRIX_ADD_GROUP(1, products, a_held[0], columns + 2 * plane, patch)
#endif
    MATRIX_ADD_GROUP(1, products, a_held[0], columns, patch)
    MATRIX_GROUP_END()
    MATRIX_GROUP_WAIT()
    for (int part = 0; part < PARTS; part++) MATRIX_KEEP_A(a_held[part])
#pragma unroll
    for (int c = 0; c < N_TILES; c++) {
      MATRIX_KEEP_SUM(products[c])
      if (PARTS == 2) group_sums[c] += products[c];
    }
#undef products
    // Everyone has read the step's.
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  // Each warp has the same rows; it writes four of them, from eights of columns of its own.
  int warp = item / MATRIX_LANES;
#pragma unroll
  for (int c = 0; c < N_TILES; c++) {
    float sums[C_COUNT] = C_LIST(group_sums[c]);
#pragma unroll
    for (int e = 0; e < C_COUNT; e++)
      if (c / 2 == warp && C_ROW(lane, e) / 4 == warp) y[C_ROW(lane, e) * 16 + 8 * (c & 1) + C_COLUMN(lane, e)] = sums[e];
  }
#else
#pragma unroll 1
  for (int first = 0; first < 16; first += COLUMNS) {
    matrix_c sum = (matrix_c)0.0f;
    for (int step = 0; step < k; step += MATRIX_K) {
      uint b_words[PARTS][B_COUNT];
      matrix_a a_held[PARTS];
      matrix_b b_held[PARTS];
      // Everyone has read the last step's.
      barrier(CLK_LOCAL_MEM_FENCE);
#if AHEAD
      for (int i = item; i < MATRIX_K * 16; i += MATRIX_ITEMS) copy_word(copied + i, (const __global uint *)b + step * 16 + i);
      copies_wait();
#endif
#if LDMATRIX
      for (int i = item; i < 16 * 8; i += MATRIX_ITEMS) {
        int row = i / 8, word = i - row * 8;
        const __global float *from = a + row * k + step + word * VALUES;
        uint2 words = to_words(from[0], from[VALUES - 1]);
        a_rows[row * A_APART + word] = words.s0;
        if (PARTS == 2) a_rows[(16 + row) * A_APART + word] = words.s1;
      }
#endif
      barrier(CLK_LOCAL_MEM_FENCE);
#if LDMATRIX
      for (int part = 0; part < PARTS; part++)
        A_LOAD(a_held[part], a_rows, A_FROM(lane, A_APART) + part * 16 * A_APART, A_APART)
#else
      uint a_words[PARTS][A_COUNT];
      for (int r = 0; r < A_COUNT; r++) {
        const __global float *from = a + A_ROW(lane, r) * k + step + A_WORD(lane, r) * VALUES;
        uint2 words = to_words(from[0], from[VALUES - 1]);
        a_words[0][r] = words.s0;
        if (PARTS == 2) a_words[PARTS - 1][r] = words.s1;
      }
      for (int part = 0; part < PARTS; part++) a_held[part] = A_OF(a_words[part]);
#endif
      for (int r = 0; r < B_COUNT; r++) {
        int at = B_WORD(lane, r) * VALUES * 16 + first + B_COLUMN(lane);
#if AHEAD
        uint2 words = to_words(as_float(copied[at]), as_float(copied[at + (VALUES - 1) * 16]));
#else
        const __global float *from = b + step * 16 + at;
        uint2 words = to_words(from[0], from[(VALUES - 1) * 16]);
#endif
        b_words[0][r] = words.s0;
        if (PARTS == 2) b_words[PARTS - 1][r] = words.s1;
      }
      for (int part = 0; part < PARTS; part++) b_held[part] = B_OF(b_words[part]);
      MATRIX_ADD(sum, a_held, b_held)
    }
    float sums[C_COUNT] = C_LIST(sum);
    if (item < MATRIX_LANES)
      for (int i = 0; i < C_COUNT; i++) y[C_ROW(lane, i) * 16 + first + C_COLUMN(lane, i)] = sums[i];
  }
#endif
}
