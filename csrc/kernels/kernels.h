/* What a micro-kernel promises, and the table that one instruction set fills.
 *
 * A kernel sees pointers and counts: no shapes of images, no threads, no memory of its own. Each exists once, in an
 * _inl.h written with the vectors of simd.h, and is compiled for every instruction set and for float and double.
 * T is that element type, VL its lanes in a vector; pitches and offsets count elements unless they are named bytes.
 * Kernels only assert; their callers in csrc/ have checked. */
#ifndef FASTCONV_KERNELS_H
#define FASTCONV_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "../fastconv.h"

enum { FCV_MAX_NV = 4, FCV_PEAK_CHAINS = 12, FCV_PEAK_TURNS = 16, FCV_DEPTHWISE_TAPS = 9, FCV_TURN = 64 };

/* What a later call reads, where no hardware follows: each time before up to FCV_TURN values are summed, the next rows
 * of so many lines of 64 bytes are fetched into the cache. Rows lie pitch bytes apart. Nothing there needs to be
 * readable. */
struct fcv_ahead {
  const void *from;
  int64_t rows, lines, pitch;
};

/* How a tile's sums go into their place in the result. */
enum fcv_into {
  FCV_REPLACE,  /* whatever is there */
  FCV_CONTINUE, /* starting from what is there: one running sum, in parts */
  FCV_ADD       /* added to what is there: sums of sums, whose rounding errors stay small */
};

/* Indirect GEMM (Dukhan 2019, arXiv:1907.02129): one tile of mr pixels x nr = nv * VL channels, held in registers.
 *
 *     c[i][j] = activation(bias[j] + sum over t < taps, k < kc of a[t][i][k] * w[t][k][j])    i < m <= mr, j < n <= nr
 *
 *       a[t]: mr pointers          w: packed, 64-byte aligned          c: m pointers
 *       i=0 --> k k k k ... kc     t=0 k=0 | j j j j ... nr |          i=0 --> j j ... n
 *       i=1 --> k k k k ... kc         k=1 | j j j j ... nr |          i=1 --> j j ... n
 *        ...                       t=1 k=0 | ...            |           ...
 *
 * All mr pointers of each tap must be readable, also those past m (repeat the last). Summed over k inside t, in order,
 * starting from the bias, or from what c holds. Rows past m cost nothing, but for one with the many of AVX-512.
 *
 * igemm_rows: w is not packed, its rows lie w_pitch apart, and nr elements of each must be readable. */
struct fcv_igemm_tile {
  int64_t taps, kc;
  const void *const *a; /* [taps][mr] */
  int64_t a_bytes;      /* added to every pointer of a: the group's first channel */
  const void *w;        /* [taps][kc][nr] */
  int64_t w_pitch;      /* from row to row of w. igemm_rows only */
  void *const *c;       /* [m] */
  int64_t c_bytes;      /* added to every pointer of c: the panel's first channel */
  int m, n;
  const void *bias;     /* [nr], or NULL for zero */
  const void *row_bias; /* [m], one number a row in place of bias; or NULL */
  enum fcv_into into;   /* FCV_CONTINUE goes without row_bias, FCV_ADD without activation */
  int activation;       /* fcv_activation: linear, ReLU and leaky ReLU here, the others by the caller */
  double slope;
  int past_caches;        /* c is aligned, and n whole vectors: c is written past the caches */
  struct fcv_ahead ahead; /* where from is not NULL, c is fetched as well, before the sum */
};
typedef void fcv_igemm_fn(const struct fcv_igemm_tile *tile);

/* Direct convolution to at most a vector of channels: one tile of m pixels that are neighbours in a row of outputs, and
 * of x, pixels of kc channels.
 *
 *     y[i * y_step + j] = activation(bias[j] + sum over t < taps, k < kc, u < columns of
 *                                    x[t][x_offset + (i + u) * kc + k] * w[t][k][u][j])   i < m <= narrow_pixels, j < n
 *
 * Summed in this order. columns is 3 or 5; w and bias have VL channels. With an odd m one pixel more of x is read. */
struct fcv_narrow {
  int64_t taps, columns, kc, m, n;
  const void *const *x; /* [taps] */
  int64_t x_offset;
  const void *w;
  const void *bias; /* or NULL for zero */
  void *y;
  int64_t y_step;
  int activation; /* as in struct fcv_igemm_tile */
  double slope;
  int past_caches; /* y is aligned, n is VL: y is written past the caches */
};
typedef void fcv_narrow_fn(const struct fcv_narrow *tile);

