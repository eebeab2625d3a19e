// 2-D convolution, stride 1, on matrix units: the implicit matrix product of weights (16 output channels a fragment) and
// patches (COLUMNS neighbouring pixels a fragment), summed over input channels, eight words a step.
//
// conv2d_matrix_tile: the same as conv2d_gpu_tile of conv2d_gpu.cl: forward, input gradient (gathered) and transposed
//   convolution, sources and target as there.
// A group is four warps, of as many items as share a fragment. WARPS_O of them take different output channels of one tile of
// pixels, WARPS_X different fragments of its columns, the rest different rows; a warp 16 * M_TILES channels x COLUMNS columns x
// N_TILES rows. For `chunk` steps of input channels at a time the group stages the patch under the tile with its halo, through
// the operand's view and rounded; then the taps slide over it: a fragment of B is pixels of the staged row that a tap's row and
// column ask for, so the unrolled code loads each staged row once for all the kernel's rows. Planes of the patch are COLUMNS
// words apart modulo 32: the words and pixels that 32 items load are in 32 banks. Weights are read as they were packed, a vector
// an item, through the first-level cache, which groups on one unit share.
//
// WARPGROUP: the four warps multiply together (matrix_warpgroup.clh): each has sixteen of 64 channels, all have the tile's pixels, of
// COLUMNS columns x N_TILES rows a product, M_TILES such side by side. A pixel's words lie by fours in local memory, so that pixels are
// B's columns as they are staged, and a tap's are those from another address: nothing is loaded from there. What weights the next
// taps want is on its way while products go on. Of two parts, a tap's products are summed from zero and then added outside, as
// MATRIX_ADD does.
//
// Sums stay in registers over all input channels, each element of y is written once.
//
// AHEAD: while the taps of one stage are multiplied, the next stage's elements are copied into local memory as they are (copy_word: in
// no register on NVIDIA's), each item's into places of its own; there it takes them from, through the view and rounded, when everyone has
// read the last patch. So nobody else's copies need be waited for. Without: an item waits for its elements while other groups on
// the unit multiply.
//
// Macros: those of conv2d_gpu.clh and matrix.clh; M_TILES, N_TILES, WARPS_O, WARPS_X; ON_THE_WAY; AHEAD 0 or 1; PLANE words of a
// plane of the patch; STORE_DEPTH as in conv2d.cl; Y_STORED as in conv2d_gpu.cl.
// packed: conv2d_matrix_pack.cl's; patch: [step][part][word][row][column], with WARPGROUP [step][part][word / 4][row][column][word % 4]; and with
// AHEAD [word of the item's][number][place][tensor][item] behind it.
// LINT: -DX1_MODE=2 -DELEMENT=1
// LINT: -DX0_MODE=10 -DX1_MODE=8 -DY_STORED=1
// LINT: -DX0_MODE=28 -DX1_MODE=-1 -DY_STORED=2
// LINT: -DX0_MODE=4 -DM_TILES=1 -DWARPS_O=1 -DWARPS_X=4 -DDILATION=4 -DPARTS=2
// LINT: -DK=1 -DX0_MODE=5 -DSTORE_DEPTH=1
// LINT: -DMATRIX=1 -DX0_MODE=4 -DPARTS=2 -target nvptx64
// LINT: -DMATRIX=1 -DX1_MODE=2 -DELEMENT=1 -target nvptx64
// LINT: -DAHEAD=1 -DX0_MODE=12
// LINT: -DAHEAD=1 -DX0_MODE=28 -DY_STORED=2
// LINT: -DMATRIX=1 -DX0_MODE=10 -DX1_MODE=0 -DELEMENT=1 -DAHEAD=1 -target nvptx64
// LINT: -DLAYOUT=2 -DX0_MODE=4 -DELEMENT=2
// LINT: -DLAYOUT=4 -DX0_MODE=4 -DELEMENT=1
// LINT: -DLAYOUT=3 -DX0_MODE=4 -DN_TILES=2 -DELEMENT=1
// LINT: -DMATRIX=3 -DX1_MODE=2 -DN_TILES=2 -DPARTS=2 -target spir64
// LINT: -DWARPGROUP=1 -DWARPS_O=4 -DWARPS_X=1 -DX0_MODE=4
// LINT: -DWARPGROUP=1 -DWARPS_O=4 -DWARPS_X=1 -DX1_MODE=2 -DELEMENT=1 -DAHEAD=1 -DY_STORED=2
// LINT: -DWARPGROUP=1 -DWARPS_O=4 -DWARPS_X=1 -DX1_MODE=2 -DELEMENT=1 -DPARTS=2
// LINT: -DMATRIX=1 -DWARPGROUP=1 -DWARPS_O=4 -DWARPS_X=1 -DX0_MODE=4 -DPARTS=2 -target nvptx64
// LINT: -DMATRIX=1 -DWARPGROUP=1 -DWARPS_O=4 -DWARPS_X=1 -DX0_MODE=28 -DAHEAD=1 -target nvptx64
// LINT: -DMATRIX=1 -DWARPGROUP=1 -DWARPS_O=4 -DWARPS_X=1 -DN_TILES=16 -DELEMENT=1 -target nvptx64
#ifndef M_TILES
#define M_TILES 2
#endif
#ifndef N_TILES
#define N_TILES 8
#endif
#include "conv2d_gpu.clh"
#include "matrix.clh"
#include "conv2d_ahead.clh"
#ifndef WARPS_O
#define WARPS_O 2
#endif
#ifndef WARPS_X
#define WARPS_X 2
#endif
#ifndef AHEAD
#define AHEAD 0
#endif
#ifndef STORE_DEPTH
#define STORE_DEPTH 0
#endif
#ifndef Y_STORED
#define Y_STORED 0
#endif

