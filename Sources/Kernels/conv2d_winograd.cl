// 3x3 convolution, stride 1, dilation 1, by Winograd's minimal filtering F(2x2, 3x3): 16 products where the direct form
// needs 36. Lavin & Gray 2015, arXiv:1509.09308.
//
// conv2d_winograd_tile: the same as conv2d_tile of conv2d.cl, argument for argument, for K = 3, DILATION = 1. In squares of
//   2 x 2 outputs, y = A' (sum over c of U[o,c] * V[c]) A with V = B' d B of the 4 x 4 inputs d and U = G w G' from
//   conv2d_winograd_pack.cl. Sixteen squares side by side are the lanes of a vector.
// One work-item per (tile of tile_height x TILE_W outputs, image x group of output channels); work-group size 1. It stages
// one channel at a time through its view (raw), transforms it (stage: [pair of vectors][point][channel][2 x 16]), and, for
// each pair, point and 8 output channels, sums over `chunk` channels in registers (sums: [one of sum_channels][point][2 x 16]). Partial
// results over chunks wait in y, to which the inverse transform is linear.
//
// Macros: X0_MODE, X1_MODE, Y_STORED as in conv2d.cl.
// LINT: -DX1_MODE=2
// LINT: -DX0_MODE=10 -DX1_MODE=8 -DY_STORED=1
// LINT: -DX0_MODE=28 -DX1_MODE=-1 -DY_STORED=2
// LINT: -DX0_MODE=4
// LINT: -DX0_MODE=4 -DVECTOR_FLOATS=8
#include "conv2d_stage.clh"
#include "conv2d_winograd.clh"
#ifndef Y_STORED
#define Y_STORED 0
#endif

// Output channels and vectors of a pair whose sums are in registers at a time; so many parts are a pair and 8 output channels.
#if VECTOR_FLOATS == 8
#define SUM_CHANNELS 4
#define SUM_VECTORS 1
#else
#define SUM_CHANNELS BLOCK
#define SUM_VECTORS 2
#endif
#define PARTS (BLOCK / SUM_CHANNELS * (2 / SUM_VECTORS))

// The distance of output channels in sums: the odd 16 keep them off one cache set.
#define SUM_STEP (POINTS * 32 + 16)

