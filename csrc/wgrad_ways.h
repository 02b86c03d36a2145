/* The ways of the weight gradient, a file each, and the chunks whose sums they add up. */
#ifndef FASTCONV_WGRAD_WAYS_H
#define FASTCONV_WGRAD_WAYS_H

#include "source.h"

/* chunks.c: how many chunks of its pixels, or tiles, a weight gradient sums apart, whose sums take some bytes each. A
 * chunk has least times their number of pixels, or adding up their sums would show beside summing them. */
int64_t fcv_chunks(int64_t pixels, int64_t least, int64_t sums_bytes);
/* The same of boxes, which are large enough, where one thread adds up all sums. */
int64_t fcv_chunks_of_boxes(int64_t boxes, int64_t sums_bytes);
/* Adds sums of some chunks, [chunk][element], to others, in order. */
void fcv_add_chunks(const struct fcv_kernels *kernels, int64_t chunks, int64_t elements, const char *sums, char *to,
                    int threads);

/* conv_wgrad.c: for any convolution. Here and below the walk is that of the forward pass, of one output and one weight
 * at least. */
fcv_status fcv_conv_wgrad(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x, const void *gy,
                          void *gw);
/* Whether the sums are transposed tile by tile, as gw is [co][k][tap] and x and gy stay at hand meanwhile. */
int fcv_wgrad_transposes(const struct fcv_conv *conv, const struct fcv_walk *walk);

/* conv_wgrad_pointwise.c: for 1x1 kernels, where it applies. */
int fcv_use_wgrad_pointwise(const struct fcv_conv *conv);
fcv_status fcv_conv_wgrad_pointwise(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x,
                                    const void *gy, void *gw);

/* conv_wgrad_planes.c: for few input channels, channels first. */
enum { FCV_DOTS_ROW_BYTES = 4096 }; /* of a row of pixels at a time: those of a tile stay in L1 */
int fcv_use_wgrad_planes(const struct fcv_conv *conv);
fcv_status fcv_conv_wgrad_planes(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x,
                                 const void *gy, void *gw);

/* conv_wgrad_runs.c: the same without patches, and where gb is not NULL the bias gradient. after: what to do with some
 * images while their gy is in L2, best with so many, or NULL; where it takes whole images at a time, of one group. */
struct fcv_after {
  void (*body)(const void *context, int64_t image, int64_t images, int thread);
  int64_t images;
  const void *context;
};
int fcv_use_wgrad_runs(const struct fcv_conv *conv, const struct fcv_walk *walk);
int fcv_wgrad_runs_by_images(const struct fcv_kernels *k, const struct fcv_walk *walk);
fcv_status fcv_conv_wgrad_runs(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x, const void *gy,
                               void *gw, void *gb, const struct fcv_after *after);

/* conv_wgrad_depthwise.c: where conv_depthwise.c applies to the forward pass, */
fcv_status fcv_conv_wgrad_depthwise(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x,
                                    const void *gy, void *gw);
/* conv_wgrad_lanes.c: or channels and weights are few, */
int fcv_use_wgrad_lanes(const struct fcv_conv *conv, const struct fcv_walk *walk);
fcv_status fcv_conv_wgrad_lanes(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x, const void *gy,
                                void *gw);
/* conv_wgrad_strips.c: for few input channels, channels last, with gb as above. */
int fcv_use_wgrad_strips(const struct fcv_conv *conv, const struct fcv_walk *walk);
fcv_status fcv_conv_wgrad_strips(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x,
                                 const void *gy, void *gw, void *gb);
/* conv_wgrad_winograd.c: or conv_winograd.c. */
fcv_status fcv_conv_wgrad_winograd(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x,
                                   const void *gy, void *gw);

/* conv_col2im_runs.c: both gradients, where it and conv_wgrad_runs.c apply, image by image. */
fcv_status fcv_conv_gradients_runs(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x,
                                   const void *gy, const void *w, void *gx, void *gw, void *gb);

#endif
