// The gradient of a 3x3 convolution (stride 1, dilation 1) with respect to its weights by Winograd's F(2x2, 3x3), whose
// forward form is in conv2d_winograd.cl: dw = G' (sum over squares of (A dz A') * (B' d B)) G.
// conv2d_winograd_weight_gradient_partial: a work-item takes z_group output channels and a slice of all tiles. Of each tile
//   it stages the transformed dz, transposed, so that output channels lie side by side (z_stage: [point][group of lanes]
//   [square][Z_LANES]), then `chunk` transformed input channels at a time (x_stage: [point][channel][SQUARES]), and adds up
//   the products of 16 vectors' worth of pairs of channels (4 where registers hold less) over the tile's squares. Each slice has its own sums
//   [slice][point][input channel][output channel]: no atomics.
//   conv2d_winograd_reduce.cl adds the slices in their order.
//
// Macros: Z_VECTORS vectors of 16 output channels side by side in registers, 1 or 2; SQUARES; X0_MODE, X1_MODE, Z_MODE views.
// LINT: -DX1_MODE=2 -DZ_VECTORS=1
// LINT: -DZ_MODE=4
// LINT: -DZ_MODE=28 -DX0_MODE=10
// LINT: -DZ_MODE=4 -DVECTOR_FLOATS=8
#include "conv2d_stage.clh"
#include "conv2d_winograd.clh"
#ifndef Z_MODE
#define Z_MODE VIEW_PLAIN
#endif
#ifndef Z_VECTORS
#define Z_VECTORS 2
#endif

#define Z_LANES (16 * Z_VECTORS)
// Input channels that share the registers.
#define X_BLOCK (16 / Z_VECTORS)
// Input channels and vectors whose sums are in registers at a time.
#if VECTOR_FLOATS == 8
#define SUM_CHANNELS 4
#define SUM_VECTORS 1
#else
#define SUM_CHANNELS X_BLOCK
#define SUM_VECTORS Z_VECTORS
#endif
// Squares of a tile at most: the distance of channels in x_stage, a constant, so that they need one address.
#ifndef SQUARES
#define SQUARES 128
#endif

// 16 x 16 elements, rows exchanged with columns: each round turns the eight bits of (row, column) by one.
INLINE void transpose16(float16 v[16]) {
#pragma unroll
  for (int round = 0; round < 4; round++) {
    float16 t[16];
#pragma unroll
    for (int i = 0; i < 8; i++) zip16(&t[2 * i], &t[2 * i + 1], v[i], v[i + 8]);
#pragma unroll
    for (int i = 0; i < 16; i++) v[i] = t[i];
  }
}

// A dz A' of sixteen squares, whose rows start at z and z + TILE_W, to 16 vectors 256 elements apart.
INLINE void winograd_gradient(__local float *restrict to, const __local float *restrict z) {
  float16 z00, z01, z10, z11;
  unzip16(&z00, &z01, vload16(0, z), vload16(1, z));
  unzip16(&z10, &z11, vload16(0, z + TILE_W), vload16(1, z + TILE_W));
  float16 left[4] = {z00, z00 + z10, z00 - z10, -z10}, right[4] = {z01, z01 + z11, z01 - z11, -z11};
#pragma unroll
  for (int i = 0; i < 4; i++) {
    vstore16(left[i], 0, to + (4 * i) * 256);
    vstore16(left[i] + right[i], 0, to + (4 * i + 1) * 256);
    vstore16(left[i] - right[i], 0, to + (4 * i + 2) * 256);
    vstore16(-right[i], 0, to + (4 * i + 3) * 256);
  }
}

