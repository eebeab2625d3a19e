// step_controls: what the update reads, out of what the host wants (step, correction, largest norm or 0, decay, average's
// rate): controls = (step, correction, gradient scale, decay), or a scale of -1, which leaves a step out, where the loss or
// the squared norm of the gradient is not finite.
// LINT:
// LINT: -DLANES=256 -DWIDTH=4
#include "lanes.clh"

GROUP __kernel void step_controls(__global float *restrict controls, __global float *restrict rate,
                                  const __global float *restrict wanted, const __global float *restrict squared_norm,
                                  const __global float *restrict loss) {
  if (RUN > 0 || LANE > 0) return;
  bool taken = isfinite(squared_norm[0]) && isfinite(loss[0]);
  float norm = sqrt(squared_norm[0]), most = wanted[2];
  controls[0] = wanted[0];
  controls[1] = wanted[1];
  controls[2] = !taken ? -1.0f : most > 0.0f && norm > most ? most / norm : 1.0f;
  controls[3] = wanted[3];
  rate[0] = taken ? wanted[4] : 0.0f;
}
