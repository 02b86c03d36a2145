/* Kernels of depthwise convolution, and of small groups of channels. */
#ifndef FASTCONV_KERNELS_DEPTHWISE_H
#define FASTCONV_KERNELS_DEPTHWISE_H

#include <stdint.h>

enum { FCV_DEPTHWISE_TAPS = 9 };

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
 * lines are rows. depthwise_last leaves out columns of x that are outside: begin <= i * (x_step / x_tap) + t < end are
 * inside, unless end is 0, where all are; where fcv_depthwise_has_edges only. Where width is less than VL, whole
 * vectors of x, w and bias are read. Summed over t inside g, in order, starting from the bias.
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
  int64_t begin, end;
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

enum { FCV_DEPTHWISE_LINES = 4 }; /* of a tile: with 5 taps' weights and an input vector they fit into 16 registers */

/* Kernels as wide as these have code of their own. */
static inline int fcv_has_own_taps(int64_t taps) { return taps == 3 || taps == 5 || taps == 7; }

static inline int fcv_depthwise_has_edges(const struct fcv_depthwise *d) {
  const int fits = (d->taps == 3 && d->x_step == 2 * d->x_tap) || (fcv_has_own_taps(d->taps) && d->x_step == d->x_tap);
  return fits && d->count >= FCV_DEPTHWISE_LINES;
}

/* Depthwise convolution of planes that lie without padding; what is outside of a plane counts as zero.
 *
 *     y[p][r * y_row + c] = activation(bias[p] + sum over i < taps, k < taps of
 *                                      x[p][(r * step + k - above) * x_row + c * step + i * apart - before] *
 *                                      w[p][k * w_row + i * w_column])
 *
 * for p < planes, r < rows, c < width; planes, of in_rows x in_width and rows x width, begin x_plane, y_plane and
 * w_plane elements apart. taps is 3, 5 or 7, step 1, or of 3 and 5 taps 2; of before, and of the columns that the last
 * c meets behind a row, there are at most VL, of above and of rows below at most taps. Whole vectors are moved:
 * FCV_PLANE_SLACK * VL elements before the first plane and behind the last one must be readable, and y is written in
 * order and up to its end, or where y_row is more than width up to the end of each row. Summed over k inside i, in
 * order, starting from the bias. */
enum { FCV_PLANE_TAPS = 7, FCV_PLANE_SLACK = 6 };
struct fcv_depthwise_planes {
  int64_t planes, taps, step, apart;
  int64_t in_rows, in_width, rows, width, above, before;
  int64_t x_row, y_row;
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

#endif
