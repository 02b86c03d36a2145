/* Kernels of channels-first convolution that multiply along the pixels of a row. */
#ifndef FASTCONV_KERNELS_PLANES_H
#define FASTCONV_KERNELS_PLANES_H

#include "products.h"

/* Products of rows with rows: one tile of da x db sums of vectors, held in registers over q < count.
 *
 *     c[i * c_pitch + column[j]] = sum over q of a[i][q] * b[j][q]                       i < m <= da, j < n <= db
 *
 * All da and db pointers must be readable (repeat the last). There are VL sums for each i and j, in the order of q,
 * which are added pairwise. */
enum { FCV_MAX_DA = 6, FCV_MAX_DB = 4 };
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

/* Sums of products of pixels that are vectors, an image for each lane: a tile of m x n vectors.
 *
 *     sums[i * sums_pitch + j][lane] += sum over r < rows, q < count of
 *                                       gy[i * gy_plane + r * gy_row + q * gy_step + lane] *
 *                                       x[offset[j] + r * x_row + q * x_step + lane]         i < m <= ra, j < n <= rb
 *
 * with n no less than (rb + 1) / 2. Summed in the order of r and q, then added: sums of sums, whose rounding errors
 * stay small. */
struct fcv_lane_sums {
  int64_t rows, count;
  const int64_t *offset; /* [n] */
  const void *gy, *x;
  int64_t gy_plane, gy_row, gy_step, x_row, x_step;
  void *sums;
  int64_t sums_pitch; /* vectors */
  int m, n;
};
typedef void fcv_lane_sums_fn(const struct fcv_lane_sums *sums);

#endif
