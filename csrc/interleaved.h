/* Channels-last convolution to few output channels: what its passes share. Images of a set stand side by side; it is
 * staged box by box, some rows of outputs of a slice each. */
#ifndef FASTCONV_INTERLEAVED_H
#define FASTCONV_INTERLEAVED_H

#include "internal.h"

struct fcv_interleaved {
  const struct fcv_kernels *kernels;
  const struct fcv_walk *walk;
  int64_t images, width, sets; /* images of a set, output channels of them all, sets */
  int64_t rows, bands;         /* rows of outputs of a box at most, boxes of a slice */
  int64_t columns;             /* of a staged row, padding included */
  int64_t pixel, row, slice;   /* elements from one to the next: [tap of a slice][row][column][channel][width] */
  int64_t stage_bytes;
};
struct fcv_interleaved_box {
  int64_t image, slice, first, last; /* the first image; outputs of rows first .. last - 1 of a slice */
};
/* Boxes for stages of at most budget bytes, of which a row of outputs takes some as well, but one row. */
void fcv_interleaved_plan(const struct fcv_kernels *k, const struct fcv_walk *walk, int64_t budget, int64_t row_bytes,
                          struct fcv_interleaved *set);
static inline int64_t fcv_interleaved_boxes(const struct fcv_interleaved *set) {
  return set->sets * set->walk->axis[0].count * set->bands;
}
struct fcv_interleaved_box fcv_interleaved_box(const struct fcv_interleaved *set, int64_t number);
/* The element where the box's first output finds tap t of channel 0. */
int64_t fcv_interleaved_tap(const struct fcv_interleaved *set, int64_t t);
/* image: scratch for a pointer of each. */
void fcv_interleaved_stage(const struct fcv_interleaved *set, const void *x, const struct fcv_interleaved_box *box,
                           const void **image, char *stage);

#endif
