// 2-D convolution, stride 1, for GPUs: the implicit matrix product of weights and patches, with sums in registers.
//
// conv2d_gpu_tile: the same as conv2d_tile of conv2d.cl: forward, input gradient (gathered) and transposed convolution,
//   sources and target as there.
// A work-group of ITEMS items takes TILE_H x TILE_W outputs of O_TILE output channels; an item ITEM_O channels of eight
// neighbouring columns. For `chunk` input channels at a time the group stages the patch under the tile with its halo,
// through the operand's view, and the weights; then each item loads a row of 8 + HALO inputs for each kernel row and slides
// the taps over it in registers. Sums stay in registers over all input channels: each element of y is written once.
//
// Items side by side hold the tile's segments of eight columns, and share weights; so an odd PITCH puts a step's inputs in as
// many banks of local memory. Groups side by side hold the output channels of one tile, and share its inputs.
//
// Macros: those of conv2d_gpu.clh; ITEM_O output channels of an item, 4 or 8; O_TILE of a work-group; TILE_W columns, a multiple of 8; STORE_DEPTH as in conv2d.cl.
// Y_STORED: how y is stored (storage.clh); other than 0 only where nothing is added.
// packed: conv2d_pack.cl's, with O_TILE channels a block; aligned to 16 bytes, as is y.
// LINT: -DX1_MODE=2
// LINT: -DX0_MODE=10 -DX1_MODE=8 -DY_STORED=1
// LINT: -DX0_MODE=28 -DX1_MODE=-1 -DY_STORED=2
// LINT: -DX0_MODE=4 -DITEM_O=4 -DO_TILE=16 -DTILE_W=32 -DDILATION=4
// LINT: -DK=1 -DX0_MODE=5 -DSTORE_DEPTH=1
// LINT: -DDILATION=9 -DWINDOW=1
#include "conv2d_gpu.clh"
#ifndef ITEM_O
#define ITEM_O 8
#endif
#ifndef O_TILE
#define O_TILE 64
#endif
#ifndef STORE_DEPTH
#define STORE_DEPTH 0
#endif
#ifndef Y_STORED
#define Y_STORED 0
#endif
#ifndef TILE_W
#define TILE_W 16
#endif

#define ITEMS 128
// Segments of eight columns, in the tile and in one of its rows.
#define SEGMENTS (ITEMS * ITEM_O / O_TILE)
#define ACROSS (TILE_W / 8)
#define TILE_H (SEGMENTS / ACROSS)
#define PATCH_H (TILE_H + HALO)
#define PATCH_W (TILE_W + HALO)
#define PITCH (PATCH_W | 1)
#define STAGE_LANES 32
// Elements of a patch's channel that an item stages, and how many of them it asks for at a time.
#define PLACES ((PATCH_H * PATCH_W + STAGE_LANES - 1) / STAGE_LANES)
#define AT_ONCE (PLACES <= 12 ? PLACES : 8)
// Vectors of four weights that a tap has.
#define O_VECTORS (O_TILE / 4)

