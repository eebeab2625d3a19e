// The gradient of conv2d with respect to its weights, for GPUs: see conv2d_weight_gradient.cl for the formula.
//
// conv2d_gpu_weight_gradient: a work-group takes O_TILE output channels, C_LANES * ITEM_C input channels, a window of taps
//   and a slice of all tiles. It stages dz and the patch of x of a tile of TILE_H x TILE_W pixels, through their views; an
//   item keeps the sums of ITEM_O output channels x ITEM_C input channels x the window's taps in registers, over all of
//   its slice. partial is [slice][output channel][input channel][tap].
// conv2d_gpu_reduce: dw[i] = the sum over slices, in a fixed order, of partial[slice][i]; accumulate 1 adds to dw. A group takes
//   16 elements, and 16 items one of them: a convolution of few weights has thousands of slices. No atomics.
//
// Items side by side hold different input channels and share dz; an odd X_PLANE puts their inputs in as many banks of local
// memory. dz is staged with channels innermost, so that an item loads its own as vectors.
//
// Macros: those of conv2d_gpu.clh; ITEM_O output channels of an item, 4 or 8; O_TILE of a work-group; Z_MODE view of dz; C_LANES input channels side by side; ITEM_C; TILE_H.
// LINT: -DX1_MODE=2 -DZ_MODE=4
// LINT: -DX0_MODE=10 -DX1_MODE=0 -DZ_MODE=12
// LINT: -DX0_MODE=10 -DX1_MODE=8 -DZ_MODE=28
// LINT: -DK=1 -DX0_MODE=5 -DZ_MODE=2 -DITEM_C=4 -DITEM_O=4 -DO_TILE=8
// LINT: -DDILATION=4 -DTILE_H=2 -DC_LANES=32 -DO_TILE=32
// LINT: -DK=5 -DWINDOW=1
#include "conv2d_gpu.clh"
#ifndef ITEM_O
#define ITEM_O 8
#endif
#ifndef O_TILE
#define O_TILE 64
#endif
#ifndef Z_MODE
#define Z_MODE VIEW_PLAIN
#endif
#ifndef C_LANES
#define C_LANES 16
#endif
#ifndef ITEM_C
#define ITEM_C 1
#endif
#ifndef TILE_H
#define TILE_H 4
#endif

#define TILE_W 16
#define ITEMS (O_TILE / ITEM_O * C_LANES)
#define C_TILE (C_LANES * ITEM_C)
#define PIXELS (TILE_H * TILE_W)
#define PATCH_H (TILE_H + HALO)
#define PATCH_W (TILE_W + HALO)
#define PITCH (PATCH_W | 1)
#define X_PLANE ((PATCH_H * PITCH) | 1)
// Vectors of four channels of a pixel of dz, and their distance: one more keeps pixels off one bank.
#define Z_VECTORS (O_TILE / 4)
#define Z_STEP (Z_VECTORS + 1)

// Items that stage together: of dz four channels of some pixels, so that their places are in as many banks; of x one channel. An
// item's elements of them.
#define STAGE_LANES (ITEMS < 32 ? ITEMS : 32)
#define STAGE_PIXELS (STAGE_LANES / 4)
#define Z_PLACES (PIXELS / STAGE_PIXELS)
#define X_PLACES ((PATCH_H * PATCH_W + STAGE_LANES - 1) / STAGE_LANES)
// How many of them it asks for at a time.
#define Z_AT_ONCE (Z_PLACES <= 8 ? Z_PLACES : 8)
#define X_AT_ONCE (X_PLACES <= 12 ? X_PLACES : 8)

typedef PASTE(float, ITEM_O) outputs;