/* Depthwise convolution: lines of outputs, of which every element meets one of the input at each tap.
 *
 *     y[i * y_step + j] = activation(bias[j] + sum over g < groups, t < taps of
 *                                    x[g][x_offset + i * x_step + t * x_tap + j] * w[g][w_offset + t * w_tap + j])
 *
 *                   x[g]:  i=0 t=0 --> j j j ... width                      i < count, j < width
 *                              t=1 -->     j j j ... width    (x_tap apart)
 *                          i=1 t=0 -->   j j j ... width      (x_step apart)
 *
 * depthwise_last: as above; lines are pixels, j is a channel. depthwise_first: w and bias are one number for all j;
 * lines are rows. Where width is less than VL, whole vectors of x, w and bias are read. Summed over t inside g, in
 * order, starting from the bias.
 *
 * grouped_last: an element meets the inputs of its group at each tap, x[g][... + j - j % inputs + k] and
 * w[g][... + k * w_input + j] for k < inputs. inputs is 2, 4 or 8, less than VL, and divides width, which is VL at
 * least. Summed over t inside k inside g. */
struct fcv_depthwise {
  int64_t groups, taps, count, width;
  const void *const *x; /* [groups] */
  const void *const *w; /* [groups] */
  int64_t x_offset, w_offset;
  int64_t x_step, x_tap, w_tap, y_step;
  int64_t inputs, w_input; /* grouped_last only */
  const void *bias;        /* or NULL for zero */
  void *y;
  int activation; /* as in struct fcv_igemm_tile */
  double slope;
  int past_caches; /* y is aligned, width and y_step are whole vectors: y is written past the caches */
  int64_t fresh;   /* groups at the end, of which each element's neighbour in a later call is fetched into L2, */
  int64_t ahead;   /* so many elements on. Nothing there needs to be readable. Both are for depthwise_last */
};
typedef void fcv_depthwise_fn(const struct fcv_depthwise *lines);

/* Depthwise convolution of planes that lie without padding; what is outside of a plane counts as zero.
 *
 *     y[p][r][c] = activation(bias[p] + sum over i < taps, k < taps of
 *                                       x[p][r * step + k - above][c * step + i - before] * w[p][k * w_row + i *
 * w_column])
 *
 * for p < planes, r < rows, c < width; planes, of in_rows x in_width and rows x width, begin x_plane, y_plane and
 * w_plane elements apart. taps is 3 or 5, step 1 or 2; of before, and of the columns that the last c meets behind a
 * row, there are at most VL, of above and of rows below at most taps. Whole vectors are moved: FCV_PLANE_SLACK * VL
 * elements before the first plane and behind the last one must be readable, and y is written in order and up to its
 * end. Summed over k inside i, in order, starting from the bias. */
enum { FCV_PLANE_TAPS = 5, FCV_PLANE_SLACK = 6 };
struct fcv_depthwise_planes {
  int64_t planes, taps, step;
  int64_t in_rows, in_width, rows, width, above, before;
  int64_t x_plane, y_plane, w_plane, w_row, w_column;
  const void *x, *w;
  const void *bias; /* [planes], or NULL for zero */
  void *y;
  int64_t ahead, y_ahead; /* elements from a vector to one that a later tile reads, or writes, which is fetched; or 0 */
  int activation;         /* as in struct fcv_igemm_tile */
  double slope;
};
typedef void fcv_depthwise_planes_fn(const struct fcv_depthwise_planes *planes);

/* Its weight gradient, in VL sums for each plane and tap; which pixels are in which depends on width alone.
 *
 *     sums[p][k][i][a lane] += sum over r, c of x[p][r * step + k - above][c * step + i - before] * gy[p][r][c]
 *
 * gy lies as y; VL elements behind it must be readable, and it is fetched y_ahead elements ahead. w, bias, y and
 * activation do not matter. Summed by columns of vectors, in the order of r, then added. */
typedef void fcv_depthwise_plane_sums_fn(const struct fcv_depthwise_planes *planes, const void *gy, void *sums);

/* Depthwise convolution to every second row and column, in turn: the input gradient with stride 2. Planes as above.
 *
 *     y[p][2 * i + a][2 * j + b] = activation(bias[p] + sum over t < column[b].taps, k < row[a].taps of
 *         x[p][i + row[a].shift + k][j + column[b].shift + t] *
 *         w[p][row[a].w + k * row[a].w_tap + column[b].w + t * column[b].w_tap])
 *
 * for rows x width outputs; at most FCV_SPREAD_TAPS taps, and VL columns met on either side of a row. Summed over t
 * inside k, in order, starting from the bias. */
