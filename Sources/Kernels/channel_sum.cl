// channel_sum: total[c] = sum over images and pixels of x[n,c,i]; accumulate 1 adds to total.
// channel_sum_partial: one run per (run of pixels of one image, channel). channel_sum_total: one run over a channel's sums.
// X_STORED: how x is stored (storage.clh).
// LINT:
// LINT: -DX_STORED=2
// LINT: -DLANES=256 -DWIDTH=4
#include "lanes.clh"
#ifndef X_STORED
#define X_STORED 0
#endif

GROUP __kernel void channel_sum_partial(__global float *restrict partial, const __global float *restrict x,
                                        int channels, int plane, int runs_per_image, int run_length) {
  GROUP_MEMORY
  int run = RUN, c = CHANNEL, runs = RUNS;
  int n = run / runs_per_image, start = (run - n * runs_per_image) * run_length;
  int count = min(run_length, plane - start);
  ulong from = ((ulong)n * channels + c) * plane + start;
  floats sums = (floats)0.0f;
  int i = 0;
  for (; count - i >= SPAN; i += SPAN) sums += load_stored(X_STORED, x, from + i + LANE);
  float sum = SUM(sums);
  for (i += LANE; i < count; i += LANES) sum += element1(X_STORED, x, from + i);
  sum = GROUP_SUM(sum);
  if (LANE == 0) partial[(ulong)c * runs + run] = sum;
}

GROUP __kernel void channel_sum_total(__global float *restrict total, const __global float *restrict partial,
                                      int channels, int runs, int accumulate) {
  GROUP_MEMORY
  int c = RUN;
  // Runs in the thousands: compensated, so that the last digits survive.
  float sum = 0.0f, lost = 0.0f;
  for (int r = LANE; r < runs; r += LANES) {
    float v = partial[(ulong)c * runs + r] - lost;
    float next = sum + v;
    lost = (next - sum) - v;
    sum = next;
  }
  sum = GROUP_SUM(sum);
  if (LANE == 0) total[c] = accumulate ? total[c] + sum : sum;
}
