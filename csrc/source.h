/* Where kernels find pixels of channels last: pointers to them, and stages that they are copied to. */
#ifndef FASTCONV_SOURCE_H
#define FASTCONV_SOURCE_H

#include "walk.h"

/* indirect.c: where the kernel finds a pixel. Pixels of a source have all channels of x; bounds are in the walk's input
 * coordinates, outside of them lies the zero row. */
struct fcv_source {
  const char *data, *zero;
  int64_t first_image;                /* the one at data */
  int64_t lo[FCV_AXES], hi[FCV_AXES]; /* coordinates that data holds, lo at data */
  int64_t image, step[FCV_AXES];      /* bytes from one image, and slice, row, pixel, to the next */
};
/* A box of a walk's outputs: images, slices, rows; rows are whole. */
struct fcv_box {
  int64_t lo[FCV_AXES], size[FCV_AXES]; /* over n, axis 0, axis 1 */
};
static inline int64_t fcv_box_pixels(const struct fcv_walk *walk, const struct fcv_box *box) {
  return box->size[0] * box->size[1] * box->size[2] * walk->axis[2].count;
}
/* Pointers of pixels first .. first + count - 1 of the box, in tiles of mr: a[tile][tap][mr]; the last tile repeats
 * its last pixel. With row_taps a tap is a kernel row: axis 2 counts as one tap. */
void fcv_indirect_taps(const struct fcv_walk *walk, const struct fcv_source *source, const struct fcv_box *box,
                       int64_t first, int64_t count, int mr, int row_taps, const void **a);
/* The same for one tap only, without tiles: a[pixel]. */
void fcv_indirect_tap(const struct fcv_walk *walk, const struct fcv_source *source, const struct fcv_box *box,
                      int64_t first, int64_t count, int64_t tap, int row_taps, const void **a);
/* A channels-last x as a source, where it lies. */
struct fcv_source fcv_source_in_place(const struct fcv_walk *walk, const void *x, const void *zero, int64_t size);
/* The element offset of the same pixels in y, channel 0. */
void fcv_indirect_outputs(const struct fcv_walk *walk, const struct fcv_box *box, int64_t first, int64_t count,
                          fcv_layout layout, int64_t channels, int64_t *offset);

/* stage.c: input copied block by block, padded, channels last, with a pitch of its own, for what the kernels cannot
 * read in place. A block serves a box of outputs. */
struct fcv_stage {
  int64_t first, channels; /* those of x that are copied: all, unless set otherwise after planning */
  int64_t pitch;           /* bytes of a pixel, or of one in a block of channels */
  int64_t blocks, block;   /* blocks of a group's channels, where pixels are split, and bytes from one to the next */
  int64_t columns;         /* pixels of a padded row */
  int64_t out[FCV_AXES];   /* the box: images, slices, rows */
  int64_t in[FCV_AXES];    /* what it needs of the input: images, slices, rows */
  int64_t bytes;           /* of a block, and VL elements more that a kernel may read */
};
/* As many outputs as need at most budget bytes of input; rows in multiples of rows, or all of an image. */
void fcv_stage_plan(const struct fcv_kernels *kernels, const struct fcv_walk *walk, int64_t pitch, int64_t budget,
                    int64_t rows, struct fcv_stage *stage);
/* The same boxes for another array: what a walk of as many outputs needs of it. */
void fcv_stage_like(const struct fcv_stage *other, const struct fcv_kernels *kernels, const struct fcv_walk *walk,
                    int64_t pitch, struct fcv_stage *stage);
/* Lanes of a pixel in a block that the split kernel writes: the rows of a weight-gradient tile, in whole vectors. */
static inline int64_t fcv_split_lanes(const struct fcv_kernels *kernels) {
  return fcv_round_up(kernels->mi, kernels->vl);
}
/* Pixels are split: as many blocks of a group's channels as the rows of weight-gradient tiles, each of whole pixels. */
void fcv_stage_split(const struct fcv_kernels *kernels, int64_t blocks, struct fcv_stage *stage);
/* Bytes of a pixel in all of them. */
int64_t fcv_split_pixel(const struct fcv_kernels *kernels, const struct fcv_walk *walk, int64_t blocks);
int64_t fcv_stage_blocks(const struct fcv_stage *stage, const struct fcv_walk *walk);
void fcv_stage_box(const struct fcv_stage *stage, const struct fcv_walk *walk, int64_t block, struct fcv_box *box);
void fcv_stage_fill(const struct fcv_kernels *kernels, const struct fcv_stage *stage, const struct fcv_walk *walk,
                    fcv_layout layout, const void *x, const struct fcv_box *box, void *memory, int threads,
                    struct fcv_source *source);

#endif