enum { FCV_SPREAD_TAPS = 3 };
struct fcv_spread {
  int64_t taps, shift, w, w_tap;
};
struct fcv_depthwise_spread {
  int64_t planes, in_rows, in_width, rows, width;
  struct fcv_spread row[2], column[2];
  int64_t x_plane, y_plane, w_plane;
  const void *x, *w;
  const void *bias; /* [planes], or NULL for zero */
  void *y;
  int64_t ahead, y_ahead; /* as in struct fcv_depthwise_planes */
  int activation;         /* as in struct fcv_igemm_tile */
  double slope;
};
typedef void fcv_depthwise_spread_fn(const struct fcv_depthwise_spread *spread);

/* Weight gradient: one tile of mi input channels x nr output channels, held in registers over q < pixels.
 *
 *     gw[i * gw_pitch + j] = sum over q of a[q][i] * b[q * b_pitch + j]          i < m <= mi, j < n <= nr
 *
 * Summed in the order of q. nr elements must be readable in each row of b, also where n is less. Rows past m cost
 * nothing. */
struct fcv_wgrad_tile {
  int64_t pixels;
  const void *const *a; /* [pixels] */
  int64_t a_bytes;      /* added to every pointer of a */
  const void *b;
  int64_t b_pitch;
  void *gw;
  int64_t gw_pitch;
  int m, n;
  enum fcv_into into;     /* FCV_REPLACE or FCV_ADD, and so below */
  struct fcv_ahead ahead; /* into L2 only */
};
typedef void fcv_wgrad_fn(const struct fcv_wgrad_tile *tile);

/* Products of rows with rows: one tile of da x db sums of vectors, held in registers over q < count.
 *
 *     c[i * c_pitch + column[j]] = sum over q of a[i][q] * b[j][q]                       i < m <= da, j < n <= db
 *
 * All da and db pointers must be readable (repeat the last). There are VL sums for each i and j, in the order of q,
 * which are added pairwise. */
struct fcv_dots_tile {
  int64_t count;
  const void *const *a; /* [da] */
  const void *const *b; /* [db] */
  void *c;
  int64_t c_pitch;
  const int64_t *column; /* [n] */
  int m, n;
  enum fcv_into into;
};
typedef void fcv_dots_fn(const struct fcv_dots_tile *tile);

/* Weight gradient of depthwise convolution, over a box of pixels: sums of vectors, held in registers.
 *
 *     last:  gw[t][gw_offset + j] += sum over r < rows, i < count of x[t][x_offset + r * x_row + i * x_step + j] *
 *                                                                  gy[r * gy_row + i * gy_step + j]
 *     first: gw[t][gw_offset + lane of j] += sum over r < rows and j of x[t][x_offset + r * x_row + j] *
 *                                                                       gy[r * gy_row + j]
 *
 * with t < taps, j < width. last: j is a channel, width a multiple of VL; taps come in rows of columns, x_tap apart.
 * first: j is a column; there are VL sums for each tap, and which j is in which depends on width alone. VL elements of
 * x are read where width is less. Summed in the order of r and i or j, then added: sums of sums, whose rounding errors
 * stay small.
 *
 * last: what a later call reads is fetched into L2 where x_ahead is not NULL, in the order of memory, so that hardware
 * follows: x_fetches pixels from x_ahead on for each of gy from gy_ahead on, gy_step apart, width channels of each.
 * Nothing there needs to be readable.
 *
 * grouped_sums_last: as last, with gw[t][gw_offset + k * gw_output + j] and gy[... + j - j % outputs + k] for
 * k < outputs, which is 2, 4 or 8 and less than VL. */
struct fcv_depthwise_sums {
  int64_t taps, columns, rows, count, width;
  const void *const *x; /* [taps] */
  const void *gy;
  void *const *gw; /* [taps] */
  int64_t x_offset, x_row, x_step, x_tap, gy_row, gy_step, gw_offset;
  const void *x_ahead, *gy_ahead;
  int64_t x_fetches;
  int64_t outputs, gw_output; /* grouped_sums_last only */
};
typedef void fcv_depthwise_sums_fn(const struct fcv_depthwise_sums *sums);

/* dst[c * dst_pitch + r] = src[r * src_pitch + c] for r < rows, c < columns. */
typedef void fcv_transpose_fn(int64_t rows, int64_t columns, const void *src, int64_t src_pitch, void *dst,
                              int64_t dst_pitch);

