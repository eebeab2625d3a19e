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
// Macros: those of conv2d_gpu.clh and matrix.clh; Z_MODE view of dz; M_TILES, N_TILES, C_WARPS; TILE_H, a
// multiple of SHARES; Z_RUN 4 where rows of dz are a multiple of four numbers and next to one another, so that an item loads four at a
// time, else 1; ON_THE_WAY elements that an item asks for at a time, at most.
// z_fours: [part][output channel][pixel]; x_stage: [part][input channel][row][column].
// LINT: -DX1_MODE=2 -DZ_MODE=4
// LINT: -DX0_MODE=10 -DX1_MODE=0 -DZ_MODE=12
// LINT: -DX0_MODE=10 -DX1_MODE=8 -DZ_MODE=28
// LINT: -DZ_MODE=12 -DZ_RUN=4 -DELEMENT=1
// LINT: -DZ_MODE=28 -DZ_RUN=4
// LINT: -DK=1 -DX0_MODE=5 -DZ_MODE=2 -DN_TILES=4 -DELEMENT=1
// LINT: -DK=5 -DWINDOW=1 -DPARTS=2 -DC_WARPS=2
// LINT: -DMATRIX=1 -DZ_MODE=4 -DPARTS=2 -target nvptx64
// LINT: -DMATRIX=1 -DX1_MODE=2 -DELEMENT=1 -DLDMATRIX=1 -target nvptx64
// LINT: -DLDMATRIX=1
// LINT: -DLAYOUT=2 -DZ_MODE=4 -DELEMENT=2
// LINT: -DLAYOUT=4 -DZ_MODE=4 -DM_TILES=2 -DELEMENT=1
// LINT: -DLAYOUT=3 -DZ_MODE=4 -DWINDOW=1 -DPARTS=2
// LINT: -DMATRIX=3 -DX1_MODE=2 -DWINDOW=1 -DELEMENT=1 -target spir64
#include "conv2d_gpu.clh"
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
#ifndef Z_RUN
#define Z_RUN 1
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
// Elements of a tile's channel that an item stages, and channels that a warp asks for at a time: what is on its way takes registers
// beside the sums.
#define Z_RUNS (PIXELS / Z_RUN)
#define Z_PLACES ((Z_RUNS + MATRIX_LANES - 1) / MATRIX_LANES)
// Channels of dz whose runs a warp's items take side by side.
#define Z_BESIDE (Z_RUNS < MATRIX_LANES ? MATRIX_LANES / Z_RUNS : 1)
#define Z_TURNS ((O_TILE / 4 + Z_BESIDE - 1) / Z_BESIDE)
#define X_PLACES ((PATCH_H * PATCH_W + MATRIX_LANES - 1) / MATRIX_LANES)
#ifndef ON_THE_WAY
#define ON_THE_WAY 24
#endif
#define CHANNELS_AT_ONCE(loads, channels)             \
  (8 * (loads) <= ON_THE_WAY && (channels) % 8 == 0   ? 8 \
   : 4 * (loads) <= ON_THE_WAY && (channels) % 4 == 0 ? 4 \
   : 2 * (loads) <= ON_THE_WAY && (channels) % 2 == 0 ? 2 \
                                                      : 1)
#define Z_AT_ONCE CHANNELS_AT_ONCE(VALUES *Z_PLACES *Z_RUN *(VIEW_OF_MODE(Z_MODE) >= VIEW_NORMALIZED_GRADIENT ? 2 : 1), Z_TURNS)
#define X_AT_ONCE CHANNELS_AT_ONCE(VALUES *X_PLACES, C_TILE / 4)

