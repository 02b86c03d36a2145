/* Channels-first images as rows along pixels: padded copies, and patches. */
#ifndef FASTCONV_ROWS_H
#define FASTCONV_ROWS_H

#include "walk.h"

/* padded.c. The walks of a pass, axis by axis: output o of an axis belongs to residue o % residues. */
struct fcv_axes {
  const struct fcv_axis *axis[FCV_AXES]; /* [residues] */
  int64_t residues[FCV_AXES], in[FCV_AXES], out[FCV_AXES];
};
int64_t fcv_axes_bytes(const struct fcv_geometry *g, int transposed);
void fcv_axes(const struct fcv_geometry *g, int transposed, void *memory, struct fcv_axes *axes);
/* Taps lo .. hi - 1 of an output lie inside, the first of them at element first of the input. */
struct fcv_met {
  int64_t lo, hi, first;
};
struct fcv_met fcv_taps_inside(const struct fcv_axis *axis, int64_t o);
/* Padded rows of some channels, [plane][slice][phase][row][column]: a phase is every in_step-th column. They serve a
 * box of outputs: one slice, rows and columns of each residue. */
struct fcv_padded {
  int64_t rows, columns, bands, blocks; /* outputs of a box; boxes along rows and columns */
  int64_t planes;                       /* at a time */
  int64_t row, phase, slice, plane;     /* elements, or pixels */
  int64_t step;                         /* phases */
  int64_t bytes;                        /* with VL elements behind the last row */
};
/* Boxes for stages of at most budget bytes, but one row; rows: a multiple of this, or all. pixel: not 0 for pixels of
 * so many elements in place of planes, which the caller copies, and no phases. */
void fcv_padded_plan(const struct fcv_kernels *k, const struct fcv_axes *axes, int64_t budget, int64_t columns,
                     int64_t rows, int64_t pixel, struct fcv_padded *padded);
struct fcv_padded_box {
  const struct fcv_axis *axis_z;
  struct fcv_met slices;
  int64_t o0[FCV_AXES], o1[FCV_AXES]; /* outputs of each residue, on axes 1 and 2 */
  int64_t lo[FCV_AXES], hi[FCV_AXES]; /* what they meet of the input, padding included */
};
void fcv_padded_box(const struct fcv_padded *padded, const struct fcv_axes *axes, int64_t z, int64_t band,
                    int64_t block, struct fcv_padded_box *box);
/* Copies what a box meets of some planes, counted over all images. */
void fcv_padded_fill(const struct fcv_kernels *k, const struct fcv_padded *padded, const struct fcv_axes *axes,
                     const char *x, int64_t plane, int64_t planes, const struct fcv_padded_box *box, char *stage);
/* The same for pixels of some of an image's channels, x_pitch elements apart, then pixel elements apart. */
void fcv_padded_fill_pixels(const struct fcv_kernels *k, const struct fcv_padded *padded, const struct fcv_axes *axes,
                            const char *x, int64_t image, int64_t x_pitch, int64_t channels, int64_t pixel,
                            const struct fcv_padded_box *box, char *stage);
/* The element where the box's first output of two residues finds tap 0 of rows, and this tap of columns. */
int64_t fcv_padded_offset(const struct fcv_padded *padded, const struct fcv_padded_box *box, int64_t slice,
                          const struct fcv_axis *y, const struct fcv_axis *x, int64_t tap);

/* patches.c: patches of channels-first images, box of outputs by box, some channels at a time. */
struct fcv_phase;
struct fcv_patcher {
  const struct fcv_kernels *kernels;
  struct fcv_walk walk;
  const char *x;
  int64_t channels; /* of a block */
  /* Set by fcv_patcher_plan: */
  int64_t taps, box[FCV_AXES], boxes[FCV_AXES]; /* outputs of a box, boxes: images, slices, rows */
  int staged;                                   /* else x is read in place */
  int64_t row, slice, plane, image;             /* element pitches of the input as it is read */
  int64_t phase_rows;                           /* from one phase of a slice's rows to the next */
  int64_t input_rows, first_row, every;         /* of x: rows of a slice, of which walk has every so many from one on */
  int64_t stage_bytes;                          /* with VL elements behind the last row */
  /* By fcv_patcher_start: */
  const int64_t *offset; /* [taps] */
  int64_t last_offset;
  const struct fcv_phase *phase; /* [in_step of a row] */
};
/* Boxes of as many rows as fit into a stage of budget bytes, or where there is none have at most so many pixels, but
 * one row; for several threads as many boxes as keep them busy. */