// What a warp's M_TILES fragments of a row are of: sixteens of channels, or of a warpgroup's columns.
#if WARPGROUP
#if WARPS_O != 4
#error "a warpgroup has four sixteens of channels"
#endif
#define O_TILES 1
#define X_TILES M_TILES
#define M_CHANNEL(m) 0
#define M_COLUMN(m) (COLUMNS * (m))
#else
#define O_TILES M_TILES
#define X_TILES 1
#define M_CHANNEL(m) (16 * (m))
#define M_COLUMN(m) 0
#endif
#define O_TILE (16 * O_TILES * WARPS_O)
#define TILE_W (COLUMNS * X_TILES * WARPS_X)
#define TILE_H (N_TILES * (4 / (WARPS_O * WARPS_X)))
#define PATCH_H (TILE_H + HALO)
#define PATCH_W (TILE_W + HALO)
// A warp stages every fourth word of the patch, two at a time where that is not too much; in a warpgroup two warps every second four or
// two words, of four channels: WORD(w, m), w from WORD_FIRST, WORD_NEXT further each time. PLACES are an item's elements of a patch's channel, all or some of them at
// a time: what is on its way, ON_THE_WAY elements at most, takes registers beside the sums.
#ifndef ON_THE_WAY
#define ON_THE_WAY 16
#endif
#if WARPGROUP
#define PLACE_ITEMS 64
#define AT_ONCE (4 / VALUES)
#define WORD_FIRST (AT_ONCE * (item / PLACE_ITEMS))
#define WORD_NEXT (2 * AT_ONCE)
#define WORD(w, m) ((w) + (m))
#define OWN_WORD(word) ((word) / WORD_NEXT * AT_ONCE + ((word) & (AT_ONCE - 1)))
#else
#define PLACE_ITEMS MATRIX_LANES
#define AT_ONCE (2 * VALUES * PLACES <= ON_THE_WAY ? 2 : 1)
#define WORD_FIRST (item / PLACE_ITEMS)
#define WORD_NEXT (4 * AT_ONCE)
#define WORD(w, m) ((w) + 4 * (m))
#define OWN_WORD(word) ((word) >> 2)
#endif
#define PLACES ((PATCH_H * PATCH_W + PLACE_ITEMS - 1) / PLACE_ITEMS)
#define TURNS ((AT_ONCE * VALUES * PLACES + ON_THE_WAY - 1) / ON_THE_WAY)
#define PLACES_AT_ONCE ((PLACES + TURNS - 1) / TURNS)
// Rows of taps whose products are unrolled together. With two parts, rows kept from one tap to another far below take more registers
// beside the sums than there are.
#if PARTS == 2 && DILATION > (Y_STORED ? 1 : 2)
#define ROWS_TOGETHER 1
#else
#define ROWS_TOGETHER UNROLL
#endif
// The same of a warpgroup's taps: unrolled, addresses far apart take registers of their own.
#if PARTS == 2 && DILATION > 2
#define TURNS_TOGETHER 1
#else
#define TURNS_TOGETHER UNROLL
#endif
// Tensors of an element that is copied: its view's second is one.
#define TENSORS (view_needs_aux(X0_MODE) || (X1_MODE >= 0 && view_needs_aux(X1_MODE)) ? 2 : 1)
#define COPIED(word, v, place) (copied + ((OWN_WORD(word) * VALUES + (v)) * PLACES + (place)) * TENSORS * MATRIX_ITEMS)
// Stages of the same channels: each tap's, where the window is one.
#define WINDOWS (WINDOW == K ? 1 : TAPS)
#if WINDOW != K && WINDOW != 1
#error "a window is the kernel's or one tap's"
#endif
// In a warpgroup of words by fours.
#if WARPGROUP
#define PLANE (PATCH_H * PATCH_W)
#endif
#ifndef PLANE
#define PLANE ((PATCH_H * PATCH_W + 31 - COLUMNS) / 32 * 32 + COLUMNS)
#endif

