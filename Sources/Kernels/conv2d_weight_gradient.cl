// The gradient of conv2d with respect to its weights: dw[o,c,p,q] = sum over n,i,j of dz[n,o,i,j] *
//   x[n, c, i + p*DILATION - pad_y, j + q*DILATION - pad_x].
// conv2d_weight_gradient_partial: a work-item takes z_group output channels and a slice of all tiles, stages dz and x
//   of a tile in local memory (of `stack` images where the plane is small), and keeps X_BLOCK x 8 vectors of sixteen partial sums in registers (x 4 of eight where they hold less) for each (8 output
//   channels, input channel, kernel row), folded once a tile. No atomics: each slice has its own partial sums.
//   conv2d_reduce.cl adds the slices in their order.
// Both operands are read through views (prelude.clh), x from one or two sources.
// Macros: those of conv2d_stage.clh; X0_MODE, X1_MODE; Z_MODE view of dz; Z_ROWS the most rows of a tile.
// LINT: -DX1_MODE=2 -DZ_MODE=4
// LINT: -DX1_MODE=10 -DZ_MODE=28
// LINT: -DDILATION=4 -DTILE_W=16 -DZ_ROWS=64 -DZ_MODE=4
// LINT: -DK=1 -DX0_MODE=5 -DX1_MODE=-1 -DZ_MODE=2
// LINT: -DX1_MODE=2 -DZ_MODE=4 -DVECTOR_FLOATS=8
// LINT: -DK=1 -DX0_MODE=2 -DZ_MODE=0 -DVECTOR_FLOATS=8
#include "conv2d_stage.clh"
#ifndef Z_MODE
#define Z_MODE VIEW_PLAIN
#endif

// dz is staged without a halo, image below image, Z_ROWS rows apart: a constant, so that eight channels need one address; the odd 16 keep them
// off one cache set.
#ifndef Z_ROWS
#define Z_ROWS 16
#endif
#define Z_PLANE (Z_ROWS * TILE_W + 16)

// Vectors of x that each vector of dz is multiplied with while it is in registers: a kernel row's taps, or, where the kernel
// has but one, three input channels.
#if K == 1
#define X_BLOCK 3
#define X_CHANNELS 3
#define X_OFFSET(q) (min(q, c_count - 1 - c) * staged)
#else
#define X_BLOCK K
#define X_CHANNELS 1
#define X_OFFSET(q) (TAP_OFFSET(0, q) - TAP_OFFSET(0, 0))
#endif

// Output channels whose sums are in registers at a time, in vectors of SUM_LANES.
#if VECTOR_FLOATS == 8
#define SUM_CHANNELS 4
#define SUM_LANES 8
#else
#define SUM_CHANNELS BLOCK
#define SUM_LANES 16
#endif
typedef PASTE(float, SUM_LANES) sum_vector;
#define LOAD PASTE(vload, SUM_LANES)

// Folds SUM_CHANNELS vectors of partial sums to their sums.
#if !SHUFFLES
// The same sums in the same order: see sum16.
INLINE float fold_lanes(sum_vector v) {
  float lanes[16];
  PASTE(vstore, SUM_LANES)(v, 0, lanes);
#pragma unroll 1
  for (int l = 0; l < SUM_LANES - 8; l++) lanes[l] += lanes[l + 8];
#pragma unroll 1
  for (int count = 4; count > 0; count /= 2)
#pragma unroll 1
    for (int l = 0; l < count; l++) lanes[l] = lanes[2 * l] + lanes[2 * l + 1];
  return lanes[0];
}
#define FOLD4(v, b) fold_lanes(v[b]), fold_lanes(v[b + 1]), fold_lanes(v[b + 2]), fold_lanes(v[b + 3])
#if VECTOR_FLOATS == 8
#define FOLD(v) (float4)(FOLD4(v, 0))
#else
#define FOLD(v) (float8)(FOLD4(v, 0), FOLD4(v, 4))
#endif
#else
// Adds neighbours: (a0 + a1, a2 + a3, ..., b0 + b1, ...).
INLINE float8 add_pairs(float8 a, float8 b) { return (float8)(a.even, b.even) + (float8)(a.odd, b.odd); }

#if VECTOR_FLOATS == 8
#define EIGHT(v) (v)
#define FOLD(v) (FOLD4(v, 0).even + FOLD4(v, 0).odd)
#else
#define EIGHT(v) ((v).lo + (v).hi)
#define FOLD(v) add_pairs(FOLD4(v, 0), FOLD4(v, 4))
#endif
#define FOLD2(v, b) add_pairs(EIGHT(v[b]), EIGHT(v[b + 1]))
#define FOLD4(v, b) add_pairs(FOLD2(v, b), FOLD2(v, b + 2))
#endif

