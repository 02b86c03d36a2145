/* Which algorithm a pass takes, and which way of it; and the ways of walks, a file each. */
#ifndef FASTCONV_WAYS_H
#define FASTCONV_WAYS_H

#include "source.h"

/* cost.c: of an algorithm that applies, in multiply-adds at full speed. */
double fcv_pass_cost(const struct fcv_conv *conv, fcv_pass pass, fcv_algorithm algorithm);
/* choose.c: what FCV_AUTO takes, and whether for arrays that are turned to channels last, and back. */
int fcv_choose_layout(const struct fcv_conv *conv, fcv_pass pass, fcv_algorithm *chosen);
/* How they are turned: data, and weights of gradients where they are few, channels last. */
struct fcv_conv fcv_turned(const struct fcv_conv *conv, fcv_pass pass);
/* How a walk of a convolution with a settled algorithm is computed; FCV_BY_MATRIX, FCV_BY_DEPTHWISE,
 * FCV_BY_MULTIPLIED and FCV_BY_LANES hold for all walks of a pass. */
enum fcv_way {
  FCV_BY_WINOGRAD,
  FCV_BY_TOEPLITZ,
  FCV_BY_MATRIX, /* FCV_TOEPLITZ_FULL */
  FCV_BY_DEPTHWISE,
  FCV_BY_MULTIPLIED,
  FCV_BY_LANES,
  FCV_BY_NARROW,
  FCV_BY_DOTS,
  FCV_BY_PLANES,
  FCV_BY_DIRECT, /* im2col too */
};
enum fcv_way fcv_way(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view);
/* The same for the weight gradient, whose walk is that of the forward pass. */
enum fcv_wgrad_way {
  FCV_WGRAD_BY_WINOGRAD,
  FCV_WGRAD_BY_DEPTHWISE,
  FCV_WGRAD_BY_LANES,
  FCV_WGRAD_BY_RUNS,
  FCV_WGRAD_BY_PLANES,
  FCV_WGRAD_BY_POINTWISE,
  FCV_WGRAD_BY_STRIPS,
  FCV_WGRAD_BY_DIRECT, /* im2col too */
};
enum fcv_wgrad_way fcv_wgrad_way(const struct fcv_conv *conv, const struct fcv_walk *walk);

/* conv_turned.c: a pass on turned arrays, and its result back. last: the convolution of them, as fcv_turned says. */
struct fcv_arrays {
  const void *x, *y, *w, *bias; /* of the images' and of the outputs' size, weights and bias, as far as it reads them */
  void *result;
};
fcv_status fcv_conv_turned(const struct fcv_conv *conv, const struct fcv_conv *last, fcv_pass pass,
                           const struct fcv_arrays *arrays);

/* conv_direct.c, channels last and first. Here and below packed weights are those that a pass lays out in its workspace
 * where conv->packed is NULL. */
fcv_status fcv_conv_direct(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                           const void *x, const void *w, const void *bias, void *y);
/* Whether so few pixels meet the weights that each unit packs its own. */
int fcv_fits_pieces(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view);
/* Tiles of a unit by im2col, whose pixels' patches have so many values. */
int64_t fcv_im2col_tiles(const struct fcv_kernels *kernels, int64_t values);
int64_t fcv_direct_packed_bytes(const struct fcv_conv *conv, const struct fcv_walk *walk);
void fcv_direct_pack(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                     const void *w, const void *bias, char *packed);

/* conv_planes.c: direct convolution of channels first, where it applies. */
int fcv_use_planes(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view);
fcv_status fcv_conv_planes(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                           const void *x, const void *w, const void *bias, void *y);
/* The input gradient, without bias and activation, where taps meet every second row and column alone. */
int fcv_spreads_planes(const struct fcv_conv *conv, const struct fcv_weight_view *view);
fcv_status fcv_conv_planes_spread(const struct fcv_conv *conv, const struct fcv_weight_view *view, const void *gy,
                                  const void *w, void *gx);
/* Where the pixels of all images are few, how many of them fill no vector, if these are few too: their sums run along
 * terms. */
