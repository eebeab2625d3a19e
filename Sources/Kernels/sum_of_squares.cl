// sum_of_squares: total[0] = sum of x[i]^2. Runs first (lanes.clh), then one run over the runs' sums.
// LINT:
// LINT: -DLANES=256 -DWIDTH=4
#include "lanes.clh"

GROUP __kernel void sum_of_squares_partial(__global float *restrict partial, const __global float *restrict x,
                                           int count, int run_length) {
  GROUP_MEMORY
  int run = RUN, i = run * run_length, end = i + min(run_length, count - i);
  floats sums = (floats)0.0f;
  for (; end - i >= SPAN; i += SPAN) {
    floats v = load(x + i + LANE);
    sums = fma(v, v, sums);
  }
  float sum = SUM(sums);
  for (i += LANE; i < end; i += LANES) sum = fma(x[i], x[i], sum);
  sum = GROUP_SUM(sum);
  if (LANE == 0) partial[run] = sum;
}

GROUP __kernel void sum_of_squares_total(__global float *restrict total, const __global float *restrict partial,
                                         int runs) {
  GROUP_MEMORY
  float sum = 0.0f, lost = 0.0f;
  for (int r = LANE; r < runs; r += LANES) {
    float v = partial[r] - lost, next = sum + v;
    lost = (next - sum) - v;
    sum = next;
  }
  sum = GROUP_SUM(sum);
  if (LANE == 0) total[0] = sum;
}