/* Rows of some panels beside each other to one panel after the other, whole panels of nr = nv * VL:
 *
 *     to[(p * rows + r) * nr + j] = from[r * pitch + p * nr + j]      p < panels, r < rows, j < nr */
typedef void fcv_cut_panels_fn(int64_t panels, int64_t rows, const void *from, int64_t pitch, void *to);

/* Patches of neighbouring pixels of channels-first images: a row of them for each channel and tap. The pixels of a run,
 * at most VL, are neighbours in memory.
 *
 *     to[(c * taps + t) * pitch + run.start + i] = x[run.from + c * plane + offset[t] + i]
 *
 * for c < channels, t < taps, i < run.count. Elements that no run fills hold anything. Whole vectors are moved: VL - 1
 * elements behind each run must be readable unless exact is set, and as many behind each row of to are written. Rows
 * and runs are in order. */
struct fcv_patch_run {
  int64_t from, start, count;
};
struct fcv_patches {
  int64_t channels, taps, plane, runs;
  const int64_t *offset; /* [taps] */
  const struct fcv_patch_run *run;
  int exact;
  const void *x;
  void *to;
  int64_t pitch;
};
typedef void fcv_patches_fn(const struct fcv_patches *patches);

/* Products of weights with the pixels of runs, which are read where they lie: m rows of y, a plane apart.
 *
 *     y[i * y_plane + run.to + l] = activation(bias[i] + sum over t < terms of
 *                                              w[t][i] * x[run.from + offset[t] + l])        i < m <= mr, l < VL
 *
 *       x: run 0 + offset[0] --> l l l ... VL         w: t=0 | i i i ... m        y: i=0, run 0 --> l l l ... VL
 *          run 0 + offset[1] -->  l l l ... VL           t=1 | i i i ... m           i=0, run 1 --> l l l ... VL
 *           ...                                          ...                          ...
 *
 * Summed in the order of t, starting from the bias. Runs may overlap in y, where they are then the same. */
struct fcv_run {
  int64_t from, to;
};
struct fcv_runs {
  int64_t terms, count;  /* count: of runs */
  const int64_t *offset; /* [terms] */
  const struct fcv_run *run;
  const void *x;
  const void *w;    /* [terms][m] */
  const void *bias; /* [m], or NULL for zero */
  void *y;
  int64_t y_plane;
  int m;
  int activation; /* as in struct fcv_igemm_tile */
  double slope;
};
typedef void fcv_runs_fn(const struct fcv_runs *runs);

/* Products of rows of gy with rows of x, each one piece of memory for some images: one tile of m x n sums of vectors.
 *
 *     c[i * n + j] = sum over s < images, q < count of a[s * a_image + i * a_pitch + q] *
 *                                                      b[s * b_image + offset[j] + q]              i < m, j < n
 *
 * m is at most ra and n from (rb + 1) / 2 to rb, or m at most da and n from (rb + 1) / 2 to db; count is VL at least.
 * c has whole vectors, of which the rest may hold anything.
 *
 * Vectors are read from where row 0 of a is aligned, b too if it has the same distance to a vector, and the lanes
 * outside of a row count as zero. So VL elements before and behind the rows must be readable; begins says that those
 * before a are not, which is then read from its first element on, ends that those behind it are not. There are VL sums
 * for each i and j, of every VL-th element in order, which are added lane l to l + VL / 2, and so on: where rows are
 * aligned makes no difference to their bits, begins does. Meanwhile as many elements from ahead on, ahead_image apart,
 * are fetched into L2; nothing there needs to be readable. */
struct fcv_run_dots {
  int64_t images, count;
  const int64_t *offset; /* [n] */
  const void *a, *b, *ahead[2];
  int64_t a_pitch, a_image, b_image, ahead_image[2];
  void *c;
  int m, n, begins, ends;
  enum fcv_into into;
};
typedef void fcv_run_dots_fn(const struct fcv_run_dots *dots);

/* Rows with padding: y[r][i] = 0 for i < before, then x[r][j * step] for j < count, then 0 for i < after; above and
 * below them rows of zeros. Up to VL - 1 elements behind each row are written as well; rows are in order. */
struct fcv_pad_rows {
  int64_t above, rows, below, before, count, after, step;
  int64_t ahead; /* elements from each row to one of a later call, which is fetched into the cache; or 0 */
  const void *x;
  void *y;
  int64_t x_pitch, y_pitch;
};
typedef void fcv_pad_rows_fn(const struct fcv_pad_rows *pad);

