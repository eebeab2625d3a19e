// loss = w * BCE + (1 - w) * (1 - Dice) of logits against a target, and its gradient; see BCEDiceLoss in the engine.
// bce_dice_partial: one work-item per run of pixels: (BCE terms, p*t, p, t). bce_dice_total: one work-item adds the runs in
// order, compensated. bce_dice_backward: one work-item per run.

#define SIGMOID(type)                                        \
  inline type sigmoid_##type(type x) {                       \
    type e = exp(-fabs(x));                                  \
    type small = e / (1.0f + e);                             \
    return select(small, 1.0f - small, isgreaterequal(x, (type)0.0f)); \
  }
SIGMOID(float)
SIGMOID(float16)

__kernel void bce_dice_partial(__global float *restrict partial, const __global float *restrict logits,
                               const __global float *restrict target, int count, int run_length, float pos_weight) {
  int run = get_global_id(0), i = run * run_length, end = min(i + run_length, count);
  float16 bces = (float16)0.0f, overlaps = (float16)0.0f, predictions = (float16)0.0f, positives = (float16)0.0f;
  for (; i + 16 <= end; i += 16) {
    float16 x = vload16(0, logits + i), t = vload16(0, target + i), p = sigmoid_float16(x);
    // (1-t) x + weight max(-x, 0) sorted by sign: terms of one sign, so that a confident pixel's tiny loss survives.
    bces += (1.0f - t) * fmax(x, (float16)0.0f) + pos_weight * t * fmax(-x, (float16)0.0f) +
            (1.0f + (pos_weight - 1.0f) * t) * log1p(exp(-fabs(x)));
    overlaps += p * t, predictions += p, positives += t;
  }
  float4 sums = (float4)(sum16(bces), sum16(overlaps), sum16(predictions), sum16(positives));
  for (; i < end; i++) {
    float x = logits[i], t = target[i], p = sigmoid_float(x);
    float bce = (1.0f - t) * fmax(x, 0.0f) + pos_weight * t * fmax(-x, 0.0f) +
                (1.0f + (pos_weight - 1.0f) * t) * log1p(exp(-fabs(x)));
    sums += (float4)(bce, p * t, p, t);
  }
  vstore4(sums, run, partial);
}

__kernel void bce_dice_total(__global float *restrict loss, __global float *restrict coefficients,
                             const __global float *restrict partial, int runs, int count, float bce_weight,
                             float smooth) {
  float4 sums = (float4)0.0f, lost = (float4)0.0f;
  for (int r = 0; r < runs; r++) {
    float4 v = vload4(r, partial) - lost, next = sums + v;
    lost = (next - sums) - v;
    sums = next;
  }
  float bce = sums.x / count;
  float over = 2.0f * sums.y + smooth, under = sums.z + sums.w + smooth, dice = over / under;
  loss[0] = bce_weight * bce + (1.0f - bce_weight) * (1.0f - dice);
  loss[1] = bce, loss[2] = dice, loss[3] = 0.0f;
  coefficients[0] = (1.0f - bce_weight) * -2.0f / under;
  coefficients[1] = (1.0f - bce_weight) * dice / under;
  coefficients[2] = coefficients[3] = 0.0f;
}

__kernel void bce_dice_backward(__global float *restrict d, const __global float *restrict logits,
                                const __global float *restrict target, const __global float *restrict coefficients,
                                int count, int run_length, float pos_weight, float bce_scale) {
  int i = get_global_id(0) * run_length, end = min(i + run_length, count);
  float dice_target = coefficients[0], dice_constant = coefficients[1];
  for (; i + 16 <= end; i += 16) {
    float16 x = vload16(0, logits + i), t = vload16(0, target + i), p = sigmoid_float16(x), rest = sigmoid_float16(-x);
    float16 bce = (1.0f - t) * p - pos_weight * t * rest;
    vstore16(bce_scale * bce + p * rest * (dice_target * t + dice_constant), 0, d + i);
  }
  for (; i < end; i++) {
    float x = logits[i], t = target[i], p = sigmoid_float(x), rest = sigmoid_float(-x);
    float bce = (1.0f - t) * p - pos_weight * t * rest;
    d[i] = bce_scale * bce + p * rest * (dice_target * t + dice_constant);
  }
}
