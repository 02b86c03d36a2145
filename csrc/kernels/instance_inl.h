/* All kernels of one element type and instruction set, and their table. The isa_*.c files include it twice, after
 * setting ISA, VECTOR_BYTES, the tile sizes MR, NV, MI, DA, DB, and DTYPE with DTYPE_BITS. */
#include <math.h>

#include "kernels.h"
#include "simd.h"

#ifndef WIDE
#define WIDE MR
#define WIDE_MI MI
#define WIDE_NV NV
#endif
_Static_assert(MR <= FCV_MAX_MR && WIDE <= MR && WIDE_MI <= MI && WIDE_NV <= FCV_MAX_NV && DA <= FCV_MAX_DA &&
                   DB <= FCV_MAX_DB,
               "operations have room for a tile");

#if WIDE_NV > NV
/* The first of two halves of a wide tile's rows. */
#define middle_of NAME(middle_of)
INLINE int middle_of(int m, int wide) { return m > wide / 2 ? (m + 1) / 2 : m; }

/* Rows first .. end - 1 of a tile, at most 6, by BODY(rows, nv). */
#define HALF(name, tile_type, nv)                                                                                      \
  static void NAME(name)(const struct tile_type *tile, int first, int end) {                                           \
    switch (end - first) {                                                                                             \
    case 1:                                                                                                            \
      BODY(1, nv);                                                                                                     \
      break;                                                                                                           \
    case 2:                                                                                                            \
      BODY(2, nv);                                                                                                     \
      break;                                                                                                           \
    case 3:                                                                                                            \
      BODY(3, nv);                                                                                                     \
      break;                                                                                                           \
    case 4:                                                                                                            \
      BODY(4, nv);                                                                                                     \
      break;                                                                                                           \
    case 5:                                                                                                            \
      BODY(5, nv);                                                                                                     \
      break;                                                                                                           \
    case 6:                                                                                                            \
      BODY(6, nv);                                                                                                     \
      break;                                                                                                           \
    }                                                                                                                  \
  }