// Where an item's elements of the patch for a tap are, or for all taps, of which the tile's first reads row y_begin, column x_begin.
INLINE void find_places(int *places, int first, int y_begin, int x_begin, int tap, int in_height, int in_width) {
  int row = tap / K;
  y_begin += row * DILATION, x_begin += (tap - row * K) * DILATION;
#pragma unroll UNROLL
  for (int k = 0; k < PLACES; k++) {
    int e = first + k * PLACE_ITEMS, i = e / PATCH_W, j = e - i * PATCH_W;
    places[k] = X_PLACE(y_begin + i, x_begin + j);
  }
}

#if WARPGROUP
// Taps of a column of them whose products are begun together: all, or where they are summed apart from the rest one.
#define TAPS_TOGETHER (PARTS == 2 ? 1 : WINDOW)
#define TAP_TURNS (WINDOW * WINDOW / TAPS_TOGETHER)
// Steps unrolled together. With one turn a step, what the next one wants would be loaded into registers that products still read: NVIDIA's
// assembler before CUDA 13 gives them the same, and then lets products wait for each other.
#define STEPS_TOGETHER (TAP_TURNS == 1 ? 2 : 1)
#define TURN_COLUMN(turn) ((turn) * TAPS_TOGETHER / WINDOW)
#define TURN_ROW(turn) ((turn) * TAPS_TOGETHER - TURN_COLUMN(turn) * WINDOW)

// An item's fragments of their weights: [tap][part].
INLINE void load_taps(matrix_a *to, const __global matrix_a *from) {
#pragma unroll
  for (int a = 0; a < TAPS_TOGETHER; a++)
#pragma unroll
    for (int part = 0; part < PARTS; part++) to[a * PARTS + part] = from[(a * K * PARTS + part) * MATRIX_LANES];
}
#endif

