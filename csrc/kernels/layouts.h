/* Kernels that move elements: transposition, patches, padding, rows joined and split; and sums of rows. */
#ifndef FASTCONV_KERNELS_LAYOUTS_H
#define FASTCONV_KERNELS_LAYOUTS_H

#include <stdint.h>

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

/* y[i] = x[i] for i < count, written past the caches, where the instruction set can: memory is not read first. As many
 * elements from ahead on, which need not be readable, are fetched meanwhile. The caller calls fcv_fence in the end. */
typedef void fcv_copy_fn(int64_t count, const void *x, void *y, const void *ahead);

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

/* y[i * times + p] = x[i] for i < count, p < times. Up to VL elements behind x are read. */
typedef void fcv_repeat_fn(int64_t count, int64_t times, const void *x, void *y);

/* y[i] = sum over p < parts of x[i * parts + p] for i < count; x, which is overwritten, may be y. */
typedef void fcv_sum_neighbours_fn(int64_t count, int64_t parts, void *x, void *y);

/* sum[j] += sum over r of x[r * pitch + j] for j < columns, in the order of r. */
typedef void fcv_sum_rows_fn(int64_t rows, int64_t columns, const void *x, int64_t pitch, void *sum);
/* The sum of x[i], i < count: VL * 4 running sums, added up in a fixed order. */
typedef double fcv_sum_fn(int64_t count, const void *x);

#endif