/* Rows whose elements take turns: y[r][i * parts + p] = x[p][r][i] for i * parts + p < columns, p < parts. Up to VL / 2
 * elements behind a row of x are read. */
struct fcv_merge_rows {
  int64_t rows, columns, parts;
  const void *x;
  void *y;
  int64_t x_part, x_pitch, y_pitch;
};
typedef void fcv_merge_rows_fn(const struct fcv_merge_rows *merge);

/* Rows that are sums of shifted rows; parts is 1 or 2, whose elements then take turns.
 *
 *     y[r * y_pitch + i * parts + p] = sum over t < terms of x[offset[t] + r * width + i + shift[t]]
 *
 * for t with part[t] == p, in their order, of elements 0 <= i + shift[t] < width; i * parts + p < columns. columns is
 * VL at least, terms are at most FCV_FOLD_TERMS. Up to VL elements before and behind the rows of x must be readable. */
enum { FCV_FOLD_TERMS = 16 };
struct fcv_fold_rows {
  int64_t rows, columns, width, terms;
  const int64_t *offset, *shift; /* [terms] */
  const int *part;               /* [terms] */
  int parts;
  const void *x;
  void *y;
  int64_t y_pitch;
};
typedef void fcv_fold_rows_fn(const struct fcv_fold_rows *fold);

/* y[r * y_pitch + i] += x[r * x_pitch + i] for r < rows, i < columns. Whole vectors are moved: up to VL - 1 elements
 * behind each row are read, and of y written as they were. */
struct fcv_add_rows {
  int64_t rows, columns;
  const void *x;
  void *y;
  int64_t x_pitch, y_pitch;
};
typedef void fcv_add_rows_fn(const struct fcv_add_rows *add);

/* y[i] = x[i] for i < count, written past the caches, where the instruction set can: memory is not read first. */
typedef void fcv_copy_fn(int64_t count, const void *x, void *y);

/* Runs put together: y[(i * parts + p) * width + j] = x[p * count + i][j] for i < count, p < parts, j < width. VL - 1
 * elements behind each run of x are read. */
typedef void fcv_copy_runs_fn(int64_t count, int64_t parts, int64_t width, const void *const *x, void *y);

/* Pixels of all channels to blocks of channels, each of whole pixels: for b < blocks, first = channels * b / blocks
 *
 *     y[b * y_block + q * lanes + j] = x[q * x_step + first + j]      q < pixels, j < lanes = mi rounded up to vectors
 *
 * Lanes past a block's channels may hold anything, but nothing behind the last pixel's channels is read. */
struct fcv_split {
  int64_t pixels, channels, blocks, x_step, y_block;
  const void *x;
  void *y;
};
typedef void fcv_split_fn(const struct fcv_split *split);

/* Images side by side, as the channels of one: for q < pixels, k < images, j < count < VL
 *
 *     interleave:    lanes[q * width + k * count + j] = image[k][q * step + j]
 *     repeat:        lanes[q * width + k * count + j] = image[k][q * step]
 *     deinterleave:  image[k][q * step + j] = lanes[q * width + k * count + j]
 *
 * The first two, of width images * count, move whole vectors in the order of lanes: up to VL - 1 elements behind lanes
 * are written, and behind an image's last pixel, unless exact is set, read. The last one reads as many behind lanes. */
struct fcv_interleave {
  int64_t pixels, images, count, step, width;
  const void *const *image; /* [images]; written by deinterleave */
  void *lanes;
  int exact;
};
typedef void fcv_interleave_fn(const struct fcv_interleave *interleave);

/* sum[j] += sum over r of x[r * pitch + j] for j < columns, in the order of r. */
typedef void fcv_sum_rows_fn(int64_t rows, int64_t columns, const void *x, int64_t pitch, void *sum);
/* The sum of x[i], i < count: VL * 4 running sums, added up in a fixed order. */
typedef double fcv_sum_fn(int64_t count, const void *x);

/* Windows of a row, channels last: the pixels of window w are x[t] + w * step, t < taps, its number of results pitch.
 *
 *     max:       y[w][c] = max over t of x[t][w * step + c], index[w][c] = position[t] + w * stride of the first
 *                maximum; index may be NULL. NaN wins, the last of several
 *     avg:       y[w][c] = scale * sum over t of x[t][w * step + c], in the order of t
 *     max_grad:  gx[t][w * step + c] += gy[w][c] at the first maximum
 *     avg_grad:  gx[t][w * step + c] += scale * gy[w][c] for all t
 *
 * Where channels fill no vector, whole says how many windows, from the first on, are taken by whole vectors all the
 * same: behind their channels there is something to read, in x and gy, and to write, which a later window writes again.
 */