__attribute__((reqd_work_group_size(MATRIX_ITEMS, 1, 1))) MATRIX_SUB_GROUP
__kernel void conv2d_matrix_tile(__global float *restrict y, const __global float *restrict x0,
                                 const __global float *restrict x0_table, const __global float *restrict x0_aux,
                                 const __global float *restrict x1, const __global float *restrict x1_table,
                                 const __global float *restrict x1_aux, const __global matrix_a *restrict packed,
                                 const __global float *restrict bias, int bias_first, int bias_per, int x0_first,
                                 int x0_used, int x0_channels, int x1_channels, int in_height, int in_width, int y_first,
                                 int y_channels, int out_channels, int out_height, int out_width, int pad_y, int pad_x,
                                 int groups, int chunk, int accumulate, __local uint4 *restrict patch_fours) {
  // Products of four warps read sixteen bytes at a time: of a pointer to words nothing promises that it is aligned to more than four.
  __local uint *patch = (__local uint *)patch_fours;
  MATRIX_MEMORY
  int item = get_local_id(0), lane = item & (MATRIX_LANES - 1), warp = item / MATRIX_LANES;
  int place_first = item & (PLACE_ITEMS - 1);
  int warp_o = warp % WARPS_O, warp_x = warp / WARPS_O % WARPS_X, warp_y = warp / (WARPS_O * WARPS_X);
  int tiles_x = (out_width + TILE_W - 1) / TILE_W, tiles_y = (out_height + TILE_H - 1) / TILE_H;
  int tile = (int)(get_group_id(0) / groups), group = (int)(get_group_id(0) - (ulong)tile * groups);
  int tile_row = tile / tiles_x, n = tile_row / tiles_y;
  int tile_x = (tile - tile_row * tiles_x) * TILE_W, tile_y = (tile_row - n * tiles_y) * TILE_H;
  int in_channels = x0_used + (X1_MODE >= 0 ? x1_channels : 0);
  int steps = (in_channels + MATRIX_K - 1) / MATRIX_K;
  int o_warp = group * O_TILE + warp_o * 16 * O_TILES;

  matrix_c sums[M_TILES][N_TILES];
#pragma unroll UNROLL
  for (int m = 0; m < M_TILES; m++) {
    float start[C_COUNT];
#pragma unroll
    for (int h = 0; h < C_COUNT; h++) {
      int o = o_warp + M_CHANNEL(m) + C_ROW(lane, h);
      start[h] = bias_per > 0 && o < out_channels ? bias[bias_first + (STORE_DEPTH ? o / 4 : o)] : 0.0f;
    }
#pragma unroll UNROLL
    for (int i = 0; i < N_TILES; i++) sums[m][i] = C_OF(start);
  }

  // Fragments of the warp's first channels; those of the next sixteen are `tile_step` further.
  ulong tile_step = (ulong)steps * TAPS * PARTS * MATRIX_LANES;
  // The fragments that stand for channels beyond the last were not packed: the last are read in their place.
  int most_tile = (out_channels - 1) / 16, first_tile = min(o_warp / 16, most_tile);
  const __global matrix_a *from = packed + (ulong)first_tile * tile_step + lane;

#if AHEAD
  __local uint *copied = patch + chunk * PARTS * 8 * PLANE + item;
#endif
  int stages = (steps + chunk - 1) / chunk * WINDOWS;
#pragma unroll 1
  for (int t = -AHEAD; t < stages; t++) {
    // A stage before the first has no steps: it only asks for the first's elements.
    int round = t / WINDOWS, s_begin = round * chunk, s_count = t < 0 ? 0 : min(chunk, steps - s_begin);
    int tap = t - round * WINDOWS;
    int places[PLACES];
    find_places(places, place_first, tile_y - pad_y, tile_x - pad_x, tap, in_height, in_width);
#if AHEAD
    copies_wait();
#endif
    // Everyone has read the last patch.
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int w = WORD_FIRST; w < 8 * s_count; w += WORD_NEXT) {
#pragma unroll UNROLL
      for (int k_begin = 0; k_begin < PLACES; k_begin += PLACES_AT_ONCE) {
        channel from[AT_ONCE][VALUES];
        float data[AT_ONCE][VALUES][PLACES_AT_ONCE], aux[AT_ONCE][VALUES][PLACES_AT_ONCE];
#pragma unroll UNROLL
        for (int m = 0; m < AT_ONCE; m++)
#pragma unroll UNROLL
          for (int v = 0; v < VALUES; v++) {
            // Beyond the last channel the last is read: its weights there are zero.
            int c = min(s_begin * MATRIX_K + WORD(w, m) * VALUES + v, in_channels - 1);
            X_FIND(from[m][v], n, c)
#pragma unroll UNROLL
            for (int k = 0; k < PLACES_AT_ONCE; k++) {
              if (k_begin + k >= PLACES) continue;
#if AHEAD
              const __local uint *at = COPIED(WORD(w, m), v, k_begin + k);
              data[m][v][k] = X_COPIED_DATA(from[m][v], c, places[k_begin + k], at);
              aux[m][v][k] = X_COPIED_AUX(from[m][v], c, places[k_begin + k], at, MATRIX_ITEMS);
#else
              data[m][v][k] = X_DATA(from[m][v], c, places[k_begin + k], 0);
              aux[m][v][k] = X_AUX(from[m][v], c, places[k_begin + k], 0);
#endif
            }
          }
        // As many every turn: NVIDIA's compiler unrolls no other number, and then keeps places and elements in private memory.
#pragma unroll UNROLL
        for (int k = 0; k < PLACES_AT_ONCE; k++) {
          if (k_begin + k >= PLACES) continue;
          uint2 words[AT_ONCE];
#pragma unroll UNROLL
          for (int m = 0; m < AT_ONCE; m++) {
            int c = s_begin * MATRIX_K + WORD(w, m) * VALUES;
            float value[VALUES];
#pragma unroll UNROLL
            for (int v = 0; v < VALUES; v++) {
              value[v] = X_VIEW(from[m][v], c + v, data[m][v][k], aux[m][v][k]);
              if (places[k_begin + k] < 0) value[v] = 0.0f;
            }
            words[m] = to_words(value[0], value[VALUES - 1]);
          }
          int e = place_first + (k_begin + k) * PLACE_ITEMS;
          if (e >= PATCH_H * PATCH_W) continue;
#if WARPGROUP
          __local uint *to = patch + (((w >> 3) * PARTS * 2 + (w >> 2 & 1)) * PLANE + e) * 4 + (w & 3);
#if VALUES == 1
          *(__local uint4 *)to = (uint4)(words[0].s0, words[1].s0, words[2].s0, words[3].s0);
          if (PARTS == 2) *(__local uint4 *)(to + 8 * PLANE) = (uint4)(words[0].s1, words[1].s1, words[2].s1, words[3].s1);
#else
          *(__local uint2 *)to = (uint2)(words[0].s0, words[1].s0);
          if (PARTS == 2) *(__local uint2 *)(to + 8 * PLANE) = (uint2)(words[0].s1, words[1].s1);
#endif
#else
#pragma unroll UNROLL
          for (int m = 0; m < AT_ONCE; m++) {
            __local uint *to = patch + ((WORD(w, m) >> 3) * PARTS * 8 + (WORD(w, m) & 7)) * PLANE;
            to[e] = words[m].s0;
            if (PARTS == 2) to[8 * PLANE + e] = words[m].s1;
          }
#endif
        }
      }
    }
#if WARPGROUP
    // The first taps' weights.
    matrix_a taps[TAPS_TOGETHER * PARTS];
    if (s_count > 0) load_taps(taps, from + (ulong)(s_begin * TAPS + tap) * PARTS * MATRIX_LANES);
    MATRIX_GROUP_STAGED()
#endif
    barrier(CLK_LOCAL_MEM_FENCE);

#if AHEAD
    int next_round = (t + 1) / WINDOWS, next_begin = next_round * chunk;
    int next_count = t + 1 < stages ? min(chunk, steps - next_begin) : 0;
    find_places(places, place_first, tile_y - pad_y, tile_x - pad_x, t + 1 - next_round * WINDOWS, in_height, in_width);
    for (int w = WORD_FIRST; w < 8 * next_count; w += WORD_NEXT)
#pragma unroll UNROLL
      for (int m = 0; m < AT_ONCE; m++)
#pragma unroll UNROLL
        for (int v = 0; v < VALUES; v++) {
          int c = min(next_begin * MATRIX_K + WORD(w, m) * VALUES + v, in_channels - 1);
          channel from;
          X_FIND(from, n, c)
#pragma unroll UNROLL
          for (int k = 0; k < PLACES; k++) X_COPY(from, c, places[k], COPIED(WORD(w, m), v, k), MATRIX_ITEMS)
        }
#endif

#if WARPGROUP
    ulong pixels = MATRIX_DESCRIPTOR(patch, 0, PLANE * 16, PATCH_W * 16);
#pragma unroll STEPS_TOGETHER
    for (int s = 0; s < s_count; s++) {
#pragma unroll TURNS_TOGETHER
      for (int turn = 0; turn < TAP_TURNS; turn++) {
        int b = TURN_COLUMN(turn);
#if PARTS == 2
        matrix_c products[M_TILES][N_TILES];
#pragma unroll
        for (int m = 0; m < M_TILES; m++)
#pragma unroll
          for (int i = 0; i < N_TILES; i++) products[m][i] = (matrix_c)0.0f;
#else
#define products sums
#endif
#pragma unroll
        for (int a = 0; a < TAPS_TOGETHER * PARTS; a++) MATRIX_KEEP_A(taps[a])
#pragma unroll
        for (int m = 0; m < M_TILES; m++)
#pragma unroll
          for (int i = 0; i < N_TILES; i++) MATRIX_KEEP_SUM(products[m][i])
        MATRIX_GROUP_BEGIN()
#pragma unroll UNROLL
        for (int a = 0; a < TAPS_TOGETHER; a++)
#pragma unroll UNROLL
          for (int m = 0; m < M_TILES; m++) {
            int at = 2 * PARTS * s * PLANE + (TURN_ROW(turn) + a) * DILATION * PATCH_W + b * DILATION + M_COLUMN(m);
#if PARTS == 2
            MATRIX_ADD_GROUP(0, products[m], taps[1], pixels + at, patch)
            MATRIX_ADD_GROUP(1, products[m], taps[0], pixels + at + 2 * PLANE, patch)
#endif
            MATRIX_ADD_GROUP(1, products[m], taps[a], pixels + at, patch)
          }
        MATRIX_GROUP_END()
        // The next taps' weights; behind the last those of the stage's last step once more.
        int next_s = turn + 1 < TAP_TURNS ? s : min(s + 1, s_count - 1), next_turn = turn + 1 < TAP_TURNS ? turn + 1 : 0;
        int next_tap = tap + TURN_ROW(next_turn) * K + TURN_COLUMN(next_turn);
        matrix_a next[TAPS_TOGETHER * PARTS];
        load_taps(next, from + (ulong)((s_begin + next_s) * TAPS + next_tap) * PARTS * MATRIX_LANES);
        MATRIX_GROUP_WAIT()
#pragma unroll
        for (int a = 0; a < TAPS_TOGETHER * PARTS; a++) {
          MATRIX_KEEP_A(taps[a])
          taps[a] = next[a];
        }
#pragma unroll
        for (int m = 0; m < M_TILES; m++)
#pragma unroll
          for (int i = 0; i < N_TILES; i++) {
            MATRIX_KEEP_SUM(products[m][i])
            if (PARTS == 2) sums[m][i] += products[m][i];
          }
#undef products
      }
    }
#else
    const __local uint *in = patch + B_WORD(lane, 0) * PLANE + warp_y * N_TILES * PATCH_W + warp_x * COLUMNS + B_COLUMN(lane);
    for (int s = 0; s < s_count; s++) {
      const __global matrix_a *weights = from + (ulong)((s_begin + s) * TAPS + tap) * PARTS * MATRIX_LANES;
      const __local uint *pixels = in + s * PARTS * 8 * PLANE;
#pragma unroll 1
      for (int b = 0; b < WINDOW; b++) {
#pragma unroll ROWS_TOGETHER
        for (int a = 0; a < WINDOW; a++) {
          matrix_a w[M_TILES][PARTS];
#pragma unroll
          for (int m = 0; m < M_TILES; m++)
#pragma unroll
            for (int part = 0; part < PARTS; part++)
              w[m][part] = weights[(ulong)min(m, most_tile - first_tile) * tile_step + ((a * K + b) * PARTS + part) * MATRIX_LANES];
#pragma unroll UNROLL
          for (int i = 0; i < N_TILES; i++) {
            const __local uint *at = pixels + (i + a * DILATION) * PATCH_W + b * DILATION;
            matrix_b x[PARTS];
#pragma unroll
            for (int part = 0; part < PARTS; part++) {
              uint words[B_COUNT];
#pragma unroll
              for (int r = 0; r < B_COUNT; r++) words[r] = at[(part * 8 + B_WORD(0, r)) * PLANE];
              x[part] = B_OF(words);
            }
#pragma unroll UNROLL
            for (int m = 0; m < M_TILES; m++) MATRIX_ADD(sums[m][i], w[m], x)
          }
        }
      }
    }
#endif
  }

  // Where an item's sums go; it has C_RUN neighbours in each row of the tile, and rows of an even number of columns are aligned to
  // pairs.
  ulong y_plane = (ulong)out_height * out_width;
  int pairs = C_RUN == 2 && !STORE_DEPTH && (out_width & 1) == 0;
  int y_row = tile_y + warp_y * N_TILES, rows = min(N_TILES, out_height - y_row);
