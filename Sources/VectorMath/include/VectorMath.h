// VectorMath: the CPU path's loops beside BLAS. Every function works on a range that the caller chose, so that the
// caller divides work among threads; none allocates, locks or keeps state. Tensors are NCHW, contiguous, of fp32 where no
// storage is named. Sums are kept in double. Those with loops over tensors are compiled for several x86-64 levels and chosen at load.
#ifndef VECTORMATH_H
#define VECTORMATH_H

#include <stdint.h>

/// How a tensor's elements are stored; the same numbers as STORED_... in storage.clh, which says how they are rounded. A tensor's pointer
/// is that of an fp32 one in every function.
enum vm_storage { VM_FP32, VM_FP16, VM_BF16 };

/// How an operand is read; the same numbers as ViewMode in the engine and VIEW_... in prelude.clh.
/// VM_VIEW_FP16 is added where the activation is VM_FP16: `aux` of a gradient, `data` of the others; VM_VIEW_BF16 where `data` is
/// VM_BF16, a gradient.
enum vm_mode {
  VM_PLAIN,
  VM_NORMALIZED,
  VM_NORMALIZED_RELU,
  VM_NORMALIZED_GRADIENT,
  VM_NORMALIZED_RELU_GRADIENT,
  VM_DEPTH,
  VM_VIEW_FP16 = 8,
  VM_VIEW_BF16 = 16
};

/// A tensor (n, channels, height, width) read through a view. `table` and `aux` as in prelude.clh.
typedef struct {
  const float *data, *table, *aux;
  int32_t mode;
  int64_t channels, height, width;
} vm_operand;

/// Rows (c, p, q) of the im2col matrix for output pixels [start, start + count) of a plane `out_width` wide:
/// out[((c * k + p) * k + q) * count + j] = x[n, first + c, i + p*dilation - pad, j + q*dilation - pad].
/// `stage` holds vm_im2col_stage elements.
void vm_im2col(float *out, float *stage, const vm_operand *x, int64_t n, int64_t first, int64_t channels, int64_t k,
               int64_t dilation, int64_t pad, int64_t out_width, int64_t start, int64_t count);
int64_t vm_im2col_stage(int64_t k, int64_t dilation, int64_t out_width, int64_t count);

/// y[0..count) = x's elements [start, start + count) of channel c of image n.
void vm_load_range(float *y, const vm_operand *x, int64_t n, int64_t c, int64_t start, int64_t count);

/// y's elements [at, at + count) = or += the same, as they are stored.
void vm_put_range(float *y, int stored, int64_t at, const vm_operand *x, int64_t n, int64_t c, int64_t start, int64_t count,
                  int accumulate);
/// x[at].
float vm_element(const float *x, int stored, int64_t at);

/// Adds x[i] - shift and its square, of elements [at, at + count).
void vm_sums(const float *x, int stored, int64_t at, int64_t count, double shift, double *sum, double *squares);
/// Adds g * f' and g * f' * (z - mean), of elements [at, at + count) of both, where f' is 1, or with relu the step of
/// (z - mean) * scale + beta.
void vm_norm_gradient_sums(const float *g, int g_stored, const float *z, int z_stored, int64_t at, int64_t count, float mean,
                           float scale, float beta, int relu, double *sum, double *products);

/// One row of 2x2 max-pooling: y[j] of output row `row`, through the view.
void vm_max_pool_row(float *y, const vm_operand *x, int64_t n, int64_t c, int64_t row, int64_t out_width);
/// Two rows (2*row, 2*row + 1; the odd last row alone) of its gradient: the first maximum takes it, the rest get 0.
void vm_max_pool_gradient_rows(float *dx, int dx_stored, const vm_operand *x, const float *dy, int dy_stored, int64_t n, int64_t c,
                               int64_t row, int64_t out_height, int64_t out_width, int accumulate);

/// y = max(0, x).
void vm_relu(float *y, const float *x, int64_t count);
/// dx = or += dy where x > 0.
void vm_relu_gradient(float *dx, const float *x, const float *dy, int64_t count, int accumulate);

/// y[i] = value; y[i] += x[i]; sum of x's elements [at, at + count); sum of squares.
void vm_fill(float *y, float value, int64_t count);
void vm_add(float *y, const float *x, int64_t count);
double vm_sum(const float *x, int stored, int64_t at, int64_t count);
double vm_sum_squares(const float *x, int64_t count);

/// y[2*j] = even[j], y[2*j + 1] = odd[j], both plus bias.
void vm_interleave(float *y, const float *even, const float *odd, float bias, int64_t count);

/// Adds the BCE terms (stable form, positive weight inside), p*t, p*(1-t) + (1-p)*t, and p + t over a range.
void vm_bce_dice_sums(const float *logits, const float *target, int64_t count, float pos_weight, double sums[4]);
/// d[i] = bce_scale * dBCE/dlogit + p(1-p) * (dice_target * t + dice_constant).
void vm_bce_dice_gradient(float *d, const float *logits, const float *target, int64_t count, float pos_weight,
                          float bce_scale, float dice_target, float dice_constant);

/// One Adam step over a range: m = b1 m + rest1 g; v = b2 v + rest2 g^2; p = p * decay - step * m / (sqrt(v) * correction
/// + eps), where rest1, rest2 are 1-b1 and 1-b2, subtracted in double.
void vm_adam(float *p, float *m, float *v, const float *g, int64_t count, float b1, float rest1, float b2, float rest2,
             float eps, float step, float correction, float grad_scale, float decay);

/// average[i] += rate * (x[i] - average[i]).
void vm_moving_average(float *average, const float *x, int64_t count, float rate);

/// y[i] = x[i] after `rounds` times x[i] = a * x[i] + b: the processor's peak, for benchmarks.
void vm_multiply_add(float *y, const float *x, int64_t count, int64_t rounds, float a, float b);
/// 1 where the processor has AVX2 and fused multiply-adds.
int vm_has_avx2_and_fma(void);

/// 1 where the processor has AVX-512: 32 registers of 16 floats.
int vm_has_avx512(void);

/// y[i] = x[i].
void vm_copy(float *y, const float *x, int64_t count);

#endif