__attribute__((reqd_work_group_size(1, 1, 1)))
__kernel void conv2d_weight_gradient_partial(
    __global float *restrict partial, const __global float *restrict z, const __global float *restrict z_table,
    const __global float *restrict z_aux, const __global float *restrict x0, const __global float *restrict x0_table,
    const __global float *restrict x0_aux, const __global float *restrict x1, const __global float *restrict x1_table,
    const __global float *restrict x1_aux, int z_first, int z_used, int z_channels, int x0_channels, int x1_channels,
    int in_height, int in_width, int out_height, int out_width, int pad_y, int pad_x, int tiles_x, int tiles_y,
    int tiles, int slices, int tile_height, int chunk, int z_group, int images, int stack, __local float *restrict z_stage, __local float *restrict x_stage) {
  int slice = get_global_id(0), o_begin = get_global_id(1) * z_group;
  int o_count = min(z_group, z_used - o_begin);
  int in_channels = x0_channels + (X1_MODE >= 0 ? x1_channels : 0);
  int blocks = (z_used + BLOCK - 1) / BLOCK;
  int first = (int)((long)tiles * slice / slices), last = (int)((long)tiles * (slice + 1) / slices);
  int image_staged = stage_size(tile_height), staged = stack * image_staged;
#if GATHER
  int tap_plane = tile_height * PITCH;
#endif
  __global float *restrict sums = partial + (ulong)slice * blocks * in_channels * TAPS * BLOCK;

  for (int tile = first; tile < last; tile++) {
    int row = tile / tiles_x, pile = row / tiles_y;
    int tile_x = (tile - row * tiles_x) * TILE_W, tile_y = (row - pile * tiles_y) * tile_height;
    int n_begin = pile * stack, n_count = min(stack, images - n_begin);
    int rows = min(tile_height, out_height - tile_y), columns = min(TILE_W, out_width - tile_x);
    for (int o = 0; o < (o_count + BLOCK - 1) / BLOCK * BLOCK; o++) {
      __local float *to = z_stage + o * Z_PLANE;
      if (o >= o_count) {
        for (int l = 0; l < n_count * rows * TILE_W; l += 16) vstore16((float16)0.0f, 0, to + l);
        continue;
      }
      for (int n = n_begin; n < n_begin + n_count; n++) {
        prefetch_channel(rows, columns, Z_MODE, z, z_aux, n, z_first + o_begin + o + 1, z_channels, tile_y, tile_x,
                         out_height, out_width);
        stage_rows(to + (n - n_begin) * rows * TILE_W, rows, (columns + 15) / 16 * 16, TILE_W, Z_MODE, z, z_table, z_aux, n,
                   z_first + o_begin + o, z_channels, tile_y, tile_x, out_height, out_width);
      }
    }
    for (int c_begin = 0; c_begin < in_channels; c_begin += chunk) {
      int c_count = min(chunk, in_channels - c_begin);
      for (int i = 0; i < c_count; i++) {
        int c = c_begin + i;
        for (int n = n_begin; n < n_begin + n_count; n++) {
          __local float *to = x_stage + i * staged + (n - n_begin) * image_staged;
          prefetch_channel(tile_height + HALO, columns + HALO, X0_MODE, x0, x0_aux, n, c + 1, x0_channels, tile_y - pad_y,
                           tile_x - pad_x, in_height, in_width);
          if (X1_MODE < 0 || c < x0_channels)
            stage_channel(to, tile_height, columns, X0_MODE, x0, x0_table, x0_aux, n, c, x0_channels, tile_y - pad_y,
                          tile_x - pad_x, in_height, in_width);
          else
            stage_channel(to, tile_height, columns, X1_MODE, x1, x1_table, x1_aux, n, c - x0_channels, x1_channels,
                          tile_y - pad_y, tile_x - pad_x, in_height, in_width);
        }
      }
      for (int o = 0; o < o_count; o += SUM_CHANNELS) {
        const __local float *zo = z_stage + o * Z_PLANE;
        __global float *to =
            sums + ((ulong)(o_begin + o) / BLOCK * in_channels + c_begin) * TAPS * BLOCK + (o - o / BLOCK * BLOCK);
        for (int c = 0; c < c_count; c += X_CHANNELS) {
          for (int p = 0; p < K; p++) {
            sum_vector acc[X_BLOCK][SUM_CHANNELS];
#pragma unroll
            for (int q = 0; q < X_BLOCK; q++)
#pragma unroll
              for (int b = 0; b < SUM_CHANNELS; b++) acc[q][b] = (sum_vector)0.0f;
            // One loop over the tile's vectors: nested ones make the compiler spill the sums.
            const __local float *zi = zo, *xi = x_stage + c * staged + TAP_OFFSET(p, 0);
            int vectors = (columns + 15) / 16, j = 0, i = 0;
            for (int v = n_count * rows * vectors; v > 0; v--) {
#pragma unroll
              for (int h = 0; h < 16 / SUM_LANES; h++) {
                sum_vector xv[X_BLOCK];
#pragma unroll
                for (int q = 0; q < X_BLOCK; q++) xv[q] = LOAD(h, xi + X_OFFSET(q) + 16 * j);
#pragma unroll
                for (int b = 0; b < SUM_CHANNELS; b++) {
                  sum_vector zv = LOAD(h, zi + b * Z_PLANE + 16 * j);
#pragma unroll
                  for (int q = 0; q < X_BLOCK; q++) acc[q][b] = fma(zv, xv[q], acc[q][b]);
                }
              }
              if (++j < vectors) continue;
              j = 0, zi += TILE_W, xi += PITCH;
              if (++i == rows) i = 0, xi += image_staged - rows * PITCH;
            }
#pragma unroll
            for (int q = 0; q < X_BLOCK; q++) {
              // Beyond the last channel it was summed again.
              if (X_CHANNELS > 1 && c + q >= c_count) continue;
              __global float *at = to + (c * TAPS + p * K + q) * BLOCK;
#if VECTOR_FLOATS == 8
              float4 folded = FOLD(acc[q]);
              vstore4(tile == first ? folded : vload4(0, at) + folded, 0, at);
#else
              float8 folded = FOLD(acc[q]);
              vstore8(tile == first ? folded : vload8(0, at) + folded, 0, at);
#endif
            }
          }
        }
      }
    }
  }
}
