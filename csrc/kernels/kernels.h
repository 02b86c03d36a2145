/* What a micro-kernel promises, a header for each family, and the table that one instruction set fills.
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
#include "depthwise.h"
#include "elements.h"
#include "layouts.h"
#include "planes.h"
#include "pooling.h"
#include "products.h"

struct fcv_kernels {
  const char *isa, *dtype;
  int64_t size;               /* bytes of an element */
  int vl, mr, nv, mi;         /* lanes; igemm tile of mr x nv * vl; weight gradient tile of mi x nv * vl */
  int wide, wide_mi, wide_nv; /* wide tiles of wide, or wide_mi, x wide_nv * vl; wide <= mr, wide_mi <= mi */
  int da, db, ra, rb;         /* dots tile; run_dots takes another too */
  fcv_igemm_fn *igemm[FCV_MAX_NV], *igemm_wide[FCV_MAX_NV], *igemm_rows[FCV_MAX_NV]; /* [v - 1]: panels of v vectors */
  fcv_igemm_fn *igemm_packing, *igemm_wide_packing;
  fcv_row_updates_fn *row_updates;
  int narrow_pixels; /* of a tile of narrow, even */
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
  fcv_lane_sums_fn *lane_sums;
  fcv_pad_rows_fn *pad_rows;
  fcv_merge_rows_fn *merge_rows;
  fcv_repeat_fn *repeat;
  fcv_sum_neighbours_fn *sum_neighbours;
  fcv_fold_rows_fn *fold_rows;
  fcv_add_rows_fn *add_rows;
  fcv_copy_fn *copy_past_caches;
  fcv_copy_runs_fn *copy_runs;
  fcv_split_fn *split;
  fcv_sum_rows_fn *sum_rows;
  fcv_sum_fn *sum;
  fcv_pool_windows_fn *pool_max, *pool_avg, *pool_max_grad, *pool_avg_grad;
  fcv_pool_row_fn *pool_max_row, *pool_avg_row, *pool_max_index_row, *pool_max_grad_row, *pool_avg_grad_row;
  fcv_pool_planes_fn *pool_max_planes, *pool_avg_planes;
  fcv_pool_lanes_fn *pool_max_lanes, *pool_max_index_lanes, *pool_avg_lanes, *pool_avg_grad_lanes;
  fcv_pool_widen_fn *pool_widen;
  fcv_pool_scatter_fn *pool_scatter;
  fcv_pool_whole_fn *pool_max_whole, *pool_max_index_whole, *pool_avg_whole, *pool_avg_whole_grad;
  fcv_pool_2x2_fn *pool_max_2x2, *pool_max_index_2x2, *pool_avg_2x2, *pool_max_2x2_grad, *pool_avg_2x2_grad;
  fcv_weighted_sum_fn *weighted_sum;
  fcv_gather_fn *gather;
  fcv_row_sums_fn *row_sums;
  fcv_map_rows_fn *map_rows;
  fcv_unpool_fn *unpool_add, *unpool_put, *unpool_get;
  fcv_activation_fn *activation;
  fcv_activation_grad_fn *activation_grad;
  fcv_prelu_fn *prelu;
  fcv_step_fn *step[FCV_OPTIMIZERS];
  fcv_softmax_fn *softmax;
  fcv_softmax_grad_fn *softmax_grad;
  fcv_softmax_columns_fn *softmax_columns;
  fcv_softmax_columns_grad_fn *softmax_columns_grad;
  fcv_moments_row_fn *moments_row;
  fcv_moments_columns_fn *moments_columns;
  fcv_affine_fn *affine_rows, *affine_plane, *affine_grad_rows, *affine_grad_plane;
  fcv_graded_fn *graded_rows, *graded_plane;
  fcv_normalize_row_fn *normalize_row;
  fcv_normalize_row_grad_fn *normalize_row_grad;
  fcv_normalize_row_weights_fn *normalize_row_weights;
  fcv_peak_fn *peak;
};

extern const struct fcv_kernels fcv_f32_baseline, fcv_f64_baseline, fcv_f32_avx2, fcv_f64_avx2, fcv_f32_avx512,
    fcv_f64_avx512, fcv_f32_neon, fcv_f64_neon;

#endif
