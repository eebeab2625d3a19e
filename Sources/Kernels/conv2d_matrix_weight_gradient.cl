// The gradient of conv2d with respect to its weights, on matrix units: see conv2d_weight_gradient.cl for the formula.
//
// conv2d_matrix_weight_gradient: the product of dz (16 output channels a fragment) and x (COLUMNS input channels a fragment),
//   summed over pixels, eight words a step. A group, four warps, takes O_TILE = 16 * M_TILES output channels, C_WARPS * COLUMNS *
//   N_TILES input channels, a window of taps and a slice of all tiles; a warp COLUMNS * N_TILES of the input channels, with sums for
//   each tap in registers over all of the slice: a fragment of dz meets the x of every tap. Where there are less than four
//   warps' channels, SHARES = 4 / C_WARPS warps have the same ones and each every SHARESth row. partial is [slice][share][output
//   channel][input channel][tap], added up by conv2d_gpu_reduce (conv2d_gpu_weight_gradient.cl) in a fixed order. No atomics.
//
// A tile is TILE_H x 16 pixels; dz and the patch of x with its halo are staged through their views and rounded. A word of two
// bf16 numbers holds the same pixel of two tiles, one after the other: no shift by a tap parts them, and both forms have the same
// loads. Channels are 32 / COLUMNS words apart modulo 32: the channels and words that 32 items load are in 32 banks.
//
// Macros: those of conv2d_matrix.clh and matrix.clh; Z_MODE view of dz; M_TILES, N_TILES, C_WARPS; TILE_H, a
// multiple of SHARES.
// z_stage: [part][output channel][pixel]; x_stage: [part][input channel][row][column].
// LINT: -DX1_MODE=2 -DZ_MODE=4
// LINT: -DK=1 -DX0_MODE=5 -DZ_MODE=2 -DN_TILES=4 -DELEMENT=1
// LINT: -DK=5 -DWINDOW=1 -DPARTS=2 -DC_WARPS=2
// LINT: -DMATRIX=1 -DZ_MODE=4 -DPARTS=2 -target nvptx64
// LINT: -DMATRIX=1 -DX1_MODE=2 -DELEMENT=1 -target nvptx64
// LINT: -DLAYOUT=2 -DZ_MODE=4 -DELEMENT=2
#include "conv2d_matrix.clh"
#include "matrix.clh"
#ifndef Z_MODE
#define Z_MODE VIEW_PLAIN
#endif
#ifndef M_TILES
#define M_TILES 4
#endif
#ifndef N_TILES
#define N_TILES 1
#endif
#ifndef C_WARPS
#define C_WARPS 4
#endif
#ifndef TILE_H
#define TILE_H 2
#endif

#define TILE_W 16
#define O_TILE (16 * M_TILES)
#define C_WARP (COLUMNS * N_TILES)
#define C_TILE (C_WARPS * C_WARP)
#define SHARES (4 / C_WARPS)
#define PIXELS (TILE_H * TILE_W)
#define PATCH_H (TILE_H + HALO)
#define PATCH_W (TILE_W + HALO)
// Words from one channel to the next.
#define APART (32 / COLUMNS)
#define Z_PLANE (PIXELS + APART)
#define X_PLANE ((PATCH_H * PATCH_W + 31 - APART) / 32 * 32 + APART)