__attribute__((reqd_work_group_size(ITEMS, 1, 1)))
__kernel void conv2d_gpu_weight_gradient(
    __global float *restrict partial, const __global float *restrict z, const __global float *restrict z_table,
    const __global float *restrict z_aux, const __global float *restrict x0, const __global float *restrict x0_table,
    const __global float *restrict x0_aux, const __global float *restrict x1, const __global float *restrict x1_table,
    const __global float *restrict x1_aux, int z_first, int z_used, int z_channels, int x0_first, int x0_used,
    int x0_channels, int x1_channels, int in_height, int in_width, int out_height, int out_width, int pad_y, int pad_x,
    int tiles, int slices, int o_groups, int c_groups, __local float4 *restrict z_stage,
    __local float *restrict x_stage) {
  int lane = get_local_id(0);
  int block = lane / C_LANES, c_lane = lane - block * C_LANES;
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

  outputs sums[ITEM_C][WINDOW * WINDOW];
#pragma unroll
  for (int c = 0; c < ITEM_C; c++)
#pragma unroll
    for (int t = 0; t < WINDOW * WINDOW; t++) sums[c][t] = (outputs)0.0f;

  for (int tile = first; tile < last; tile++) {
    int tile_row = tile / tiles_x, n = tile_row / tiles_y;
    int tile_x = (tile - tile_row * tiles_x) * TILE_W, tile_y = (tile_row - n * tiles_y) * TILE_H;
    // Everyone has read the last tile.
    barrier(CLK_LOCAL_MEM_FENCE);
    int stage_lane = lane & (STAGE_LANES - 1), unit = lane / STAGE_LANES;
#pragma unroll 1
    for (int k_begin = 0; k_begin < Z_PLACES; k_begin += Z_AT_ONCE) {
      int places[Z_AT_ONCE];
#pragma unroll STAGE_UNROLL
      for (int k = 0; k < Z_AT_ONCE; k++) {
        int pixel = stage_lane / 4 + (k_begin + k) * STAGE_PIXELS, i = pixel / TILE_W, j = pixel - i * TILE_W;
        places[k] = channel_place(Z_MODE, tile_y + i, tile_x + j, out_height, out_width);
      }
#pragma unroll 1
      for (int o = 4 * unit + (stage_lane & 3); o < O_TILE; o += 4 * (ITEMS / STAGE_LANES)) {
        channel from;
        float data[Z_AT_ONCE], aux[Z_AT_ONCE];
        // Beyond the last channel the last is read: those sums are not written.
        channel_find(&from, Z_MODE, z, z_table, z_aux, n, z_first + min(o_begin + o, z_used - 1), z_channels,
                     (ulong)out_height * out_width, out_width);
#pragma unroll STAGE_UNROLL
        for (int k = 0; k < Z_AT_ONCE; k++) {
          data[k] = channel_data(Z_MODE, &from, places[k], 0);
          aux[k] = channel_aux(Z_MODE, &from, places[k], 0);
        }
#pragma unroll STAGE_UNROLL
        for (int k = 0; k < Z_AT_ONCE; k++) {
          int pixel = stage_lane / 4 + (k_begin + k) * STAGE_PIXELS;
          float v = view1(Z_MODE, from.view, data[k], aux[k]);
          ((__local float *)z_stage)[pixel * Z_STEP * 4 + o] = places[k] < 0 ? 0.0f : v;
        }
      }
    }
    int y_begin = tile_y - pad_y + p * DILATION, x_begin = tile_x - pad_x + q * DILATION;
#pragma unroll 1
    for (int k_begin = 0; k_begin < X_PLACES; k_begin += X_AT_ONCE) {
      // Where the elements are, in a plane and in the patch.
      int places[X_AT_ONCE], at[X_AT_ONCE];
#pragma unroll STAGE_UNROLL
      for (int k = 0; k < X_AT_ONCE; k++) {
        int e = stage_lane + (k_begin + k) * STAGE_LANES, i = e / PATCH_W, j = e - i * PATCH_W;
        places[k] = X_PLACE(y_begin + i, x_begin + j);
        at[k] = e < PATCH_H * PATCH_W ? i * PITCH + j : -1;
      }
#pragma unroll 1
      for (int c = unit; c < C_TILE; c += ITEMS / STAGE_LANES) {
        channel from;
        float data[X_AT_ONCE], aux[X_AT_ONCE];
        int channel_read = min(c_begin + c, in_channels - 1);
        X_FIND(from, n, channel_read)
#pragma unroll STAGE_UNROLL
        for (int k = 0; k < X_AT_ONCE; k++) {
          data[k] = X_DATA(from, channel_read, places[k], 0);
          aux[k] = X_AUX(from, channel_read, places[k], 0);
        }
#pragma unroll STAGE_UNROLL
        for (int k = 0; k < X_AT_ONCE; k++) {
          float v = X_VIEW(from, channel_read, data[k], aux[k]);
          if (at[k] >= 0) x_stage[c * X_PLANE + at[k]] = places[k] < 0 ? 0.0f : v;
        }
      }
    }
    barrier(CLK_LOCAL_MEM_FENCE);

#pragma unroll 1
    for (int eight = 0; eight < PIXELS / 8; eight++) {
      int i = eight / (TILE_W / 8), begin = (eight - i * (TILE_W / 8)) * 8;
      const __local float4 *zi = z_stage + eight * 8 * Z_STEP + block * (ITEM_O / 4);
      const __local float *xi = x_stage + c_lane * X_PLANE + i * PITCH + begin;
      // Unrolled, so that the sliding window of inputs is in registers.
      float u[ITEM_C][WINDOW][8 + HALO];
#pragma unroll
      for (int c = 0; c < ITEM_C; c++)
#pragma unroll
        for (int a = 0; a < WINDOW; a++)
#pragma unroll
          for (int l = 0; l < HALO; l++) u[c][a][l] = xi[c * C_LANES * X_PLANE + a * DILATION * PITCH + l];
#pragma unroll
      for (int j = 0; j < 8; j++) {
#if ITEM_O == 4
        outputs v = zi[j * Z_STEP];
#elif SHUFFLES
        outputs v = (outputs)(zi[j * Z_STEP], zi[j * Z_STEP + 1]);
#else
        outputs v = vload8(0, (const __local float *)(zi + j * Z_STEP));
#endif
#pragma unroll
        for (int c = 0; c < ITEM_C; c++)
#pragma unroll
          for (int a = 0; a < WINDOW; a++) {
            u[c][a][j + HALO] = xi[c * C_LANES * X_PLANE + a * DILATION * PITCH + j + HALO];
#pragma unroll
            for (int b = 0; b < WINDOW; b++)
              sums[c][a * WINDOW + b] = fma(v, (outputs)u[c][a][j + b * DILATION], sums[c][a * WINDOW + b]);
          }
      }
    }
  }

#pragma unroll
  for (int c = 0; c < ITEM_C; c++) {
    int channel = c_begin + c * C_LANES + c_lane;
#pragma unroll
    for (int t = 0; t < WINDOW * WINDOW; t++) {
      int a = t / WINDOW, tap = (p + a) * K + q + t - a * WINDOW;
      float lanes[ITEM_O];
      PASTE(vstore, ITEM_O)(sums[c][t], 0, lanes);
#pragma unroll
      for (int b = 0; b < ITEM_O; b++) {
        int o = o_begin + block * ITEM_O + b;
        if (channel < in_channels && o < z_used)
          partial[(((ulong)slice * z_used + o) * in_channels + channel) * TAPS + tap] = lanes[b];
      }
    }
  }
}

__attribute__((reqd_work_group_size(256, 1, 1)))
__kernel void conv2d_gpu_reduce(__global float *restrict dw, const __global float *restrict partial, int first,
                                int count, int slices, int accumulate) {
  __local float sums[256];
  int item = get_local_id(0), i = get_group_id(0) * 16 + (item & 15), from = item >> 4;
  float sum = 0.0f;
  if (i < count)
    for (int s = from; s < slices; s += 16) sum += partial[(ulong)s * count + i];
  sums[item] = sum;
  barrier(CLK_LOCAL_MEM_FENCE);
  if (from > 0 || i >= count) return;
  for (int k = 1; k < 16; k++) sum += sums[16 * k + item];
  dw[first + i] = accumulate ? dw[first + i] + sum : sum;
}