struct fcv_pool_windows {
  int64_t taps, windows, whole, channels, step, stride, pitch;
  const void *const *x;    /* [taps] */
  int64_t apart;           /* max without index, avg: where it is not 0, x[t] is x[0] + t * apart, and not given */
  void *const *gx;         /* [taps] */
  int alone;               /* no other window has these pixels: gx, which may hold anything, gets a share or zero */
  const int64_t *position; /* [taps] */
  double scale;
  void *y;        /* [windows][pitch] */
  const void *gy; /* [windows][pitch] */
  int64_t *index; /* [windows][pitch] */
};
typedef void fcv_pool_windows_fn(const struct fcv_pool_windows *windows);
/* What of the windows of one axis lies inside: elements first, first + dilation, ... of output o. */
struct fcv_window {
  int64_t first, count;
  int64_t divisor; /* elements that an average counts */
  int64_t alike;   /* windows from this one on that differ from it in first alone, by the stride; 1 or more */
};
enum { FCV_POOL_ROWS = 8 }; /* padded rows of a channel that are kept at a time */
/* One row of outputs of one channel (channels first): output o takes the columns of window[o] of each row. Unless they
 * are taken one by one, these are columns o * step + k * dilation - pad, k < kw, as far as they are in 0 .. width - 1.
 *
 *     max, avg:        y[o] = max, or scale[o] * sum, over rows r and those columns of x[r][column]. First the rows are
 *                      reduced to one, between elements that stand for padding, then its neighbours: (rows + kw)
 *                      operations an output, not rows * kw. VL scales are read where there are fewer outputs
 *     max_index:       y and index[o] = position[r] + column of the first maximum, -1 where there is no element
 *     max_grad:        gx_channel[that position] += gy[o]
 *     avg_grad:        gx[r][column] += scale[o] * gy[o] */
struct fcv_pool_row {
  int64_t rows, width, outputs, kw, step, dilation, pad;
  const struct fcv_window *window; /* [outputs] */
  int one_by_one;       /* vectors run along the columns of one window, whose dilation is 1; else along outputs */
  const void *const *x; /* [rows] */
  void *const *gx;      /* [rows] */
  void *gx_channel;
  const int64_t *position; /* [rows]: of the first column, in the channel */
  int64_t *tap;            /* [rows][kw], scratch */
  void *column;  /* FCV_POOL_ROWS padded rows, or as many as a window has, and 2 * VL elements behind each; scratch */
  int64_t pitch; /* of these */
  const void *first;      /* [outputs] integers: the first k whose column is inside, -1 where there is none */
  void *best, *which;     /* [outputs] and VL more, scratch: maxima and the numbers of their elements */
  void *y;                /* [outputs] */
  const void *gy, *scale; /* [outputs] */
  int64_t *index;         /* [outputs] */
};
typedef void fcv_pool_row_fn(const struct fcv_pool_row *row);
/* Windows of 2x2 elements that lie side by side, with two rows of x for each row of outputs:
 *
 *     max, avg:            y[r][o] = max, or scale * sum, of x[2 * r + i][2 * o + j] over i < 2, j < 2
 *     max_grad, avg_grad:  gx = gy[r][o] at the first maximum, or scale * gy[r][o], and zero elsewhere
 *
 * Rows of x and gx have width elements, of which the last may belong to no window; rows of y and gy have outputs. */
struct fcv_pool_2x2 {
  int64_t rows, outputs, width;
  double scale;
  const void *x, *gy;
  void *y, *gx;
};
typedef void fcv_pool_2x2_fn(const struct fcv_pool_2x2 *pool);
/* Between pooled pixels p and those of the image that index names, for channels c; pixels lie pitch elements apart.
 *
 *     add: image[index[p][c]][c] += pooled[p][c], where index is not -1
 *     put: image[index[p][c]][c] = pooled[p][c], in the order of p
 *     get: pooled[p][c] = image[index[p][c]][c]
 *
 * Returns 1, or 0 at the first index outside of 0 .. limit - 1. */
typedef int fcv_unpool_fn(int64_t pixels, int64_t channels, int64_t pitch, int64_t limit, const int64_t *index,
                          const void *from, void *to);

/* y[i] = sum over r < rows of weight[r] * x[r][i] for i < count; rows > 0, in the order of r. */
typedef void fcv_weighted_sum_fn(int64_t rows, int64_t count, const void *const *x, const double *weight, void *y);
/* y[o][c] = sum over t < taps of weight[o][t] * x[index[o][t]][c] for o < count, c < channels; taps > 0, in the order
 * of t. */
