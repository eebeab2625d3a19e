// loss = w * BCE + (1 - w) * (1 - Dice) of logits against a target, and its gradient; see BCEDiceLoss in the engine.
// bce_dice_partial: one run of pixels (lanes.clh): (BCE terms, p*t, p*(1-t) + (1-p)*t, p + t). bce_dice_total: one run over
// the runs' sums, compensated. 1 - Dice is the third of them over the fourth: all terms of one sign, so that the last per mille are not lost. bce_dice_backward: one run of pixels.
// LINT:
// LINT: -DLANES=256 -DWIDTH=4
#include "lanes.clh"

#define SIGMOID(type)                                        \
  INLINE type sigmoid_##type(type x) {                       \
    type e = exp(-fabs(x));                                  \
    type small = e / (1.0f + e);                             \
    return select(small, 1.0f - small, isgreaterequal(x, (type)0.0f)); \
  }
SIGMOID(float)
SIGMOID(floats)

#define GROUP_SUM4(v) v.x = GROUP_SUM(v.x), v.y = GROUP_SUM(v.y), v.z = GROUP_SUM(v.z), v.w = GROUP_SUM(v.w);

GROUP __kernel void bce_dice_partial(__global float *restrict partial, const __global float *restrict logits,
                                     const __global float *restrict target, int count, int run_length,
                                     float pos_weight) {
  GROUP_MEMORY
  int run = RUN, i = run * run_length, end = i + min(run_length, count - i);
  floats bces = (floats)0.0f, overlaps = (floats)0.0f, misses = (floats)0.0f, areas = (floats)0.0f;
  for (; end - i >= SPAN; i += SPAN) {
    floats x = load(logits + i + LANE), t = load(target + i + LANE), p = sigmoid_floats(x);
    // (1-t) x + weight * max(-x, 0), sorted by sign: terms of one sign, so that a confident pixel's tiny loss survives.
    bces += (1.0f + (pos_weight - 1.0f) * t) * log1p(exp(-fabs(x))) +
            select(-pos_weight * t * x, (1.0f - t) * x, isgreaterequal(x, (floats)0.0f));
    overlaps += p * t, misses += p * (1.0f - t) + sigmoid_floats(-x) * t, areas += p + t;
  }
  float4 sums = (float4)(SUM(bces), SUM(overlaps), SUM(misses), SUM(areas));
  for (i += LANE; i < end; i += LANES) {
    float x = logits[i], t = target[i], p = sigmoid_float(x);
    float bce = (1.0f + (pos_weight - 1.0f) * t) * log1p(exp(-fabs(x))) +
                (x >= 0.0f ? (1.0f - t) * x : -pos_weight * t * x);
    sums += (float4)(bce, p * t, p * (1.0f - t) + sigmoid_float(-x) * t, p + t);
  }
  GROUP_SUM4(sums)
  if (LANE == 0) vstore4(sums, run, partial);
}

GROUP __kernel void bce_dice_total(__global float *restrict loss, __global float *restrict coefficients,
                                   const __global float *restrict partial, int runs, int count, float bce_weight,
                                   float smooth) {
  GROUP_MEMORY
  float4 sums = (float4)0.0f, lost = (float4)0.0f;
  for (int r = LANE; r < runs; r += LANES) {
    float4 v = vload4(r, partial) - lost, next = sums + v;
    lost = (next - sums) - v;
    sums = next;
  }
  GROUP_SUM4(sums)
  if (LANE > 0) return;
  float bce = sums.x / count;
  float over = 2.0f * sums.y + smooth, under = sums.w + smooth, dice = over / under;
  loss[0] = bce_weight * bce + (1.0f - bce_weight) * sums.z / under;
  loss[1] = bce, loss[2] = dice, loss[3] = 0.0f;
  coefficients[0] = (1.0f - bce_weight) * -2.0f / under;
  coefficients[1] = (1.0f - bce_weight) * dice / under;
  coefficients[2] = coefficients[3] = 0.0f;
}

GROUP __kernel void bce_dice_backward(__global float *restrict d, const __global float *restrict logits,
                                      const __global float *restrict target,
                                      const __global float *restrict coefficients, int count, int run_length,
                                      float pos_weight, float bce_scale) {
  int i = RUN * run_length, end = i + min(run_length, count - i);
  float dice_target = coefficients[0], dice_constant = coefficients[1];
  for (; end - i >= SPAN; i += SPAN) {
    floats x = load(logits + i + LANE), t = load(target + i + LANE), p = sigmoid_floats(x), rest = sigmoid_floats(-x);
    floats bce = (1.0f - t) * p - pos_weight * t * rest;
    store(bce_scale * bce + p * rest * (dice_target * t + dice_constant), d + i + LANE);
  }
  for (i += LANE; i < end; i += LANES) {
    float x = logits[i], t = target[i], p = sigmoid_float(x), rest = sigmoid_float(-x);
    float bce = (1.0f - t) * p - pos_weight * t * rest;
    d[i] = bce_scale * bce + p * rest * (dice_target * t + dice_constant);
  }
}