__attribute__((reqd_work_group_size(MATRIX_ITEMS, 1, 1)))
__kernel void conv2d_matrix_weight_gradient(
    __global float *restrict partial, const __global float *restrict z, const __global float *restrict z_table,
    const __global float *restrict z_aux, const __global float *restrict x0, const __global float *restrict x0_table,
    const __global float *restrict x0_aux, const __global float *restrict x1, const __global float *restrict x1_table,
    const __global float *restrict x1_aux, int z_first, int z_used, int z_channels, int x0_first, int x0_used,
    int x0_channels, int x1_channels, int in_height, int in_width, int out_height, int out_width, int pad_y, int pad_x,
    int tiles, int slices, int o_groups, int c_groups, __local uint *restrict z_stage, __local uint *restrict x_stage) {
  MATRIX_MEMORY
  int item = get_local_id(0), lane = item & (MATRIX_LANES - 1), stage_lane = item & (STAGE_LANES - 1);
  int c_warp = item / MATRIX_LANES & (C_WARPS - 1), share = item / MATRIX_LANES / C_WARPS;
  int in_channels = x0_used + (X1_MODE >= 0 ? x1_channels : 0);
  // Groups side by side share a slice's pixels.
  int group = get_group_id(0), rest = group / c_groups;
  int c_begin = (group - rest * c_groups) * C_TILE;
  group = rest, rest = group / o_groups;
  int o_begin = (group - rest * o_groups) * O_TILE;
  int windows = (K / WINDOW) * (K / WINDOW), slice = rest / windows, window = rest - slice * windows;
  int p = window / (K / WINDOW) * WINDOW, q = (window - window / (K / WINDOW) * (K / WINDOW)) * WINDOW;
  int tiles_x = (out_width + TILE_W - 1) / TILE_W, tiles_y = (out_height + TILE_H - 1) / TILE_H;
  int first = (int)((long)tiles * slice / slices), last = (int)((long)tiles * (slice + 1) / slices);

  matrix_c sums[N_TILES][WINDOW * WINDOW][M_TILES];
#pragma unroll UNROLL
  for (int n = 0; n < N_TILES; n++)
#pragma unroll UNROLL
    for (int t = 0; t < WINDOW * WINDOW; t++)
#pragma unroll UNROLL
      for (int m = 0; m < M_TILES; m++) sums[n][t][m] = (matrix_c)0.0f;

  const __local uint *z_from = z_stage + A_ROW(lane, 0) * Z_PLANE + A_WORD(lane, 0);
  const __local uint *x_from = x_stage + (c_warp * C_WARP + B_COLUMN(lane)) * X_PLANE + B_WORD(lane, 0);

  for (int tile = first; tile < last; tile += VALUES) {
    // Where the tiles of a word's numbers are; beyond the slice's last there is none.
    int image[VALUES], tile_y[VALUES], tile_x[VALUES];
#pragma unroll
    for (int v = 0; v < VALUES; v++) {
      int tile_row = (tile + v) / tiles_x;
      image[v] = tile_row / tiles_y;
      tile_x[v] = (tile + v - tile_row * tiles_x) * TILE_W, tile_y[v] = (tile_row - image[v] * tiles_y) * TILE_H;
    }
    // Everyone has read the last tile.
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int o = item / STAGE_LANES; o < O_TILE; o += MATRIX_ITEMS / STAGE_LANES) {
      channel from, shifted;
      int there = o_begin + o < z_used;
      ulong plane = (ulong)out_height * out_width, jump = (ulong)(image[VALUES - 1] - image[0]) * z_channels * plane;
      if (there) channel_find(&from, Z_MODE, z, z_table, z_aux, image[0], z_first + o_begin + o, z_channels, plane);
      for (int i = 0; i < TILE_H; i++) {
        float value[2] = {0.0f, 0.0f};
#pragma unroll
        for (int v = 0; v < VALUES; v++)
          if (there && tile + v < last) {
            channel_shift(&shifted, &from, v * jump);
            value[v] = channel_element(Z_MODE, &shifted, z_first + o_begin + o, tile_y[v] + i, tile_x[v] + stage_lane,
                                       out_height, out_width);
          }
        uint2 words = to_words(value[0], value[1]);
        z_stage[o * Z_PLANE + i * TILE_W + stage_lane] = words.s0;
        if (PARTS == 2) z_stage[(O_TILE + o) * Z_PLANE + i * TILE_W + stage_lane] = words.s1;
      }
    }
    for (int c = item / STAGE_LANES; c < C_TILE; c += MATRIX_ITEMS / STAGE_LANES) {
      channel from, shifted;
      int there = c_begin + c < in_channels;
      ulong jump = 0;
      if (there) {
        X_FIND(from, image[0], c_begin + c)
        jump = (ulong)(image[VALUES - 1] - image[0]) * X_CHANNELS(from) * ((ulong)in_height * in_width);
      }
      for (int e = stage_lane; e < PATCH_H * PATCH_W; e += STAGE_LANES) {
        int i = e / PATCH_W, j = e - i * PATCH_W;
        float value[2] = {0.0f, 0.0f};
#pragma unroll
        for (int v = 0; v < VALUES; v++)
          if (there && tile + v < last) {
            channel_shift(&shifted, &from, v * jump);
            value[v] = X_ELEMENT(shifted, c_begin + c, tile_y[v] - pad_y + p * DILATION + i,
                                 tile_x[v] - pad_x + q * DILATION + j);
          }
        uint2 words = to_words(value[0], value[1]);
        x_stage[c * X_PLANE + e] = words.s0;
        if (PARTS == 2) x_stage[(C_TILE + c) * X_PLANE + e] = words.s1;
      }
    }
    barrier(CLK_LOCAL_MEM_FENCE);

#pragma unroll 1
    for (int row = 0; row < TILE_H; row += SHARES) {
      int i = row + share;
#pragma unroll 1
      for (int j = 0; j < TILE_W; j += 8) {
        matrix_a dz[M_TILES][PARTS];
#pragma unroll
        for (int m = 0; m < M_TILES; m++)
#pragma unroll
          for (int part = 0; part < PARTS; part++) {
            const __local uint *at = z_from + (part * O_TILE + 16 * m) * Z_PLANE + i * TILE_W + j;
            uint words[A_COUNT];
#pragma unroll
            for (int r = 0; r < A_COUNT; r++) words[r] = at[A_ROW(0, r) * Z_PLANE + A_WORD(0, r)];
            dz[m][part] = A_OF(words);
          }
#pragma unroll UNROLL
        for (int n = 0; n < N_TILES; n++)
#pragma unroll UNROLL
          for (int t = 0; t < WINDOW * WINDOW; t++) {
            int a = t / WINDOW, b = t - a * WINDOW;
            matrix_b x[PARTS];
#pragma unroll
            for (int part = 0; part < PARTS; part++) {
              const __local uint *at =
                  x_from + (part * C_TILE + COLUMNS * n) * X_PLANE + (i + a * DILATION) * PATCH_W + j + b * DILATION;
              uint words[B_COUNT];
#pragma unroll
              for (int r = 0; r < B_COUNT; r++) words[r] = at[B_WORD(0, r)];
              x[part] = B_OF(words);
            }
#pragma unroll UNROLL
            for (int m = 0; m < M_TILES; m++) MATRIX_ADD(sums[n][t][m], dz[m], x)
          }
      }
    }
  }

#pragma unroll UNROLL
  for (int n = 0; n < N_TILES; n++) {
#pragma unroll UNROLL
    for (int t = 0; t < WINDOW * WINDOW; t++) {
      int a = t / WINDOW, tap = (p + a) * K + q + t - a * WINDOW;
#pragma unroll UNROLL
      for (int m = 0; m < M_TILES; m++) {
        float sum[C_COUNT] = C_LIST(sums[n][t][m]);
#pragma unroll
        for (int i = 0; i < C_COUNT; i++) {
          int o = o_begin + 16 * m + C_ROW(lane, i), c = c_begin + c_warp * C_WARP + COLUMNS * n + C_COLUMN(lane, i);
          if (o < z_used && c < in_channels)
            partial[(((ulong)(slice * SHARES + share) * z_used + o) * in_channels + c) * TAPS + tap] = sum[i];
        }
      }
    }
  }
}
