// 2-D convolution, stride 1, as register-tiled direct convolution over tiles staged in local memory.
//
// conv2d_tile: y[n,o,i,j] = bias[o] + sum over c,p,q of w[o,c,p,q] * x[n, c, i + p*DILATION - pad_y, j + q*DILATION - pad_x]
//   serves the forward pass, the gradient with respect to the input (weights packed transposed and flipped, pad
//   mirrored: it gathers, so no atomics) and the transposed 2x2 convolution (K = 1, DEPTH views).
// x is the concatenation over channels of one or two sources, each read through a view (prelude.clh).
// One work-item per (tile of tile_height x TILE_W outputs, image x group of output channels); work-group size 1. It stages
// `chunk` input channels with their halo, then slides the taps over them with 8 output channels x 2 rows x 16 columns
// in registers (4 x 1 x 16 where they hold less); partial sums over chunks wait in y. Writes (accumulate: adds to) each element of y exactly once.
//
// Macros: those of conv2d_stage.clh; X0_MODE, X1_MODE views of the sources (X1_MODE -1: one source); STORE_DEPTH 1 writes
//   output channel 4o + 2a + b to y[o, 2i + a, 2j + b]. bias_per: output channels per bias element (0: no bias);
//   accumulate 1 adds to y. Y_STORED: how y is stored (storage.clh); other than 0 only where nothing is added and one chunk has all channels.
// LINT: -DX1_MODE=2
// LINT: -DX0_MODE=10 -DX1_MODE=8 -DY_STORED=1
// LINT: -DX0_MODE=28 -DX1_MODE=-1 -DY_STORED=2
// LINT: -DDILATION=2 -DTILE_W=16
// LINT: -DK=1 -DX0_MODE=5 -DX1_MODE=-1 -DSTORE_DEPTH=1
// LINT: -DGATHER=1 -DDILATION=9 -DX0_MODE=4 -DX1_MODE=-1
// LINT: -DX0_MODE=2 -DVECTOR_FLOATS=8
// LINT: -DK=1 -DX0_MODE=5 -DSTORE_DEPTH=1 -DVECTOR_FLOATS=8
#include "conv2d_stage.clh"
#ifndef STORE_DEPTH
#define STORE_DEPTH 0
#endif
#ifndef Y_STORED
#define Y_STORED 0
#endif

// Output channels and rows whose sums are in registers at a time.
#if VECTOR_FLOATS == 8
#define SUM_CHANNELS 4
#define SUM_ROWS 1
#else
#define SUM_CHANNELS BLOCK
#define SUM_ROWS 2
#endif

// Writes, or adds, the first `count` lanes of v; all where count is 16 or more.
INLINE void store_row(__global float *y, ulong to, float16 v, int count, bool add) {
  if (count >= 16) {
    put16(Y_STORED, y, to, !Y_STORED && add ? vload16(0, y + to) + v : v);
  } else {
    float lanes[16];
    vstore16(v, 0, lanes);
    for (int l = 0; l < count; l++) put1(Y_STORED, y, to + l, !Y_STORED && add ? y[to + l] + lanes[l] : lanes[l]);
  }
}

