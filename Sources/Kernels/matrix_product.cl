// matrix_product: y = a b for a (16, k), b (k, 16), y (16, 16), all row by row, by fragments of a device's matrix units; k is a
// multiple of 16. What a probe runs before anything relies on those units. One work-group; its four units compute the same.
// Macros: those of matrix.clh.
// LINT:
// LINT: -DELEMENT=1 -DPARTS=2
// LINT: -DMATRIX=1 -DPARTS=2 -target nvptx64
// LINT: -DMATRIX=1 -DELEMENT=1 -target nvptx64
// LINT: -DLAYOUT=2 -DELEMENT=2
// LINT: -DLAYOUT=2 -DELEMENT=1 -DPARTS=2
// LINT: -DLAYOUT=4 -DELEMENT=1
// LINT: -DLAYOUT=3
// LINT: -DLAYOUT=3 -DELEMENT=1 -DPARTS=2
// LINT: -DMATRIX=3 -DPARTS=2 -target spir64
#include "matrix.clh"

__attribute__((reqd_work_group_size(MATRIX_ITEMS, 1, 1))) MATRIX_SUB_GROUP
__kernel void matrix_product_probe(__global float *restrict y, const __global float *restrict a, const __global float *restrict b,
                                   int k) {
  MATRIX_MEMORY
  int item = get_local_id(0), lane = item & (MATRIX_LANES - 1);
#pragma unroll 1
  for (int first = 0; first < 16; first += COLUMNS) {
    matrix_c sum = (matrix_c)0.0f;
    for (int step = 0; step < k; step += MATRIX_K) {
      uint a_words[PARTS][A_COUNT], b_words[PARTS][B_COUNT];
      for (int r = 0; r < A_COUNT; r++) {
        const __global float *from = a + A_ROW(lane, r) * k + step + A_WORD(lane, r) * VALUES;
        uint2 words = to_words(from[0], from[VALUES - 1]);
        a_words[0][r] = words.s0;
        if (PARTS == 2) a_words[PARTS - 1][r] = words.s1;
      }
      for (int r = 0; r < B_COUNT; r++) {
        const __global float *from = b + (step + B_WORD(lane, r) * VALUES) * 16 + first + B_COLUMN(lane);
        uint2 words = to_words(from[0], from[(VALUES - 1) * 16]);
        b_words[0][r] = words.s0;
        if (PARTS == 2) b_words[PARTS - 1][r] = words.s1;
      }
      matrix_a a_held[PARTS];
      matrix_b b_held[PARTS];
      for (int part = 0; part < PARTS; part++) a_held[part] = A_OF(a_words[part]), b_held[part] = B_OF(b_words[part]);
      MATRIX_ADD(sum, a_held, b_held)
    }
    float sums[C_COUNT] = C_LIST(sum);
    if (item < MATRIX_LANES)
      for (int i = 0; i < C_COUNT; i++) y[C_ROW(lane, i) * 16 + first + C_COLUMN(lane, i)] = sums[i];
  }
}