typedef void fcv_gather_fn(int64_t count, int64_t taps, int64_t channels, const int64_t *index, const void *weight,
                           const void *x, void *y);

/* y[i] = f(x[i]) and gx[i] = gy[i] * f'(saved[i]) for fcv_activation f with the parameters and the saved array that
 * fastconv.h names; in place is allowed. */
typedef void fcv_activation_fn(int activation, double slope, double threshold, int64_t count, const void *x, void *y);
typedef void fcv_activation_grad_fn(int activation, double slope, double threshold, int64_t count, const void *saved,
                                    const void *gy, void *gx);
/* y[i][j] = x[i][j] where saved[i][j] > 0, else weight[j] * x[i][j], i < rows, j < columns. y may be x or saved. */
typedef void fcv_prelu_fn(int64_t rows, int64_t columns, const void *weight, const void *saved, const void *x, void *y);
/* One row of softmax or its logarithm, and their gradients from y. */
typedef void fcv_softmax_fn(int logarithm, int64_t columns, const void *x, void *y);
typedef void fcv_softmax_grad_fn(int logarithm, int64_t columns, const void *y, const void *gy, void *gx);
/* The same over c < columns of x[c * pitch + i], for each i < count: vectors run over i. x and y may not overlap. */
typedef void fcv_softmax_columns_fn(int logarithm, int64_t columns, int64_t count, int64_t pitch, const void *x,
                                    void *y);
typedef void fcv_softmax_columns_grad_fn(int logarithm, int64_t columns, int64_t count, int64_t pitch, const void *y,
                                         const void *gy, void *gx);

/* Normalization. The moments of count numbers, or of each of at most FCV_STRIP columns, in two passes over x: about a
 * shift near their mean, so that they lose nothing where the mean is large beside the deviation. With d = x - shift
 *
 *     sums = shift, sum of d, sum of d * d, sum of gy, sum of gy * d
 *
 * moments_row: gy may be NULL for zero; it counts times weight where that is not NULL. sums: [FCV_MOMENTS] doubles.
 * moments_columns: x[r * pitch + j], gy too; sums: [FCV_MOMENTS][FCV_STRIP] of T, in the order of r. */
enum { FCV_SHIFT, FCV_D, FCV_DD, FCV_G, FCV_GD, FCV_MOMENTS, FCV_STRIP = 64 };
typedef void fcv_moments_row_fn(int64_t count, const void *x, const void *gy, const void *weight, double *sums);
typedef void fcv_moments_columns_fn(int64_t rows, int64_t columns, const void *x, const void *gy, int64_t pitch,
                                    void *sums);
/* y = (x - shift) * scale + offset + gy * gy_scale; gy may be NULL for zero. Arrays are [rows][columns], constants
 * [columns] in affine_rows, and one number for all in affine_plane. */
struct fcv_affine {
  int64_t rows, columns;
  const void *x, *gy, *shift, *scale, *offset, *gy_scale;
  void *y;
};
typedef void fcv_affine_fn(const struct fcv_affine *affine);
/* A row with numbers of its own, v[j] = (x[j] - shift) * scale + offset:
 *
 *     normalize_row:          y[j] = v[j] * weight[j] + bias[j]
 *     normalize_row_grad:     gx[j] = v[j] + gy[j] * weight[j] * gy_scale
 *     normalize_row_weights:  gw[j] += gy[j] * v[j],  gb[j] += gy[j]
 *
 * weight and bias may be NULL for one and zero. */
struct fcv_line {
  double shift, scale, offset;
};
typedef void fcv_normalize_row_fn(int64_t columns, const struct fcv_line *line, const void *x, const void *weight,
                                  const void *bias, void *y);
typedef void fcv_normalize_row_grad_fn(int64_t columns, const struct fcv_line *line, double gy_scale, const void *x,
                                       const void *gy, const void *weight, void *gx);
typedef void fcv_normalize_row_weights_fn(int64_t columns, const struct fcv_line *line, const void *x, const void *gy,
                                          void *gw, void *gb);

/* One transform of Winograd's algorithm on the vectors of a tile: n_in * n_in rows of channels to n_out * n_out rows.
 *
 *     to[i][j][c] = activation(bias[c] + sum over p, q of L[i][p] * L[j][q] * from[p][q][c])
 *
 * with L = B^T, A^T, G, A or G^T (winograd_inl.h). Rows of to that are NULL are left out. bias, which may be NULL, and
 * activation (linear, ReLU, leaky ReLU) are for the output transform. */