void fcv_patcher_plan(struct fcv_patcher *p, int64_t budget, int64_t pixels, int threads);
int64_t fcv_patcher_bytes(const struct fcv_patcher *p);
void fcv_patcher_start(struct fcv_patcher *p, void *memory);
/* What of the input a box reads, and where the input begins. */
struct fcv_patch_view {
  int64_t lo[FCV_AXES], size[FCV_AXES]; /* outputs: images, slices, rows */
  int64_t pixels;
  const char *x;            /* of the first channel of the block */
  int64_t first[FCV_AXES];  /* coordinates at x: slice, row, column */
  int64_t first_image, end; /* image at x; elements behind x that may be read */
};
void fcv_patch_box(const struct fcv_patcher *p, int64_t index, struct fcv_patch_view *view);
/* Some channels of all groups' from now on, through the stage where there is one. */
void fcv_patch_read(const struct fcv_patcher *p, int64_t channel, int64_t channels, char *stage,
                    struct fcv_patch_view *view);
/* A pixel of a box: image, slice, row, column. */
struct fcv_patch_cursor {
  int64_t at[FCV_AXES + 1];
};
static inline struct fcv_patch_cursor fcv_patch_begin(const struct fcv_patch_view *view) {
  return (struct fcv_patch_cursor){{view->lo[0], view->lo[1], view->lo[2], 0}};
}
/* The next count pixels as runs, and where in the output each begins, channel 0; returns how many. */
int64_t fcv_patch_runs(const struct fcv_patcher *p, const struct fcv_patch_view *view, int64_t count,
                       struct fcv_patch_cursor *cursor, struct fcv_patch_run *run, int64_t *out);
/* Where x holds what the stage or, with one tap, patches of the next pixels from a cursor on are made from, as far as
 * it is worth to be fetched: of some channels parts of so many bytes, without what is skipped of the first. */
struct fcv_patch_memory {
  const char *from;
  int64_t parts, part_pitch, bytes, skip;
  int64_t channels, pitch;
};
struct fcv_patch_memory fcv_patch_memory(const struct fcv_patcher *p, const struct fcv_patch_view *view,
                                         const struct fcv_patch_cursor *cursor, int64_t pixels, int64_t channel,
                                         int64_t channels);
/* Their patches, [channel][tap][pitch]; VL - 1 elements behind each row are written. */
void fcv_patch_copy(const struct fcv_patcher *p, const struct fcv_patch_view *view, int64_t channels, int64_t runs,
                    const struct fcv_patch_run *run, char *to, int64_t pitch);
/* Where a box's terms find their pixels, from those of term 0: channel by channel, tap by tap. */
void fcv_patch_offsets(const struct fcv_patcher *p, int64_t terms, int64_t *offset);
/* All pixels of a box as runs of whole vectors, row by row; returns how many. The last one of a row ends with it, and
 * may overlap the one before. Rows have a vector of pixels at least, and neighbours in the output. */
int64_t fcv_patch_lines(const struct fcv_patcher *p, const struct fcv_patch_view *view, struct fcv_run *run);
/* Whether rows of outputs, joined where they can be, are a vector long and neighbours, and mostly fill whole vectors.
 */
int fcv_fills_runs(const struct fcv_kernels *k, const struct fcv_walk *walk);
/* A walk that maps images to images of the same size, pixel by pixel, gets one row, or for several threads some. */
void fcv_join_rows(struct fcv_walk *walk, int threads, int vl);

#endif
