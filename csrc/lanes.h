/* Images of a batch, or pieces of them, as the lanes of vectors: what the passes share that compute VL at a time. */
#ifndef FASTCONV_LANES_H
#define FASTCONV_LANES_H

#include "internal.h"

/* An array of images of two axes, some rows of which are staged for a set of images: one for each lane, so that every
 * element of theirs is a vector. They stand in the order of the array, between zeros where rows are padded.
 *
 * Where an image is several pieces, each is a lane: piece q begins at row outputs * q / pieces * step. */
struct fcv_lanes {
  const struct fcv_kernels *kernels;
  int last;
  int64_t images, channels, rows, columns; /* of the array */
  int64_t before, window;                  /* columns of padding before a row; rows that are staged at most */
  int64_t row, pixel, channel;             /* vectors from one to the next */
  int64_t vectors;
  int64_t pieces, outputs, step; /* 1, 0, 0 for whole images */
  int apart;                     /* rows of the next piece are zero in this one */
};

/* axes: those of the images; before and after: columns of padding. */
void fcv_lanes_plan(const struct fcv_conv *conv, int64_t channels, const int64_t *axes, int64_t before, int64_t after,
                    int64_t window, struct fcv_lanes *lanes);
static inline int64_t fcv_lanes_sets(const struct fcv_lanes *lanes) {
  return fcv_ceil_div(lanes->images * lanes->pieces, lanes->kernels->vl);
}
static inline int64_t fcv_lanes_bytes(const struct fcv_lanes *lanes) {
  return lanes->vectors * lanes->kernels->vl * lanes->kernels->size;
}
/* Rows first .. first + rows - 1 of each lane, which may lie outside of its image and are then zero, like lanes without
 * an image. memory: as much as for the stage. */
void fcv_lanes_fill(const struct fcv_lanes *lanes, const void *images, int64_t set, int64_t first, int64_t rows,
                    char *memory, char *stage);
/* Back, of whole images, where rows are not padded. */
void fcv_lanes_write(const struct fcv_lanes *lanes, const char *stage, int64_t set, int64_t first, int64_t rows,
                     char *memory, void *images);

#endif