struct fcv_winograd_tile {
  int64_t channels;
  const void *const *from; /* [n_in * n_in] */
  int64_t from_bytes;      /* added to every pointer of from */
  void *const *to;         /* [n_out * n_out] */
  int64_t to_bytes;
  const void *bias;
  int activation;
  double slope;
  int past_caches; /* of the output transform: to is aligned, channels are whole vectors */
};
typedef void fcv_winograd_fn(const struct fcv_winograd_tile *tile);

/* rounds * FCV_PEAK_TURNS * FCV_PEAK_CHAINS multiply-adds of vectors, in chains enough to hide their latency; returns
 * something that depends on all of them. */
typedef double fcv_peak_fn(int64_t rounds);

struct fcv_kernels {
  const char *isa, *dtype;
  int64_t size;       /* bytes of an element */
  int vl, mr, nv, mi; /* lanes; igemm tile of mr x nv * vl; weight gradient tile of mi x nv * vl */
  int da, db, ra, rb; /* dots tile; run_dots takes another too */
  fcv_igemm_fn *igemm[FCV_MAX_NV], *igemm_rows[FCV_MAX_NV]; /* [v - 1]: panels of v vectors */
  int narrow_pixels;                                        /* of a tile of narrow, even */
  fcv_narrow_fn *narrow;
  fcv_depthwise_fn *depthwise_last, *depthwise_first;
  fcv_depthwise_planes_fn *depthwise_planes;
  fcv_depthwise_plane_sums_fn *depthwise_plane_sums;
  fcv_depthwise_spread_fn *depthwise_spread;
  fcv_depthwise_sums_fn *depthwise_sums_last, *depthwise_sums_first;
  fcv_depthwise_fn *grouped_last;
  fcv_depthwise_sums_fn *grouped_sums_last;
  fcv_wgrad_fn *wgrad[FCV_MAX_NV];
  fcv_dots_fn *dots;
  fcv_winograd_fn *winograd_input[2], *winograd_output[2], *winograd_weight[2], *winograd_grad_output[2],
      *winograd_grad_weight[2]; /* for m = 2 and 4 */
  fcv_transpose_fn *transpose;
  fcv_cut_panels_fn *cut_panels;
  fcv_patches_fn *patches;
  fcv_runs_fn *runs;
  fcv_run_dots_fn *run_dots;
  fcv_pad_rows_fn *pad_rows;
  fcv_merge_rows_fn *merge_rows;
  fcv_fold_rows_fn *fold_rows;
  fcv_add_rows_fn *add_rows;
  fcv_copy_fn *copy_past_caches;
  fcv_copy_runs_fn *copy_runs;
  fcv_split_fn *split;
  fcv_interleave_fn *interleave, *repeat, *deinterleave;
  fcv_sum_rows_fn *sum_rows;
  fcv_sum_fn *sum;
  fcv_pool_windows_fn *pool_max, *pool_avg, *pool_max_grad, *pool_avg_grad;
  fcv_pool_row_fn *pool_max_row, *pool_avg_row, *pool_max_index_row, *pool_max_grad_row, *pool_avg_grad_row;
  fcv_pool_2x2_fn *pool_max_2x2, *pool_avg_2x2, *pool_max_2x2_grad, *pool_avg_2x2_grad;
  fcv_weighted_sum_fn *weighted_sum;
  fcv_gather_fn *gather;
  fcv_unpool_fn *unpool_add, *unpool_put, *unpool_get;
  fcv_activation_fn *activation;
  fcv_activation_grad_fn *activation_grad;
  fcv_prelu_fn *prelu;
  fcv_softmax_fn *softmax;
  fcv_softmax_grad_fn *softmax_grad;
  fcv_softmax_columns_fn *softmax_columns;
  fcv_softmax_columns_grad_fn *softmax_columns_grad;
  fcv_moments_row_fn *moments_row;
  fcv_moments_columns_fn *moments_columns;
  fcv_affine_fn *affine_rows, *affine_plane;
  fcv_normalize_row_fn *normalize_row;
  fcv_normalize_row_grad_fn *normalize_row_grad;
  fcv_normalize_row_weights_fn *normalize_row_weights;
  fcv_peak_fn *peak;
};

extern const struct fcv_kernels fcv_f32_baseline, fcv_f64_baseline, fcv_f32_avx2, fcv_f64_avx2, fcv_f32_avx512,
    fcv_f64_avx512, fcv_f32_neon, fcv_f64_neon;

#endif
