/* Kernels of resampling, activations, softmax and normalization. */
#ifndef FASTCONV_KERNELS_ELEMENTS_H
#define FASTCONV_KERNELS_ELEMENTS_H

#include <stdint.h>

#include "../fastconv.h"

/* y[i] = sum over r < rows of weight[r] * x[r][i] for i < count; rows > 0, in the order of r. */
typedef void fcv_weighted_sum_fn(int64_t rows, int64_t count, const void *const *x, const double *weight, void *y);
/* y[o][c] = sum over t < taps of weight[o][t] * x[index[o][t]][c] for o < count, c < channels; taps > 0, in the order
 * of t. */
typedef void fcv_gather_fn(int64_t count, int64_t taps, int64_t channels, const int64_t *index, const void *weight,
                           const void *x, void *y);

/* Rows of sums of rows: y[r * y_pitch + i] = sum over t of weight[t] * x[offset[t] + i] for begin[r] <= t < begin[r +
 * 1], in their order, i < count. VL - 1 elements behind each row are read where it is shorter than a vector, unless
 * exact is set, and as many of y written. */
struct fcv_row_sums {
  int64_t rows, count;
  const int64_t *begin, *offset;
  const double *weight;
  int exact;
  const void *x;
  void *y;
  int64_t y_pitch;
};
typedef void fcv_row_sums_fn(const struct fcv_row_sums *sums);

/* Rows mapped along themselves, a group of outputs first .. first + VL - 1 at a time:
 *
 *     y[r * out + first + l] = sum over t < taps of weight[t][l] * x[offset[r] + base[t] + index[t][l]]
 *
 * for first + l < out, in the order of t. index is less than windows * VL, all of which are read, and of the integer
 * type of T's size; it is -1, with weight -0 (0 for t = 0), for lanes of a partial group that have no such tap. Groups
 * overlap where the last one would be part of a vector. */
struct fcv_row_group {
  int64_t first, taps;
  int64_t tap; /* its first one in base, index and weight */
  int windows; /* 1 or 2 */
  int partial;
};
struct fcv_row_map {
  int64_t out, groups;
  const struct fcv_row_group *group;
  const int64_t *base;
  const void *index, *weight; /* [][VL] */
};
typedef void fcv_map_rows_fn(const struct fcv_row_map *map, int64_t rows, const void *x, const int64_t *offset,
                             void *y);

/* Activations of so few instructions that their loops write past the caches themselves. */
static inline int fcv_is_comparison(int activation) {
  return activation == FCV_LINEAR || activation == FCV_RELU || activation == FCV_LEAKY_RELU || activation == FCV_RELU6;
}
/* y[i] = f(x[i]) and gx[i] = gy[i] * f'(saved[i]) for fcv_activation f with the parameters and the saved array that
 * fastconv.h names; in place is allowed. past_caches, where fcv_is_comparison: the result is written so, and the caller
 * calls fcv_fence. */
typedef void fcv_activation_fn(int activation, double slope, double threshold, int64_t count, const void *x, void *y,
                               int past_caches);
typedef void fcv_activation_grad_fn(int activation, double slope, double threshold, int64_t count, const void *saved,
                                    const void *gy, void *gx, int past_caches);
/* y[i][j] = x[i][j] where saved[i][j] > 0, else weight[j] * x[i][j], i < rows, j < columns. y may be x or saved. */
typedef void fcv_prelu_fn(int64_t rows, int64_t columns, const void *weight, const void *saved, const void *x, void *y);
/* A step as fastconv.h has it, of one optimizer. */
typedef void fcv_step_fn(const struct fcv_step *step, int64_t count, const void *g, void *w, void *m, void *v, void *a);
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
/* What normalization does to [rows][columns], with constants [columns] for the _rows and one number each for the
 * _plane functions:
 *
 *     affine:  y = (x - shift) * scale + offset + addend, no less than 0 if rectified; addend may be NULL for zero
 *     affine_grad:  y = (x - shift) * scale + offset + g * gy_scale
 *     graded:  sums of g, and of g * (x - shift)
 *
 * g is gy, or if rectified 0 where (x - shift) * mask_scale + mask_offset <= 0. The sums are [FCV_MOMENTS]
 * doubles of a plane, and [FCV_MOMENTS][FCV_STRIP] of T of rows, at FCV_G and FCV_GD. pitch, of graded_rows: from row
 * to row, which have at most FCV_STRIP columns. */
struct fcv_affine {
  int64_t rows, columns, pitch;
  int rectified;
  const void *x, *gy, *addend, *shift, *scale, *offset, *gy_scale, *mask_scale, *mask_offset;
  void *y;
};
typedef void fcv_affine_fn(const struct fcv_affine *affine);
typedef void fcv_graded_fn(const struct fcv_affine *affine, void *sums);
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

#endif
