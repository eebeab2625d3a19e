// matrix_product: y = a b for a (16, k), b (k, 8), y (16, 8), all row by row, by one fragment of a device's matrix units; k is a
// multiple of 16. What a probe runs before anything relies on those units. One work-group; its four warps compute the same.
// Macros: those of matrix.clh.
// LINT:
// LINT: -DELEMENT=1 -DPARTS=2
// LINT: -DMATRIX=1 -DPARTS=2 -target nvptx64
// LINT: -DMATRIX=1 -DELEMENT=1 -target nvptx64
#include "matrix.clh"

__attribute__((reqd_work_group_size(MATRIX_ITEMS, 1, 1)))
__kernel void matrix_product_probe(__global float *restrict y, const __global float *restrict a, const __global float *restrict b,
                                   int k) {
  MATRIX_MEMORY
  int item = get_local_id(0), lane = item & 31;
  matrix_c sum = (matrix_c)0.0f;
  for (int step = 0; step < k; step += MATRIX_K) {
    uint2 a_words[4], b_words[2];
    for (int r = 0; r < 4; r++) {
      const __global float *from = a + A_ROW(lane, r) * k + step + A_WORD(lane, r) * VALUES;
      a_words[r] = to_words(from[0], from[VALUES - 1]);
    }
    for (int r = 0; r < 2; r++) {
      const __global float *from = b + (step + B_WORD(lane, r) * VALUES) * 8 + B_COLUMN(lane);
      b_words[r] = to_words(from[0], from[(VALUES - 1) * 8]);
    }
    matrix_a a_held[PARTS];
    matrix_b b_held[PARTS];
    a_held[0] = (matrix_a)(a_words[0].s0, a_words[1].s0, a_words[2].s0, a_words[3].s0);
    b_held[0] = (matrix_b)(b_words[0].s0, b_words[1].s0);
    if (PARTS == 2) {
      a_held[PARTS - 1] = (matrix_a)(a_words[0].s1, a_words[1].s1, a_words[2].s1, a_words[3].s1);
      b_held[PARTS - 1] = (matrix_b)(b_words[0].s1, b_words[1].s1);
    }
    MATRIX_ADD(sum, a_held, b_held)
  }
  if (item >= 32) return;
  float sums[4] = {sum.s0, sum.s1, sum.s2, sum.s3};
  for (int i = 0; i < 4; i++) y[C_ROW(lane, i) * 8 + C_COLUMN(lane, i)] = sums[i];
}
