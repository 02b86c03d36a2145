/* Kernels of pooling, and of what undoes it. */
#ifndef FASTCONV_KERNELS_POOLING_H
#define FASTCONV_KERNELS_POOLING_H

#include <stdint.h>

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
/* Maxima, or averages, of some images of one channel each, windows by step 1 or 2 along a row:
 *
 *     y[p][r][o] = max, or scale[r][o] * sum, of x[p][row][column]     p < planes, r < rows, o < outputs
 *
 * over rows of window[r] and columns o * step + k * dilation - pad, k < kw, as far as they are in 0 .. width - 1. As
 * above rows are reduced to one first, FCV_POOL_ROWS of them before any is read: it would wait for what was just
 * stored. */
struct fcv_pool_planes {
  int64_t planes, rows, outputs, width, kw, step, dilation, pad;
  const struct fcv_window *window; /* [rows] */
  int64_t row_dilation, x_plane;
  const void *x;
  void *column;             /* FCV_POOL_ROWS padded rows, and 2 * VL elements behind each; scratch */
  int64_t pitch;            /* of these */
  const void *const *scale; /* [rows][outputs], of which VL are read where they are fewer; of averages */
  void *y;
};
typedef void fcv_pool_planes_fn(const struct fcv_pool_planes *pool);
/* The same of VL channels together, transposed: element i of a row is a vector, at i * VL, each lane of which is a
 * channel. Output o takes the columns window[o] of each row.
 *
 *     max, avg:   y[o] = max, or scale[o] * sum; as above rows are reduced to one first
 *     max_index:  y and which[o], an integer of the elements' size, = position[r] + column of the first maximum, -1
 *                 where there is no element
 *     avg_grad:   gx[r][column] += scale[o] * gy[o] */
struct fcv_pool_lanes {
  int64_t rows, width, outputs, dilation;
  const struct fcv_window *window; /* [outputs] */
  const void *const *x;            /* [rows][width] */
  void *const *gx;                 /* [rows][width] */
  const int64_t *position;         /* [rows]: of the first column, in the channel */
  void *column;                    /* [width], scratch */
  void *y, *which;                 /* [outputs] */
  const void *gy;                  /* [outputs] */
  const void *scale;               /* [outputs], numbers */
};
typedef void fcv_pool_lanes_fn(const struct fcv_pool_lanes *lanes);
/* Of integers of the elements' size, as above, index[i] = which[i]; */
typedef void fcv_pool_widen_fn(int64_t count, const void *which, int64_t *index);
/* and gx[which[i]] += gy[i], where it is not negative, in the order of i. */
typedef void fcv_pool_scatter_fn(int64_t count, const void *which, const void *gy, void *gx);
/* Windows of 2x2 elements that lie side by side, with two rows of x for each row of outputs:
 *
 *     max, avg:            y[r][o] = max, or scale * sum, of x[2 * r + i][2 * o + j] over i < 2, j < 2
 *     max_index:           y and index[r][o] = the position of the first maximum in its image of `image` rows of y
 *     max_grad, avg_grad:  gx = gy[r][o] at the first maximum, or scale * gy[r][o], and zero elsewhere
 *
 * Rows of x and gx have width elements, of which the last may belong to no window; rows of y and gy have outputs. */
struct fcv_pool_2x2 {
  int64_t rows, outputs, width, image;
  double scale;
  const void *x, *gy;
  void *y, *gx;
  int64_t *index;
};
typedef void fcv_pool_2x2_fn(const struct fcv_pool_2x2 *pool);
/* A number of each plane, which lie one after the other: y[p] = max, or scale * sum, of x[p][i] over i < count, with
 * index[p] the first such i; or back, x[p][i] = scale * y[p]. Where maxima alone are, index is NULL. */
struct fcv_pool_whole {
  int64_t planes, count;
  double scale;
  const void *from;
  void *to;
  int64_t *index;
};
typedef void fcv_pool_whole_fn(const struct fcv_pool_whole *pool);
/* Between pooled pixels p and those of the image that index names, for channels c; pixels lie pitch elements apart.
 *
 *     add: image[index[p][c]][c] += pooled[p][c], where index is not -1
 *     put: image[index[p][c]][c] = pooled[p][c], in the order of p
 *     get: pooled[p][c] = image[index[p][c]][c]
 *
 * Returns 1, or 0 at the first index outside of 0 .. limit - 1. */
typedef int fcv_unpool_fn(int64_t pixels, int64_t channels, int64_t pitch, int64_t limit, const int64_t *index,
                          const void *from, void *to);

#endif
