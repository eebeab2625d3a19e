// sum_of_squares: total[0] = sum of x[i]^2. Runs first (one work-item each), then one work-item adds them in order.
__kernel void sum_of_squares_partial(__global float *restrict partial, const __global float *restrict x, int count,
                                     int run_length) {
  int run = get_global_id(0), i = run * run_length, end = min(i + run_length, count);
  float16 sums = (float16)0.0f;
  for (; i + 16 <= end; i += 16) {
    float16 v = vload16(0, x + i);
    sums = fma(v, v, sums);
  }
  float sum = sum16(sums);
  for (; i < end; i++) sum = fma(x[i], x[i], sum);
  partial[run] = sum;
}

__kernel void sum_of_squares_total(__global float *restrict total, const __global float *restrict partial, int runs) {
  float sum = 0.0f, lost = 0.0f;
  for (int r = 0; r < runs; r++) {
    float v = partial[r] - lost, next = sum + v;
    lost = (next - sum) - v;
    sum = next;
  }
  total[0] = sum;
}
