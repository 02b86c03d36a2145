/* Images of a batch as the lanes of vectors: what the passes share that compute VL images at a time. */
#ifndef FASTCONV_LANES_H
#define FASTCONV_LANES_H

#include "internal.h"

/* An array of images, staged set by set: an image for each lane, so that every element of theirs is a vector. They
 * stand in the order of the array, between zeros where axes are padded. */
struct fcv_lanes {
  const struct fcv_kernels *kernels;
  fcv_layout layout;
  int64_t images, channels;
  int64_t in[FCV_AXES], lo[FCV_AXES]; /* elements of an axis, and of the padding before them */
  int64_t elements, vectors;          /* of an image, and staged */
  int64_t step[FCV_AXES], channel;    /* vectors from one element to the next */
};

/* Padded by lo and hi. */
void fcv_lanes_plan(const struct fcv_conv *conv, int64_t channels, const int64_t *in, const int64_t *lo,
                    const int64_t *hi, struct fcv_lanes *lanes);
static inline int64_t fcv_lanes_sets(const struct fcv_lanes *lanes) {
  return fcv_ceil_div(lanes->images, lanes->kernels->vl);
}
/* Bytes of a set as it is staged. */
static inline int64_t fcv_lanes_bytes(const struct fcv_lanes *lanes) {
  return lanes->vectors * lanes->kernels->vl * lanes->kernels->size;
}
/* Lanes without an image are zero. memory: as much as for the set without padding, which is used where there is some.
 */
void fcv_lanes_fill(const struct fcv_lanes *lanes, const void *images, int64_t set, char *memory, char *stage);
/* Back, where nothing is padded. */
void fcv_lanes_write(const struct fcv_lanes *lanes, const char *stage, int64_t set, char *memory, void *images);

/* What the outputs of a walk meet beyond both ends of an axis. */
void fcv_lanes_margins(const struct fcv_axis *axis, int64_t *lo, int64_t *hi);
/* Where an output finds tap 0 of channel 0, and from there tap t: vectors. */
int64_t fcv_lanes_output(const struct fcv_lanes *lanes, const struct fcv_walk *walk, const int64_t *output);
int64_t fcv_lanes_tap(const struct fcv_lanes *lanes, const struct fcv_walk *walk, int64_t t);

#endif