/* A wide tile has twice as many rows as stay in registers: the second half finds what both read in the cache. */
#define IN_HALVES(name, tile_type, wide, nv)                                                                           \
  HALF(name##_half, tile_type, nv)                                                                                     \
  static void NAME(name)(const struct tile_type *tile) {                                                               \
    const int middle = middle_of(tile->m, wide);                                                                       \
    NAME(name##_half)(tile, 0, middle);                                                                                \
    if (middle < tile->m)                                                                                              \
      NAME(name##_half)(tile, middle, tile->m);                                                                        \
  }
#endif

#include "math_inl.h"
#include "depthwise_inl.h"
#include "elementwise_inl.h"
#include "grouped_inl.h"
#include "igemm_inl.h"
#include "layout_inl.h"
#include "depthwise_planes_inl.h"
#include "depthwise_spread_inl.h"
#include "dots_inl.h"
#include "narrow_inl.h"
#include "normalize_inl.h"
#include "optimizers_inl.h"
#include "peak_inl.h"
#include "pool_2x2_inl.h"
#include "pool_inl.h"
#include "pool_lanes_inl.h"
#include "pool_last_inl.h"
#include "pool_whole_inl.h"
#include "softmax_inl.h"
#include "resample_inl.h"
#include "row_updates_inl.h"
#include "resample_rows_inl.h"
#include "run_dots_inl.h"
#include "lane_sums_inl.h"
#include "runs_inl.h"
#include "unpool_inl.h"
#include "wgrad_inl.h"
#include "winograd_inl.h"

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#if NV == 4
#define PANELS(kernel) NAME(kernel##_1), NAME(kernel##_2), NAME(kernel##_3), NAME(kernel##_4)
#else
#define PANELS(kernel) NAME(kernel##_1), NAME(kernel##_2)
#endif
#if WIDE_NV > NV
#define WIDE_PANELS(kernel) PANELS(kernel), NAME(kernel##_3), NAME(kernel##_4)
#define WIDE_PACKING NAME(igemm_wide_packing)
#else
#define WIDE_PANELS(kernel) PANELS(kernel)
#define WIDE_PACKING NAME(igemm_packing)
#endif

const struct fcv_kernels JOIN(NAME(fcv), ISA) = {
    .isa = TEXT(ISA),
    .dtype = TEXT(DTYPE),
    .size = sizeof(real),
    .vl = VL,
    .mr = MR,
    .nv = NV,
    .mi = MI,
    .wide = WIDE,
    .wide_mi = WIDE_MI,
    .wide_nv = WIDE_NV,
    .da = DA,
    .db = DB,
    .ra = RA,
    .rb = RB,
    .igemm = {PANELS(igemm)},
    .igemm_wide = {WIDE_PANELS(igemm)},
    .igemm_rows = {PANELS(igemm_rows)},
    .igemm_packing = NAME(igemm_packing),
    .igemm_wide_packing = WIDE_PACKING,
    .narrow_pixels = NARROW,
    .narrow = NAME(narrow),
    .depthwise_last = NAME(depthwise_last),
    .depthwise_first = NAME(depthwise_first),
    .depthwise_planes = NAME(depthwise_planes),
    .depthwise_plane_sums = NAME(depthwise_plane_sums),
    .depthwise_spread = NAME(depthwise_spread),
    .depthwise_sums_last = NAME(depthwise_sums_last),
    .depthwise_sums_first = NAME(depthwise_sums_first),
    .grouped_last = NAME(grouped_last),
    .grouped_sums_last = NAME(grouped_sums_last),
    .wgrad = {WIDE_PANELS(wgrad)},
    .dots = NAME(dots),
    .winograd_input = {NAME(winograd_input_2), NAME(winograd_input_4)},
    .winograd_output = {NAME(winograd_output_2), NAME(winograd_output_4)},
    .winograd_weight = {NAME(winograd_weight_2), NAME(winograd_weight_4)},
    .winograd_grad_output = {NAME(winograd_grad_output_2), NAME(winograd_grad_output_4)},
    .winograd_grad_weight = {NAME(winograd_grad_weight_2), NAME(winograd_grad_weight_4)},
    .transpose = NAME(transpose),
    .cut_panels = NAME(cut_panels),
    .patches = NAME(patches),
    .runs = NAME(runs),
    .run_dots = NAME(run_dots),
    .lane_sums = NAME(lane_sums),
    .pad_rows = NAME(pad_rows),
    .merge_rows = NAME(merge_rows),
    .repeat = NAME(repeat),
    .sum_neighbours = NAME(sum_neighbours),
    .fold_rows = NAME(fold_rows),
    .add_rows = NAME(add_rows),
    .copy_past_caches = NAME(copy_past_caches),
    .copy_runs = NAME(copy_runs),
    .split = NAME(split),
    .sum_rows = NAME(sum_rows),
    .sum = NAME(sum),
    .pool_max = NAME(pool_max),
    .pool_avg = NAME(pool_avg),
    .pool_max_grad = NAME(pool_max_grad),
    .pool_avg_grad = NAME(pool_avg_grad),
    .pool_max_row = NAME(pool_max_row),
    .pool_avg_row = NAME(pool_avg_row),
    .pool_max_index_row = NAME(pool_max_index_row),
    .pool_max_grad_row = NAME(pool_max_grad_row),
    .pool_avg_grad_row = NAME(pool_avg_grad_row),
    .pool_max_planes = NAME(pool_max_planes),
    .pool_avg_planes = NAME(pool_avg_planes),
    .pool_max_lanes = NAME(pool_max_lanes),
    .pool_max_index_lanes = NAME(pool_max_index_lanes),
    .pool_avg_lanes = NAME(pool_avg_lanes),
    .pool_avg_grad_lanes = NAME(pool_avg_grad_lanes),
    .pool_widen = NAME(pool_widen),
    .pool_scatter = NAME(pool_scatter),
    .row_updates = NAME(row_updates),
    .pool_max_whole = NAME(pool_max_whole),
    .pool_max_index_whole = NAME(pool_max_index_whole),
    .pool_avg_whole = NAME(pool_avg_whole),
    .pool_avg_whole_grad = NAME(pool_avg_whole_grad),
    .pool_max_2x2 = NAME(pool_max_2x2),
    .pool_max_index_2x2 = NAME(pool_max_index_2x2),
    .pool_avg_2x2 = NAME(pool_avg_2x2),
    .pool_max_2x2_grad = NAME(pool_max_2x2_grad),
    .pool_avg_2x2_grad = NAME(pool_avg_2x2_grad),
    .weighted_sum = NAME(weighted_sum),
    .gather = NAME(gather),
    .row_sums = NAME(row_sums),
    .map_rows = NAME(map_rows),
    .unpool_add = NAME(unpool_add),
    .unpool_put = NAME(unpool_put),
    .unpool_get = NAME(unpool_get),
    .activation = NAME(activation),
    .activation_grad = NAME(activation_grad),
    .prelu = NAME(prelu),
    .step = {NAME(sgd), NAME(rmsprop), NAME(adagrad), NAME(adam)}, /* as fcv_optimizer */
    .softmax = NAME(softmax),
    .softmax_grad = NAME(softmax_grad),
    .softmax_columns = NAME(softmax_columns),
    .softmax_columns_grad = NAME(softmax_columns_grad),
    .moments_row = NAME(moments_row),
    .moments_columns = NAME(moments_columns),
    .affine_rows = NAME(affine_rows),
    .affine_plane = NAME(affine_plane),
    .affine_grad_rows = NAME(affine_grad_rows),
    .affine_grad_plane = NAME(affine_grad_plane),
    .graded_rows = NAME(graded_rows),
    .graded_plane = NAME(graded_plane),
    .normalize_row = NAME(normalize_row),
    .normalize_row_grad = NAME(normalize_row_grad),
    .normalize_row_weights = NAME(normalize_row_weights),
    .peak = NAME(peak),
};