__attribute__((reqd_work_group_size(MATRIX_ITEMS, 1, 1))) MATRIX_SUB_GROUP
__kernel void conv2d_matrix_weight_gradient(
    __global float *restrict partial, const __global float *restrict z, const __global float *restrict z_table,
    const __global float *restrict z_aux, const __global float *restrict x0, const __global float *restrict x0_table,
    const __global float *restrict x0_aux, const __global float *restrict x1, const __global float *restrict x1_table,
    const __global float *restrict x1_aux, int z_first, int z_used, int z_channels, int x0_first, int x0_used,
    int x0_channels, int x1_channels, int in_height, int in_width, int out_height, int out_width, int pad_y, int pad_x,
    int tiles, int slices, int o_groups, int c_groups, __local uint4 *restrict z_fours, __local uint *restrict x_stage) {
  MATRIX_MEMORY
  int item = get_local_id(0), lane = item & (MATRIX_LANES - 1), warp = item / MATRIX_LANES;
  int c_warp = warp & (C_WARPS - 1), share = warp / C_WARPS;
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

  __local uint *z_stage = (__local uint *)z_fours;
  int z_from = A_FROM(lane, Z_PLANE);
  int z_lane = Z_BESIDE > 1 ? lane & (Z_RUNS - 1) : lane, z_beside = Z_BESIDE > 1 ? lane / Z_RUNS : 0;
  const __local uint *x_from = x_stage + (c_warp * C_WARP + B_COLUMN(lane)) * X_PLANE + B_WORD(lane, 0);

  for (int tile = first; tile < last; tile += VALUES) {
    // The tiles of a word's numbers, and an item's elements of them; beyond the slice's last there is none.
    int image[VALUES], z_places[VALUES][Z_PLACES], x_places[VALUES][X_PLACES];
#pragma unroll UNROLL
    for (int v = 0; v < VALUES; v++) {
      int at = min(tile + v, last - 1), there = tile + v < last;
      int tile_row = at / tiles_x;
      image[v] = tile_row / tiles_y;
      int tile_x = (at - tile_row * tiles_x) * TILE_W, tile_y = (tile_row - image[v] * tiles_y) * TILE_H;
#pragma unroll UNROLL
      for (int k = 0; k < Z_PLACES; k++) {
        int e = (z_lane + k * MATRIX_LANES) * Z_RUN;
        z_places[v][k] = there ? channel_place(Z_MODE, tile_y + e / TILE_W, tile_x + e % TILE_W, out_height, out_width) : -1;
      }
#pragma unroll UNROLL
      for (int k = 0; k < X_PLACES; k++) {
        int e = lane + k * MATRIX_LANES, i = e / PATCH_W, j = e - i * PATCH_W;
        x_places[v][k] =
            there ? X_PLACE(tile_y - pad_y + p * DILATION + i, tile_x - pad_x + q * DILATION + j) : -1;
      }
    }
    // Everyone has read the last tile.
    barrier(CLK_LOCAL_MEM_FENCE);
    ulong z_plane = (ulong)out_height * out_width, x_plane = (ulong)in_height * in_width;
#pragma unroll 1
    for (int turn = 0; turn < Z_TURNS; turn += Z_AT_ONCE) {
      channel from[Z_AT_ONCE];
      float data[Z_AT_ONCE][VALUES][Z_PLACES][Z_RUN], aux[Z_AT_ONCE][VALUES][Z_PLACES][Z_RUN];
#pragma unroll UNROLL
      for (int m = 0; m < Z_AT_ONCE; m++) {
        // Beyond the last channel the last is read: those sums are not written.
        int c = min(o_begin + warp + 4 * ((turn + m) * Z_BESIDE + z_beside), z_used - 1);
        channel_find(&from[m], Z_MODE, z, z_table, z_aux, image[0], z_first + c, z_channels, z_plane, out_width);
#pragma unroll UNROLL
        for (int v = 0; v < VALUES; v++) {
          ulong beyond = (ulong)(image[v] - image[0]) * z_channels * z_plane;
#pragma unroll UNROLL
          for (int k = 0; k < Z_PLACES; k++) {
#if Z_RUN == 4
            channel_data4(Z_MODE, &from[m], z_places[v][k], beyond, data[m][v][k]);
            channel_aux4(Z_MODE, &from[m], z_places[v][k], beyond, aux[m][v][k]);
#else
            data[m][v][k][0] = channel_data(Z_MODE, &from[m], z_places[v][k], beyond);
            aux[m][v][k][0] = channel_aux(Z_MODE, &from[m], z_places[v][k], beyond);
#endif
          }
        }
      }
#pragma unroll UNROLL
      for (int m = 0; m < Z_AT_ONCE; m++) {
        int o = warp + 4 * ((turn + m) * Z_BESIDE + z_beside);
#pragma unroll UNROLL
        for (int k = 0; k < Z_PLACES; k++) {
          int e = (z_lane + k * MATRIX_LANES) * Z_RUN;
          uint words[2][Z_RUN];
#pragma unroll UNROLL
          for (int l = 0; l < Z_RUN; l++) {
            float value[VALUES];
#pragma unroll UNROLL
            for (int v = 0; v < VALUES; v++) {
              value[v] = view1(Z_MODE, from[m].view, data[m][v][k][l], aux[m][v][k][l]);
              if (z_places[v][k] < 0) value[v] = 0.0f;
            }
            uint2 both = to_words(value[0], value[VALUES - 1]);
            words[0][l] = both.s0, words[1][l] = both.s1;
          }
          // Beyond a group's last channel, and a tile's last pixel, there are items without work.
          if (e < PIXELS && o < O_TILE) {
#pragma unroll
            for (int part = 0; part < PARTS; part++) {
              __local uint *to = z_stage + (part * O_TILE + o) * Z_PLANE + e;
#if Z_RUN == 4 && APART % 4 == 0
              *(__local uint4 *)to = (uint4)(words[part][0], words[part][1], words[part][2], words[part][3]);
#else
#pragma unroll
              for (int l = 0; l < Z_RUN; l++) to[l] = words[part][l];
#endif
            }
          }
        }
      }
    }
#pragma unroll 1
    for (int c_first = warp; c_first < C_TILE; c_first += 4 * X_AT_ONCE) {
      channel from[X_AT_ONCE];
      float data[X_AT_ONCE][VALUES][X_PLACES], aux[X_AT_ONCE][VALUES][X_PLACES];
#pragma unroll UNROLL
      for (int m = 0; m < X_AT_ONCE; m++) {
        int c = min(c_begin + c_first + 4 * m, in_channels - 1);
        X_FIND(from[m], image[0], c)
#pragma unroll UNROLL
        for (int v = 0; v < VALUES; v++) {
          ulong beyond = (ulong)(image[v] - image[0]) * X_CHANNELS(c) * x_plane;
#pragma unroll UNROLL
          for (int k = 0; k < X_PLACES; k++) {
            data[m][v][k] = X_DATA(from[m], c, x_places[v][k], beyond);
            aux[m][v][k] = X_AUX(from[m], c, x_places[v][k], beyond);
          }
        }
      }
#pragma unroll UNROLL
      for (int m = 0; m < X_AT_ONCE; m++) {
        int c = c_begin + c_first + 4 * m;
#pragma unroll UNROLL
        for (int k = 0; k < X_PLACES; k++) {
          int e = lane + k * MATRIX_LANES;
          float value[VALUES];
#pragma unroll UNROLL
          for (int v = 0; v < VALUES; v++) {
            value[v] = X_VIEW(from[m], c, data[m][v][k], aux[m][v][k]);
            if (x_places[v][k] < 0) value[v] = 0.0f;
          }
          uint2 words = to_words(value[0], value[VALUES - 1]);
          __local uint *to = x_stage + (c_first + 4 * m) * X_PLANE + e;
          if (e < PATCH_H * PATCH_W) {
            to[0] = words.s0;
            if (PARTS == 2) to[C_TILE * X_PLANE] = words.s1;
          }
        }
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
          for (int part = 0; part < PARTS; part++)
            A_LOAD(dz[m][part], z_stage, z_from + (part * O_TILE + 16 * m) * Z_PLANE + i * TILE_W + j, Z_PLANE)
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