__attribute__((reqd_work_group_size(1, 1, 1)))
__kernel void conv2d_tile(__global float *restrict y, const __global float *restrict x0,
                          const __global float *restrict x0_table, const __global float *restrict x0_aux,
                          const __global float *restrict x1, const __global float *restrict x1_table,
                          const __global float *restrict x1_aux, const __global float *restrict packed,
                          const __global float *restrict bias, int bias_first, int bias_per, int x0_first, int x0_used, int x0_channels,
                          int x1_channels, int in_height, int in_width, int y_first, int y_channels, int out_channels,
                          int out_height, int out_width, int pad_y, int pad_x, int group_channels, int groups,
                          int tile_height, int chunk, int accumulate,
                          __local float *restrict stage) {
  int tile_x = get_global_id(0) * TILE_W, tile_y = get_global_id(1) * tile_height;
  int n = (int)get_global_id(2) / groups, group = (int)get_global_id(2) - n * groups;
  int o_begin = group * group_channels, o_end = min(o_begin + group_channels, out_channels);
  int in_channels = x0_used + (X1_MODE >= 0 ? x1_channels : 0);
  int rows = min(tile_height, out_height - tile_y), columns = min(TILE_W, out_width - tile_x);
  int staged = stage_size(tile_height);
#if GATHER
  int tap_plane = tile_height * PITCH;
#endif
  ulong y_plane = (ulong)out_height * out_width;

  for (int c_begin = 0; c_begin < in_channels; c_begin += chunk) {
    int c_count = min(chunk, in_channels - c_begin);
    for (int i = 0; i < c_count; i++) {
      int c = c_begin + i;
      __local float *to = stage + i * staged;
      prefetch_channel(tile_height + HALO, columns + HALO, X0_MODE, x0, x0_aux, n, x0_first + c + 1, x0_channels,
                       tile_y - pad_y, tile_x - pad_x, in_height, in_width);
      if (X1_MODE < 0 || c < x0_used)
        stage_channel(to, tile_height, columns, X0_MODE, x0, x0_table, x0_aux, n, x0_first + c, x0_channels, tile_y - pad_y, tile_x - pad_x,
                      in_height, in_width);
      else
        stage_channel(to, tile_height, columns, X1_MODE, x1, x1_table, x1_aux, n, c - x0_used, x1_channels, tile_y - pad_y, tile_x - pad_x,
                      in_height, in_width);
    }

    for (int o = o_begin; o < o_end; o += SUM_CHANNELS) {
      const __global float *restrict w =
          packed + ((ulong)(o / BLOCK) * in_channels + c_begin) * TAPS * BLOCK + (o - o / BLOCK * BLOCK);
      for (int i = 0; i < rows; i += SUM_ROWS) {
        for (int j = 0; j < columns; j += 16) {
          float16 sums[SUM_CHANNELS][SUM_ROWS];
#pragma unroll
          for (int b = 0; b < SUM_CHANNELS; b++) {
            float start = bias_per > 0 && c_begin == 0 && o + b < o_end ? bias[bias_first + (o + b) / bias_per] : 0.0f;
#pragma unroll
            for (int r = 0; r < SUM_ROWS; r++) sums[b][r] = (float16)start;
          }
          const __local float *restrict in = stage + i * PITCH + j;
          const __global float *restrict wc = w;
          for (int c = 0; c < c_count; c++) {
#pragma unroll
            for (int p = 0; p < K; p++) {
#pragma unroll
              for (int q = 0; q < K; q++) {
                float16 u[SUM_ROWS];
#pragma unroll
                for (int r = 0; r < SUM_ROWS; r++) u[r] = vload16(0, in + TAP_OFFSET(p, q) + r * PITCH);
                const __global float *restrict wt = wc + (p * K + q) * BLOCK;
#pragma unroll
                for (int b = 0; b < SUM_CHANNELS; b++)
#pragma unroll
                  for (int r = 0; r < SUM_ROWS; r++) sums[b][r] = fma(u[r], (float16)wt[b], sums[b][r]);
              }
            }
            in += staged;
            wc += TAPS * BLOCK;
          }

          bool add = accumulate || c_begin > 0;
          int count = min(16, columns - j);
#if STORE_DEPTH
          // Output channel 4d + 2a + e goes to column 2j + e of row 2i + a of channel d: two channels make one row.
#pragma unroll
          for (int b = 0; b < SUM_CHANNELS; b += 2) {
            int channel = o + b;
            if (channel >= o_end) continue;
            ulong to = ((ulong)n * (y_channels / 4) + channel / 4) * 4 * y_plane +
                       (ulong)(2 * (tile_y + i) + ((channel >> 1) & 1)) * 2 * out_width + 2 * (tile_x + j);
            for (int r = 0; r < SUM_ROWS && i + r < rows; r++) {
              float16 first, second;
              zip16(&first, &second, sums[b][r], sums[b + 1][r]);
              store_row(y, to, first, 2 * count, add);
              if (count > 8) store_row(y, to + 16, second, 2 * count - 16, add);
              to += 4 * (ulong)out_width;
            }
          }
#else
#pragma unroll
          for (int b = 0; b < SUM_CHANNELS; b++) {
            if (o + b >= o_end) continue;
            ulong to = ((ulong)n * y_channels + y_first + o + b) * y_plane + (ulong)(tile_y + i) * out_width + tile_x + j;
#pragma unroll
            for (int r = 0; r < SUM_ROWS; r++)
              if (i + r < rows) store_row(y, to + (ulong)r * out_width, sums[b][r], count, add);
          }
#endif
        }
      }
    }
  }
}