__attribute__((reqd_work_group_size(1, 1, 1)))
__kernel void conv2d_winograd_weight_gradient_partial(
    __global float *restrict partial, const __global float *restrict z, const __global float *restrict z_table,
    const __global float *restrict z_aux, const __global float *restrict x0, const __global float *restrict x0_table,
    const __global float *restrict x0_aux, const __global float *restrict x1, const __global float *restrict x1_table,
    const __global float *restrict x1_aux, int z_first, int z_used, int z_channels, int x0_channels, int x1_channels,
    int in_height, int in_width, int out_height, int out_width, int pad_y, int pad_x, int tiles_x, int tiles_y,
    int tiles, int slices, int tile_height, int chunk, int z_group, __local float *restrict raw,
    __local float *restrict turn, __local float *restrict z_stage, __local float *restrict x_stage) {
  int slice = get_global_id(0), o_begin = get_global_id(1) * z_group;
  int o_count = (min(z_group, z_used - o_begin) + Z_LANES - 1) / Z_LANES * Z_LANES;
  int o_all = (z_used + Z_LANES - 1) / Z_LANES * Z_LANES;
  int in_channels = x0_channels + (X1_MODE >= 0 ? x1_channels : 0);
  int c_all = (in_channels + X_BLOCK - 1) / X_BLOCK * X_BLOCK;
  int first = (int)((long)tiles * slice / slices), last = (int)((long)tiles * (slice + 1) / slices);
  // The odd 16 keep points off one cache set.
  int z_step = z_group * SQUARES + 16, x_step = chunk * SQUARES + 16;
  __global float *restrict sums = partial + (ulong)slice * POINTS * c_all * o_all + o_begin;

  for (int tile = first; tile < last; tile++) {
    int row = tile / tiles_x, n = row / tiles_y;
    int tile_x = (tile - row * tiles_x) * TILE_W, tile_y = (row - n * tiles_y) * tile_height;
    int rows = min(tile_height, out_height - tile_y), columns = min(TILE_W, out_width - tile_x);
    int halves = (columns + 31) / 32, square_rows = (rows + 1) / 2, vectors = square_rows * halves;

    for (int o = 0; o < o_count; o += 16) {
      // Sixteen channels' rows, then their squares vector by vector, each point turned so that channels are the lanes.
      for (int b = 0; b < 16; b++) {
        __local float *to = raw + b * tile_height * TILE_W;
        prefetch_channel(2 * square_rows, halves * 32, Z_MODE, z, z_aux, n, z_first + o_begin + o + b + 1, z_channels, tile_y,
                         tile_x, out_height, out_width);
        if (o_begin + o + b < z_used)
          stage_rows(to, 2 * square_rows, halves * 32, TILE_W, Z_MODE, z, z_table, z_aux, n, z_first + o_begin + o + b,
                     z_channels, tile_y, tile_x, out_height, out_width);
        else
          for (int l = 0; l < 2 * square_rows * TILE_W; l += 16) vstore16((float16)0.0f, 0, to + l);
      }
      for (int vector = 0; vector < vectors; vector++) {
        int i = vector / halves, side = vector - i * halves;
        for (int b = 0; b < 16; b++)
          winograd_gradient(turn + b * 16, raw + b * tile_height * TILE_W + 2 * i * TILE_W + side * 32);
        for (int p = 0; p < POINTS; p++) {
          float16 v[16];
#pragma unroll
          for (int b = 0; b < 16; b++) v[b] = vload16(b, turn + p * 256);
          transpose16(v);
          __local float *to =
              z_stage + p * z_step + (o / Z_LANES * SQUARES + vector * 16) * Z_LANES + (o - o / Z_LANES * Z_LANES);
#pragma unroll
          for (int l = 0; l < 16; l++) vstore16(v[l], 0, to + l * Z_LANES);
        }
      }
    }

    for (int c_begin = 0; c_begin < in_channels; c_begin += chunk) {
      int c_count = min(chunk, in_channels - c_begin);
      for (int i = 0; i < c_count; i++) {
        int c = c_begin + i;
        prefetch_channel(2 * square_rows + 2, halves * 32 + 2, X0_MODE, x0, x0_aux, n, c + 1, x0_channels,
                         tile_y - pad_y, tile_x - pad_x, in_height, in_width);
        if (X1_MODE < 0 || c < x0_channels)
          stage_channel(raw, 2 * square_rows, halves * 32, X0_MODE, x0, x0_table, x0_aux, n, c, x0_channels, tile_y - pad_y,
                        tile_x - pad_x, in_height, in_width);
        else
          stage_channel(raw, 2 * square_rows, halves * 32, X1_MODE, x1, x1_table, x1_aux, n, c - x0_channels, x1_channels,
                        tile_y - pad_y, tile_x - pad_x, in_height, in_width);
        winograd_input(x_stage + i * SQUARES, raw, square_rows, halves, x_step, 32);
      }
      for (int i = c_count; i < (c_count + X_BLOCK - 1) / X_BLOCK * X_BLOCK; i++)
        for (int p = 0; p < POINTS; p++)
          for (int l = 0; l < vectors; l++) vstore16((float16)0.0f, l, x_stage + p * x_step + i * SQUARES);

      for (int p = 0; p < POINTS; p++) {
        for (int o = 0; o < o_count; o += 16 * SUM_VECTORS) {
          for (int c = 0; c < c_count; c += SUM_CHANNELS) {
            int lanes = o / Z_LANES * Z_LANES;
            const __local float *restrict zi = z_stage + p * z_step + lanes * SQUARES + (o - lanes);
            const __local float *restrict xi = x_stage + p * x_step + c * SQUARES;
            float16 acc[SUM_CHANNELS][SUM_VECTORS];
#pragma unroll
            for (int b = 0; b < SUM_CHANNELS; b++)
#pragma unroll
              for (int v = 0; v < SUM_VECTORS; v++) acc[b][v] = (float16)0.0f;
            // The sums so far: asked for now, read behind the loop.
            if (tile != first)
#pragma unroll
              for (int b = 0; b < SUM_CHANNELS; b++)
#pragma unroll
                for (int v = 0; v < SUM_VECTORS; v++)
                  PREFETCH(sums + ((ulong)p * c_all + c_begin + c + b) * o_all + o + 16 * v);
            for (int l = 0; l < vectors * 16; l++) {
#pragma unroll
              for (int v = 0; v < SUM_VECTORS; v++) {
                float16 zv = vload16(v, zi);
#pragma unroll
                for (int b = 0; b < SUM_CHANNELS; b++) acc[b][v] = fma(zv, (float16)xi[b * SQUARES], acc[b][v]);
              }
              zi += Z_LANES, xi++;
            }
#pragma unroll
            for (int b = 0; b < SUM_CHANNELS; b++) {
              __global float *at = sums + ((ulong)p * c_all + c_begin + c + b) * o_all + o;
#pragma unroll
              for (int v = 0; v < SUM_VECTORS; v++)
                vstore16(tile == first ? acc[b][v] : vload16(v, at) + acc[b][v], v, at);
            }
          }
        }
      }
    }
  }
}