int fcv_planes_rest(const struct fcv_kernels *kernels, const struct fcv_walk *walk);
/* weight_rows.c: whether w is [group][channel][term] as it stands. */
int fcv_stands_as_rows(const struct fcv_walk *walk, const struct fcv_weight_view *view);
int64_t fcv_planes_packed_bytes(const struct fcv_conv *conv, const struct fcv_walk *walk);
void fcv_planes_pack(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                     const void *w, const void *bias, char *packed);
/* Weights as rows of terms, and bias: packed, as they stand, or packed to memory of so many bytes. */
struct fcv_weight_rows {
  const char *w, *bias; /* w: [group][channel][pitch]; bias: [group][channel], or NULL */
  int64_t pitch;
};
int64_t fcv_weight_rows_bytes(const struct fcv_conv *conv, const struct fcv_walk *walk,
                              const struct fcv_weight_view *view);
struct fcv_weight_rows fcv_weight_rows(const struct fcv_conv *conv, const struct fcv_walk *walk,
                                       const struct fcv_weight_view *view, const void *w, const void *bias,
                                       char *memory);

/* conv_few_samples.c: of a linear layer. */
int fcv_use_few_samples(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view);
fcv_status fcv_conv_few_samples(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x, const void *w,
                                const void *bias, void *y);
/* conv_runs.c: planes without patches, for few terms, where it applies. */
int fcv_use_runs(const struct fcv_kernels *k, const struct fcv_walk *walk);
fcv_status fcv_conv_runs(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                         const void *x, const void *w, const void *bias, void *y);
/* Rows of weights, [row][pitch], to tiles of at most mr rows, [tile][term][row of the tile]. Tile t has rows
 * rows * t / tiles .. rows * (t + 1) / tiles - 1. */
static inline int64_t fcv_run_tiles(const struct fcv_kernels *k, int64_t rows) { return fcv_ceil_div(rows, k->mr); }
void fcv_pack_run_tiles(const struct fcv_kernels *k, int64_t rows, int64_t terms, const char *w, int64_t pitch,
                        char *to);

/* conv_planes_merged.c: the input gradient by planes, all its walks, where a stride parts the columns of a row. */
int fcv_merges_planes(const struct fcv_conv *conv, const struct fcv_weight_view *view);
fcv_status fcv_conv_planes_merged(const struct fcv_conv *conv, const struct fcv_weight_view *view, const void *gy,
                                  const void *w, const void *bias, void *gx);

/* conv_depthwise.c. By direct convolution, channels of a group, as many out as in, that the kernels for depthwise
 * convolution take: 1, or channels last 2, 4 or 8 where a vector holds more; else 0. */
int64_t fcv_small_groups(const struct fcv_conv *conv);
/* Forward, or where transposed from gy to gx, where they apply. */
fcv_status fcv_conv_depthwise(const struct fcv_conv *conv, int transposed, const void *x, const void *w,
                              const void *bias, void *y);
/* Whether vectors run along channels: always where they are last. */
int fcv_depthwise_along_channels(const struct fcv_conv *conv, int transposed);
int64_t fcv_depthwise_packed_bytes(const struct fcv_conv *conv);
void fcv_depthwise_pack(const struct fcv_conv *conv, int transposed, const void *w, const void *bias, char *packed);

/* conv_multiplied.c. By direct convolution, channels last, filters of each channel by itself, where there are several
 * and the kernels for depthwise convolution take them; else 0. */
int64_t fcv_channel_multiplier(const struct fcv_conv *conv);
fcv_status fcv_conv_multiplied(const struct fcv_conv *conv, int transposed, const void *x, const void *w,
                               const void *bias, void *y);
int64_t fcv_multiplied_packed_bytes(const struct fcv_conv *conv);
void fcv_multiplied_pack(const struct fcv_conv *conv, const void *w, const void *bias, char *packed);

/* conv_lanes.c: direct convolution, or where transposed from gy to gx, of few channels of many images. */
int fcv_fits_lanes(const struct fcv_conv *conv);
int fcv_use_lanes(const struct fcv_conv *conv, const struct fcv_walk *walk);
/* Whether so few channels are to leave the lanes of a vector to images. */
static inline int fcv_leaves_lanes_empty(int64_t vl, int64_t channels) { return 4 * channels <= 3 * vl; }
double fcv_lanes_products(const struct fcv_conv *conv, const struct fcv_walk *walk);
fcv_status fcv_conv_lanes(const struct fcv_conv *conv, int transposed, const void *x, const void *w, const void *bias,
                          void *y);