__attribute__((reqd_work_group_size(1, 1, 1)))
__kernel void conv2d_winograd_tile(__global float *restrict y, const __global float *restrict x0,
                                   const __global float *restrict x0_table, const __global float *restrict x0_aux,
                                   const __global float *restrict x1, const __global float *restrict x1_table,
                                   const __global float *restrict x1_aux, const __global float *restrict packed,
                                   const __global float *restrict bias, int bias_first, int bias_per, int x0_first,
                                   int x0_used, int x0_channels, int x1_channels, int in_height, int in_width,
                                   int y_first, int y_channels, int out_channels, int out_height, int out_width,
                                   int pad_y, int pad_x, int group_channels, int groups, int tile_height, int chunk,
                                   int accumulate, int sum_channels, __local float *restrict raw,
                                   __local float *restrict stage, __local float *restrict sums) {
  int tile_x = get_global_id(0) * TILE_W, tile_y = get_global_id(1) * tile_height;
  int n = (int)get_global_id(2) / groups, group = (int)get_global_id(2) - n * groups;
  int o_begin = group * group_channels, o_end = min(o_begin + group_channels, out_channels);
  int in_channels = x0_used + (X1_MODE >= 0 ? x1_channels : 0);
  int rows = min(tile_height, out_height - tile_y), columns = min(TILE_W, out_width - tile_x);
  int halves = (columns + 31) / 32, square_rows = (rows + 1) / 2, vectors = square_rows * halves;
  // The odd 16 keep points and channels off one cache set.
  int point_step = chunk * 32 + 16, pair_step = POINTS * point_step;
  ulong y_plane = (ulong)out_height * out_width;

  for (int c_begin = 0; c_begin < in_channels; c_begin += chunk) {
    int c_count = min(chunk, in_channels - c_begin);
    for (int i = 0; i < c_count; i++) {
      int c = c_begin + i;
      prefetch_channel(2 * square_rows + 2, halves * 32 + 2, X0_MODE, x0, x0_aux, n, x0_first + c + 1, x0_channels,
                       tile_y - pad_y, tile_x - pad_x, in_height, in_width);
      if (X1_MODE < 0 || c < x0_used)
        stage_channel(raw, 2 * square_rows, halves * 32, X0_MODE, x0, x0_table, x0_aux, n, x0_first + c, x0_channels,
                      tile_y - pad_y, tile_x - pad_x, in_height, in_width);
      else
        stage_channel(raw, 2 * square_rows, halves * 32, X1_MODE, x1, x1_table, x1_aux, n, c - x0_used, x1_channels,
                      tile_y - pad_y, tile_x - pad_x, in_height, in_width);
      winograd_input(stage + i * 32, raw, square_rows, halves, point_step, pair_step);
    }

    for (int first = o_begin; first < o_end; first += sum_channels) {
      int last = min(first + sum_channels, o_end);
      for (int pair = 0; 2 * pair < vectors; pair++) {
        // Points outside, so that a point's transformed inputs stay in the first-level cache for all output channels.
        for (int p = 0; p < POINTS; p++) {
          for (int o = first; o < last; o += BLOCK) {
            const __global float *restrict w =
                packed + (((ulong)(o / BLOCK) * POINTS + p) * in_channels + c_begin) * BLOCK;
            // The next block's weights are a stride away: too far for the processor to see it coming.
            const __global float *restrict next =
                o + BLOCK < last ? w + (ulong)POINTS * in_channels * BLOCK
                                 : packed + (((ulong)(first / BLOCK) * POINTS + min(p + 1, POINTS - 1)) * in_channels + c_begin) * BLOCK;
            for (int part = 0; part < PARTS; part++) {
              int channel = part / (2 / SUM_VECTORS) * SUM_CHANNELS, side = part & (2 / SUM_VECTORS - 1);
              const __global float *restrict wc = w + channel;
              const __local float *restrict in = stage + pair * pair_step + p * point_step + 16 * side;
              float16 sum[SUM_CHANNELS][SUM_VECTORS];
#pragma unroll
              for (int b = 0; b < SUM_CHANNELS; b++)
#pragma unroll
                for (int v = 0; v < SUM_VECTORS; v++) sum[b][v] = (float16)0.0f;
              for (int c = 0; c < c_count; c++) {
                if (part == 0) PREFETCH(next + c * BLOCK);
                float16 u[SUM_VECTORS];
#pragma unroll
                for (int v = 0; v < SUM_VECTORS; v++) u[v] = vload16(v, in);
#pragma unroll
                for (int b = 0; b < SUM_CHANNELS; b++)
#pragma unroll
                  for (int v = 0; v < SUM_VECTORS; v++) sum[b][v] = fma(u[v], (float16)wc[b], sum[b][v]);
                in += 32;
                wc += BLOCK;
              }
              __local float *restrict to = sums + (o - first + channel) * SUM_STEP + p * 32 + 16 * side;
#pragma unroll
              for (int b = 0; b < SUM_CHANNELS; b++)
#pragma unroll
                for (int v = 0; v < SUM_VECTORS; v++) vstore16(sum[b][v], v, to + b * SUM_STEP);
            }
          }
        }

        for (int o = first; o < last; o++) {
          float start = bias_per > 0 && c_begin == 0 ? bias[bias_first + o / bias_per] : 0.0f;
          bool add = accumulate || c_begin > 0;
          for (int vector = 2 * pair; vector < min(vectors, 2 * pair + 2); vector++) {
            int i = vector / halves * 2, j = (vector - vector / halves * halves) * 32;
            float16 out[4];
            winograd_output(out, sums + (o - first) * SUM_STEP + (vector & 1) * 16, 32);
            ulong to = ((ulong)n * y_channels + y_first + o) * y_plane + (ulong)(tile_y + i) * out_width + tile_x + j;
            for (int r = 0; r < 2 && i + r < rows; r++) {
              float16 low, high;
              zip16(&low, &high, out[2 * r] + start, out[2 * r + 1] + start);
              if (j + 32 <= columns) {
                put16(Y_STORED, y, to, !Y_STORED && add ? vload16(0, y + to) + low : low);
                put16(Y_STORED, y, to + 16, !Y_STORED && add ? vload16(1, y + to) + high : high);
              } else {
                float lanes[32];
                vstore16(low, 0, lanes);
                vstore16(high, 1, lanes);
                int count = columns - j;
                for (int l = 0; l < count; l++) put1(Y_STORED, y, to + l, !Y_STORED && add ? y[to + l] + lanes[l] : lanes[l]);
              }
              to += out_width;
            }
          }
        }
      }
    }
  }
}
