// channel_sum: total[c] = sum over images and pixels of x[n,c,i]; ACCUMULATE 1 adds to total.
// channel_sum_partial: one work-item per (run of pixels of one image, channel). channel_sum_total: adds the runs in order.
#ifndef ACCUMULATE
#define ACCUMULATE 0
#endif

__kernel void channel_sum_partial(__global float *restrict partial, const __global float *restrict x, int channels,
                                  int plane, int runs_per_image, int run_length) {
  int run = get_global_id(0), c = get_global_id(1);
  int runs = get_global_size(0);
  int n = run / runs_per_image, start = (run - n * runs_per_image) * run_length;
  int count = min(run_length, plane - start);
  const __global float *from = x + ((ulong)n * channels + c) * plane + start;
  float16 sums = (float16)0.0f;
  int i = 0;
  for (; i + 16 <= count; i += 16) sums += vload16(0, from + i);
  float sum = sum16(sums);
  for (; i < count; i++) sum += from[i];
  partial[(ulong)c * runs + run] = sum;
}

__kernel void channel_sum_total(__global float *restrict total, const __global float *restrict partial, int channels,
                                int runs) {
  int c = get_global_id(0);
  if (c >= channels) return;
  // Runs in the thousands: compensated, so that the last digits survive.
  float sum = 0.0f, lost = 0.0f;
  for (int r = 0; r < runs; r++) {
    float v = partial[(ulong)c * runs + r] - lost;
    float next = sum + v;
    lost = (next - sum) - v;
    sum = next;
  }
#if ACCUMULATE
  total[c] += sum;
#else
  total[c] = sum;
#endif
}