__attribute__((reqd_work_group_size(ITEMS, 1, 1)))
__kernel void conv2d_gpu_tile(__global float *restrict y, const __global float *restrict x0,
                              const __global float *restrict x0_table, const __global float *restrict x0_aux,
                              const __global float *restrict x1, const __global float *restrict x1_table,
                              const __global float *restrict x1_aux, const __global float *restrict packed,
                              const __global float *restrict bias, int bias_first, int bias_per, int x0_first,
                              int x0_used, int x0_channels, int x1_channels, int in_height, int in_width, int y_first,
                              int y_channels, int out_channels, int out_height, int out_width, int pad_y, int pad_x,
                              int groups, int chunk, int accumulate, __local float *restrict patch,
                              __local float4 *restrict weights) {
  int lane = get_local_id(0);
  int block = lane / SEGMENTS, segment = lane - block * SEGMENTS;
  int row = segment / ACROSS, column = (segment - row * ACROSS) * 8;
  int tiles_x = (out_width + TILE_W - 1) / TILE_W, tiles_y = (out_height + TILE_H - 1) / TILE_H;
  int tile = (int)(get_group_id(0) / groups), group = (int)(get_group_id(0) - (ulong)tile * groups);
  int tile_row = tile / tiles_x, n = tile_row / tiles_y;
  int tile_x = (tile - tile_row * tiles_x) * TILE_W, tile_y = (tile_row - n * tiles_y) * TILE_H;
  int in_channels = x0_used + (X1_MODE >= 0 ? x1_channels : 0);
  int o_first = group * O_TILE + block * ITEM_O;

  float8 sums[ITEM_O];
#pragma unroll
  for (int b = 0; b < ITEM_O; b++)
    sums[b] = (float8)(bias_per > 0 && o_first + b < out_channels ? bias[bias_first + (o_first + b) / bias_per] : 0.0f);

  const __global float4 *from = (const __global float4 *)packed + (ulong)group * in_channels * TAPS * O_VECTORS;
  for (int c_begin = 0; c_begin < in_channels; c_begin += chunk) {
    int c_count = min(chunk, in_channels - c_begin);
    for (int p = 0; p < K; p += WINDOW) {
      for (int q = 0; q < K; q += WINDOW) {
        // Everyone has read the last patch.
        barrier(CLK_LOCAL_MEM_FENCE);
        int y_begin = tile_y - pad_y + p * DILATION, x_begin = tile_x - pad_x + q * DILATION;
#pragma unroll 1
        for (int k_begin = 0; k_begin < PLACES; k_begin += AT_ONCE) {
          // Where the elements are, in a plane and in the patch.
          int places[AT_ONCE], at[AT_ONCE];
#pragma unroll STAGE_UNROLL
          for (int k = 0; k < AT_ONCE; k++) {
            int e = (lane & (STAGE_LANES - 1)) + (k_begin + k) * STAGE_LANES, i = e / PATCH_W, j = e - i * PATCH_W;
            places[k] = X_PLACE(y_begin + i, x_begin + j);
            at[k] = e < PATCH_H * PATCH_W ? i * PITCH + j : -1;
          }
#pragma unroll 1
          for (int c = lane / STAGE_LANES; c < c_count; c += ITEMS / STAGE_LANES) {
            channel from;
            float data[AT_ONCE], aux[AT_ONCE];
            X_FIND(from, n, c_begin + c)
#pragma unroll STAGE_UNROLL
            for (int k = 0; k < AT_ONCE; k++) {
              data[k] = X_DATA(from, c_begin + c, places[k], 0);
              aux[k] = X_AUX(from, c_begin + c, places[k], 0);
            }
#pragma unroll STAGE_UNROLL
            for (int k = 0; k < AT_ONCE; k++) {
              float v = X_VIEW(from, c_begin + c, data[k], aux[k]);
              if (at[k] >= 0) patch[c * PATCH_H * PITCH + at[k]] = places[k] < 0 ? 0.0f : v;
            }
          }
        }
        for (int e = lane; e < c_count * WINDOW * WINDOW * O_VECTORS; e += ITEMS) {
#if WINDOW == K
          weights[e] = from[(ulong)c_begin * TAPS * O_VECTORS + e];
#else
          int c = e / O_VECTORS;
          weights[e] = from[((ulong)(c_begin + c) * TAPS + p * K + q) * O_VECTORS + e - c * O_VECTORS];
#endif
        }
        barrier(CLK_LOCAL_MEM_FENCE);

        const __local float *in = patch + row * PITCH + column;
        const __local float4 *w = weights + block * (ITEM_O / 4);
        for (int c = 0; c < c_count; c++) {
#pragma unroll 1
          for (int i = 0; i < WINDOW; i++) {
            float u[8 + HALO];
#pragma unroll
            for (int l = 0; l < 8 + HALO; l++) u[l] = in[i * DILATION * PITCH + l];
#pragma unroll
            for (int j = 0; j < WINDOW; j++) {
              float8 v = (float8)(u[j * DILATION], u[j * DILATION + 1], u[j * DILATION + 2], u[j * DILATION + 3],
                                  u[j * DILATION + 4], u[j * DILATION + 5], u[j * DILATION + 6], u[j * DILATION + 7]);
#define TAP(b, weight) sums[b] = fma(v, (float8)(weight), sums[b]);
              float4 a = w[(i * WINDOW + j) * O_VECTORS];
              TAP(0, a.s0) TAP(1, a.s1) TAP(2, a.s2) TAP(3, a.s3)
#if ITEM_O == 8
              a = w[(i * WINDOW + j) * O_VECTORS + 1];
              TAP(4, a.s0) TAP(5, a.s1) TAP(6, a.s2) TAP(7, a.s3)
#endif
#undef TAP
            }
          }
          in += PATCH_H * PITCH;
          w += WINDOW * WINDOW * O_VECTORS;
        }
      }
    }
  }

  int y_row = tile_y + row, y_column = tile_x + column, count = min(8, out_width - y_column);
  if (y_row >= out_height || count <= 0) return;
  ulong y_plane = (ulong)out_height * out_width;
#if STORE_DEPTH
  // Output channel 4d + 2a + e goes to column 2j + e of row 2i + a of channel d: two channels are neighbours.
#pragma unroll
  for (int b = 0; b < ITEM_O; b += 2) {
    int o = o_first + b;
    float even[8], odd[8];
    vstore8(sums[b], 0, even);
    vstore8(sums[b + 1], 0, odd);
    ulong to = ((ulong)n * (y_channels / 4) + o / 4) * 4 * y_plane + (ulong)(2 * y_row + ((o >> 1) & 1)) * 2 * out_width +
               2 * y_column;
#pragma unroll
    for (int l = 0; l < 8; l++) {
      float2 v = (float2)(even[l], odd[l]);
      if (o < out_channels && l < count) put2(Y_STORED, y, to + 2 * l, !Y_STORED && accumulate ? vload2(0, y + to + 2 * l) + v : v);
    }
  }
#else
#pragma unroll
  for (int b = 0; b < ITEM_O; b++) {
    if (o_first + b >= out_channels) continue;
    ulong to = ((ulong)n * y_channels + y_first + o_first + b) * y_plane + (ulong)y_row * out_width + y_column;
    // Rows of a multiple of four columns are aligned, and so is a segment's half.
    if (SHUFFLES && (out_width & 3) == 0) {
      put4(Y_STORED, y, to, !Y_STORED && accumulate ? element4(0, y, to) + sums[b].lo : sums[b].lo);
      if (count > 4) put4(Y_STORED, y, to + 4, !Y_STORED && accumulate ? element4(0, y, to + 4) + sums[b].hi : sums[b].hi);
    } else {
      float lanes[8];
      vstore8(sums[b], 0, lanes);
#pragma unroll
      for (int l = 0; l < 8; l++)
        if (l < count) put1(Y_STORED, y, to + l, !Y_STORED && accumulate ? y[to + l] + lanes[l] : lanes[l]);
    }
  }
#endif
}