/* conv_dots.c: one tap, few output channels. */
int fcv_use_dots(const struct fcv_conv *conv, const struct fcv_walk *walk);
fcv_status fcv_conv_dots(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                         const void *x, const void *w, const void *bias, void *y);

/* conv_narrow.c: direct convolution to at most a vector of output channels, or of few input channels, channels last,
 * where it applies. */
int fcv_use_narrow(const struct fcv_conv *conv, const struct fcv_walk *walk);
int64_t fcv_narrow_packed_bytes(const struct fcv_conv *conv, const struct fcv_walk *walk);
void fcv_narrow_pack(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                     const void *w, const void *bias, char *packed);
fcv_status fcv_conv_narrow(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                           const void *x, const void *w, const void *bias, void *y);

/* conv_im2col.c: the patches of some pixels, [group][pixel][tap][kc]; pointers: scratch for one of each pixel and tap.
 * row_taps: kernel rows lie side by side in the source, and a vector behind them is readable. */
void fcv_im2col(const struct fcv_kernels *kernels, const struct fcv_walk *walk, const struct fcv_source *source,
                const struct fcv_box *box, int64_t first, int64_t count, int row_taps, const void **pointers,
                char *patches);
/* conv_col2im.c: the input gradient, pixel by pixel of gy, or as the files below do it. */
fcv_status fcv_conv_col2im(const struct fcv_conv *conv, const struct fcv_weight_view *view, const void *gy,
                           const void *w, const void *bias, void *gx);
int fcv_col2im_shares_panels(const struct fcv_conv *conv);
/* conv_col2im_few.c: without bias and activation, for few pixels of gy and many weights. */
int fcv_use_col2im_few(const struct fcv_conv *conv);
fcv_status fcv_conv_col2im_few(const struct fcv_conv *conv, const void *gy, const void *w, void *gx);
/* conv_col2im_planes.c: without bias and activation, for few input channels, channels first. */
int fcv_use_col2im_planes(const struct fcv_conv *conv);
fcv_status fcv_conv_col2im_planes(const struct fcv_conv *conv, const void *gy, const void *w, void *gx);
/* conv_col2im_runs.c: the same for rows of a vector and more, where it applies too. */
int fcv_use_col2im_runs(const struct fcv_conv *conv);
fcv_status fcv_conv_col2im_runs(const struct fcv_conv *conv, const void *gy, const void *w, void *gx);

/* conv_toeplitz.c */
fcv_status fcv_conv_toeplitz(const struct fcv_conv *conv, const struct fcv_walk *walk,
                             const struct fcv_weight_view *view, const void *x, const void *w, const void *bias,
                             void *y);
/* How many neighbouring outputs of a row share a window, and the columns of input in it. */
int64_t fcv_toeplitz_block(const struct fcv_conv *conv, const struct fcv_walk *walk);
int64_t fcv_toeplitz_multiplications(const struct fcv_conv *conv, const struct fcv_walk *walk);
int64_t fcv_toeplitz_window(const struct fcv_walk *walk, int64_t block);
/* conv_toeplitz_full.c: y = M x for each image, or with the transposed matrix gx = M^T gy. */
fcv_status fcv_conv_toeplitz_full(const struct fcv_conv *conv, int transposed, const void *x, const void *w,
                                  const void *bias, void *y);

/* conv_winograd.c: m = 2 or 4, 0 for other algorithms. */
static inline int fcv_winograd_size(const struct fcv_conv *conv) {
  return conv->algorithm == FCV_WINOGRAD_2X2 ? 2 : conv->algorithm == FCV_WINOGRAD_4X4 ? 4 : 0;
}
fcv_status fcv_conv_winograd(const struct fcv_conv *conv, const struct fcv_walk *walk,
                             const struct fcv_weight_view *view, int m, const void *x, const void *w, const void *bias,
                             void *y);
int64_t fcv_winograd_packed_bytes(const struct fcv_conv *conv, const struct fcv_walk *walk, int m);
fcv_status fcv_winograd_pack(const struct fcv_conv *conv, const struct fcv_walk *walk,
                             const struct fcv_weight_view *view, int m, const void *w, const void *bias, char *packed);

#endif