#pragma unroll
  for (int m = 0; m < M_TILES; m++) {
#pragma unroll
    for (int h = 0; h < C_COUNT; h += C_RUN) {
      int o = o_warp + M_CHANNEL(m) + C_ROW(lane, h);
      int column = tile_x + warp_x * COLUMNS * X_TILES + M_COLUMN(m) + C_COLUMN(lane, h);
      if (o >= out_channels || column >= out_width) continue;
#if STORE_DEPTH
      // Output channel 4d + 2a + e goes to column 2j + e of row 2i + a of channel d.
      ulong to = ((ulong)n * (y_channels / 4) + o / 4) * 4 * y_plane + (ulong)(2 * y_row + ((o >> 1) & 1)) * 2 * out_width +
                 2 * column + (o & 1);
      const int down = 4 * out_width, right = 2;
#else
      ulong to = ((ulong)n * y_channels + y_first + o) * y_plane + (ulong)y_row * out_width + column;
      const int down = out_width, right = 1;
#endif
      int both = C_RUN == 2 && column + 1 < out_width;
#pragma unroll
      for (int i = 0; i < N_TILES; i++) {
        float sum[C_COUNT] = C_LIST(sums[m][i]);
        if (i < rows) {
          if (pairs) {
            float2 v = (float2)(sum[h], sum[h + C_RUN - 1]);
            put2(Y_STORED, y, to, !Y_STORED && accumulate ? *(__global float2 *)(y + to) + v : v);
          } else {
            put1(Y_STORED, y, to, !Y_STORED && accumulate ? y[to] + sum[h] : sum[h]);
            float next = sum[h + C_RUN - 1];
            if (both) put1(Y_STORED, y, to + right, !Y_STORED && accumulate ? y[to + right] + next : next);
          }
        }
        to += down;
      }
    }
  }
}
