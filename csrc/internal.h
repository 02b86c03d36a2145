/* What the operations share: threads, scratch memory, the walk that every convolution pass is, packing, pointers. */
#ifndef FASTCONV_INTERNAL_H
#define FASTCONV_INTERNAL_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fastconv.h"
#include "kernels/kernels.h"

#define FCV_TRY(call)                                                                                                  \
  do {                                                                                                                 \
    const fcv_status fcv_try_status_ = (call);                                                                         \
    if (fcv_try_status_ != FCV_OK)                                                                                     \
      return fcv_try_status_;                                                                                          \
  } while (0)

static inline int64_t fcv_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t fcv_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t fcv_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t fcv_round_up(int64_t a, int64_t b) { return fcv_ceil_div(a, b) * b; }
static inline int64_t fcv_product(const int64_t *a) { return a[0] * a[1] * a[2]; }

/* dispatch.c */
const struct fcv_kernels *fcv_kernels(fcv_dtype dtype);
/* Of the second level of cache; 512 KiB where the system does not say. The order of work may depend on it, no result.
 */
int64_t fcv_l2_bytes(void);

/* Whether kernels apply the activation before they store; else the caller does. */
static inline int fcv_fused(fcv_activation activation) {
  return activation == FCV_LINEAR || activation == FCV_RELU || activation == FCV_LEAKY_RELU;
}

/* threads.c: the only parallel region. body(context, unit, thread) for every unit < units, thread < threads; which
 * thread takes a unit is left to chance, so a unit's result must not depend on it. Subnormals are flushed inside. */
typedef void fcv_unit_fn(const void *context, int64_t unit, int thread);
void fcv_parallel_for(int64_t units, int threads, fcv_unit_fn *body, const void *context);
/* For the end of a unit whose results went past the caches: another thread may read them after it. */
void fcv_fence(void);
/* Memory set to zero by all threads. */
void fcv_clear(void *memory, int64_t bytes);
/* How many threads an operation of this many multiply-adds, or elements moved, is worth. */
int fcv_threads_for(double work);
/* How many pieces of some elements to take as one unit: handing out units of less than a few microseconds takes two
 * threads longer than one, but each thread must have some. */
static inline int64_t fcv_group(int64_t pieces, int64_t elements) {
  const int64_t enough = ((int64_t)1 << 14) / fcv_max(1, elements);
  return fcv_max(1, fcv_min(enough, pieces / (4 * fcv_get_threads())));
}
/* Into how many parts, at most `most`, to cut each of some units, so that every thread has work. One thread gains
 * nothing by parts: the gradient of max pooling 2x2 on 1x112x112x64 took 4.3 ms in four, each of 16 channels. */
static inline int64_t fcv_parts(int64_t units, int64_t most) {
  const int threads = fcv_get_threads();
  const int64_t wanted = threads > 1 ? 4 * threads : 1;
  return units < wanted ? fcv_max(1, fcv_min(fcv_ceil_div(wanted, units), most)) : 1;
}

/* scratch.c: memory that is kept for the next call. At least bytes, 64-byte aligned, NULL where there is none. */
void *fcv_scratch_take(size_t bytes);
void fcv_scratch_give(void *memory);
/* A pass's workspace of this size. Where conv only asks for the size, it is noted and *memory stays NULL. */
fcv_status fcv_workspace(const struct fcv_conv *conv, int64_t bytes, char **memory);
/* Whether a result is too large to be found in the caches by whoever reads it: it is then written past them, which on a
 * Sapphire Rapids takes 23 GB/s of memory, and 10 where each line is read first. */
static inline int fcv_leaves_caches(int64_t bytes) { return bytes >= (int64_t)16 << 20; }

/* One block for several arrays: reserves bytes in it, 64-byte aligned, and returns where they begin. */
static inline int64_t fcv_reserve(int64_t *total, int64_t bytes) {
  const int64_t begin = *total;
  *total += fcv_round_up(bytes, 64);
  return begin;
}

/* Zero bytes of rows that lie pitch bytes apart. */
static inline void fcv_zero_rows(int64_t rows, int64_t bytes, void *to, int64_t pitch) {
  if (bytes == pitch)
    memset(to, 0, (size_t)(rows * bytes));
  else
    for (int64_t r = 0; r < rows; r++) memset((char *)to + r * pitch, 0, (size_t)bytes);
}

/* unpool.c: the gradient of max pooling from its indices; FCV_INVALID where one is outside and not -1. */
fcv_status fcv_max_pool_scatter(const struct fcv_pool *pool, const void *gy, const int64_t *indices, void *gx);

/* geometry.c. Whether arrays of both layouts are the same: of one pixel or one channel. */
int fcv_layouts_agree(const struct fcv_geometry *geometry);
static inline int64_t fcv_weights(const struct fcv_geometry *g) {
  return fcv_product(g->kernel) * g->ci / g->groups * g->co;
}
fcv_status fcv_geometry_check(const struct fcv_geometry *geometry, int64_t element);

/* One axis of a walk: output o, o < count, is element out_start + o * out_step of an array of out elements, and meets
 * at tap t, t < taps, element o * in_step + shift + t * shift_step of an array of in elements with kernel element
 * kernel_start + t * kernel_step. shift_step > 0. */
struct fcv_axis {
  int64_t in, out, count, out_start, out_step, in_step, taps, shift, shift_step, kernel_start, kernel_step;
};

/* What forward convolution, its input gradient and transposed convolution have in common:
 *
 *     y[n][out(o)][g * nc + j] = sum over taps t, k < kc of x[n][in(o, t)][g * kc + k] * w[kernel(t)][g][k][j]
 *
 * The input gradient with stride s is s walks an axis, one for each residue of the position modulo s: no product meets
 * an inserted zero. */
struct fcv_walk {
  int64_t n, groups, kc, nc;
  struct fcv_axis axis[FCV_AXES];
};
void fcv_walk_forward(const struct fcv_geometry *geometry, struct fcv_walk *walk);
/* Few input channels, dilation 1: the kernel's rows are contiguous in a channels-last x, and each is one tap. */
int fcv_use_row_taps(const struct fcv_walk *walk);
/* Whether a kernel row reaches past the ends of an input row. */
int fcv_pads_rows(const struct fcv_walk *walk);
/* gy itself, pixel by pixel. */
void fcv_walk_grad_output(const struct fcv_geometry *geometry, struct fcv_walk *walk);
void fcv_walk_grad_input(const struct fcv_geometry *geometry, const int64_t *residue, struct fcv_walk *walk);
/* body for each walk of the input gradient: one for each residue of a position modulo the stride, on each axis. */
#define FCV_FOR_EACH_RESIDUE(g, walk, body)                                                                            \
  do {                                                                                                                 \
    int64_t residue[FCV_AXES];                                                                                         \
    for (residue[0] = 0; residue[0] < fcv_min((g)->stride[0], (g)->in[0]); residue[0]++)                               \
      for (residue[1] = 0; residue[1] < fcv_min((g)->stride[1], (g)->in[1]); residue[1]++)                             \
        for (residue[2] = 0; residue[2] < fcv_min((g)->stride[2], (g)->in[2]); residue[2]++) {                         \
          fcv_walk_grad_input((g), residue, &(walk));                                                                  \
          body;                                                                                                        \
        }                                                                                                              \
  } while (0)
static inline int64_t fcv_walk_taps(const struct fcv_walk *walk) {
  return walk->axis[0].taps * walk->axis[1].taps * walk->axis[2].taps;
}

/* Strides of w in elements: along the kernel's axes, k and j of a walk, and groups. */
struct fcv_weight_view {
  int64_t kernel[FCV_AXES], k, j, group;
};
void fcv_weight_view(const struct fcv_conv *conv, int swap, struct fcv_weight_view *view);

/* pack.c: panels of at most nv * VL output channels; the last of a group is as many vectors wide as it needs. */
struct fcv_panels {
  int64_t per_group, width, last; /* widths in channels */
};
void fcv_panels(const struct fcv_kernels *kernels, int64_t channels, struct fcv_panels *panels);
/* Channels over all panels of a group, the last one's padding included. */
static inline int64_t fcv_panels_channels(const struct fcv_panels *panels) {
  return (panels->per_group - 1) * panels->width + panels->last;
}
static inline int64_t fcv_panel_width(const struct fcv_panels *panels, int64_t panel) {
  return panel + 1 < panels->per_group ? panels->width : panels->last;
}
/* Element offset in w of tap t of a walk, k = j = 0. */
int64_t fcv_tap_offset(const struct fcv_walk *walk, const struct fcv_weight_view *view, int64_t t);
/* w to [group][panel][tap][k][width], zero past the last channel. */
void fcv_pack_weights(const struct fcv_kernels *kernels, const struct fcv_walk *walk,
                      const struct fcv_weight_view *view, const void *w, void *packed, int threads);
/* A panel of the first group's: [tap][k][width]. */
void fcv_pack_panel(const struct fcv_kernels *kernels, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                    const void *w, int64_t panel, char *to);
/* A piece of them: a tap, k0 <= k < k1, panels first .. last - 1, [panel][k][width]. */
void fcv_pack_piece(const struct fcv_kernels *kernels, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                    const void *w, int64_t tap, int64_t k0, int64_t k1, int64_t first, int64_t last, char *to);

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

/* conv_direct.c. Here and below packed weights are those that a pass lays out in its workspace where conv->packed is
 * NULL. */
fcv_status fcv_conv_direct(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                           const void *x, const void *w, const void *bias, void *y);
/* Whether so few pixels meet the weights that each unit packs its own. */
int fcv_fits_pieces(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view);
/* Tiles of a unit by im2col, whose pixels' patches have so many values. */
int64_t fcv_im2col_tiles(const struct fcv_kernels *kernels, int64_t values);
int64_t fcv_direct_packed_bytes(const struct fcv_conv *conv, const struct fcv_walk *walk);
void fcv_direct_pack(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                     const void *w, const void *bias, char *packed);
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
/* conv_depthwise.c. By direct convolution, channels of a group, as many out as in, that the kernels for depthwise
 * convolution take: 1, or channels last 2, 4 or 8 where a vector holds more; else 0. */
int64_t fcv_small_groups(const struct fcv_conv *conv);
/* Weights of some such groups, from the first on, to rows [tap][k][pitch], or back: k and the channels of a row are
 * those of a walk, or where swap is set the other way round. */
void fcv_group_weights(const struct fcv_conv *conv, int swap, int64_t first, int64_t groups, int64_t pitch, int to_rows,
                       const void *from, void *to);
/* conv_depthwise.c and conv_depthwise_first.c: forward, or where transposed from gy to gx, where they apply. */
fcv_status fcv_conv_depthwise(const struct fcv_conv *conv, int transposed, const void *x, const void *w,
                              const void *bias, void *y);
/* Channels first: whether rows of outputs have so few columns that some channels of an image are transposed. */
int fcv_depthwise_is_small(const struct fcv_conv *conv, int64_t columns);
/* Whether vectors run along channels: always where they are last. */
int fcv_depthwise_along_channels(const struct fcv_conv *conv, int transposed);
int64_t fcv_depthwise_packed_bytes(const struct fcv_conv *conv);
void fcv_depthwise_pack(const struct fcv_conv *conv, int transposed, const void *w, const void *bias, char *packed);
fcv_status fcv_conv_depthwise_first(const struct fcv_conv *conv, int transposed, const void *x, const void *w,
                                    const void *bias, void *y);
int64_t fcv_depthwise_first_packed_bytes(const struct fcv_conv *conv);
void fcv_depthwise_first_pack(const struct fcv_conv *conv, const void *w, const void *bias, char *packed);
/* The weights and the bias that it packed, in place of others; nothing where there are none. */
void fcv_depthwise_first_packed(const struct fcv_conv *conv, const void **w, const void **bias);
/* conv_depthwise_planes.c: the same without padded copies, for small kernels. */
int fcv_depthwise_in_place(const struct fcv_conv *conv, int transposed);
int64_t fcv_planes_rows(const struct fcv_axis *rows, const struct fcv_axis *columns, int64_t r0, int64_t r1,
                        struct fcv_depthwise_planes *planes);
fcv_status fcv_conv_depthwise_planes(const struct fcv_conv *conv, int transposed, const void *x, const void *w,
                                     const void *bias, void *y);
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

/* conv_planes.c: the same for channels first, where it applies. */
int fcv_use_planes(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view);
fcv_status fcv_conv_planes(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                           const void *x, const void *w, const void *bias, void *y);
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
/* conv_runs.c: planes without patches, for few terms, where it applies. */
int fcv_use_runs(const struct fcv_kernels *k, const struct fcv_walk *walk);
fcv_status fcv_conv_runs(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                         const void *x, const void *w, const void *bias, void *y);
/* Rows of weights, [row][pitch], to tiles of at most mr rows, [tile][term][row of the tile]. Tile t has rows
 * rows * t / tiles .. rows * (t + 1) / tiles - 1. */
static inline int64_t fcv_run_tiles(const struct fcv_kernels *k, int64_t rows) { return fcv_ceil_div(rows, k->mr); }
void fcv_pack_run_tiles(const struct fcv_kernels *k, int64_t rows, int64_t terms, const char *w, int64_t pitch,
                        char *to);
/* cost.c: of an algorithm that applies, in multiply-adds at full speed. */
double fcv_pass_cost(const struct fcv_conv *conv, fcv_pass pass, fcv_algorithm algorithm);
/* choose.c: what FCV_AUTO takes, and whether for arrays that are turned to channels last, and back. */
int fcv_choose_layout(const struct fcv_conv *conv, fcv_pass pass, fcv_algorithm *chosen);
/* How they are turned: data, and weights of gradients where they are few, channels last. */
struct fcv_conv fcv_turned(const struct fcv_conv *conv, fcv_pass pass);
/* How a walk of a convolution with a settled algorithm is computed; FCV_BY_MATRIX and FCV_BY_DEPTHWISE hold for all
 * walks of a pass. */
enum fcv_way {
  FCV_BY_WINOGRAD,
  FCV_BY_TOEPLITZ,
  FCV_BY_MATRIX, /* FCV_TOEPLITZ_FULL */
  FCV_BY_DEPTHWISE,
  FCV_BY_INTERLEAVED,
  FCV_BY_NARROW,
  FCV_BY_PLANES,
  FCV_BY_DIRECT, /* im2col too */
};
enum fcv_way fcv_way(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view);
/* The same for the weight gradient, whose walk is that of the forward pass. */
enum fcv_wgrad_way {
  FCV_WGRAD_BY_WINOGRAD,
  FCV_WGRAD_BY_DEPTHWISE,
  FCV_WGRAD_BY_RUNS,
  FCV_WGRAD_BY_PLANES,
  FCV_WGRAD_BY_POINTWISE,
  FCV_WGRAD_BY_INTERLEAVED,
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
/* conv_planes_merged.c: the input gradient by planes, all its walks, where a stride parts the columns of a row. */
int fcv_merges_planes(const struct fcv_conv *conv, const struct fcv_weight_view *view);
fcv_status fcv_conv_planes_merged(const struct fcv_conv *conv, const struct fcv_weight_view *view, const void *gy,
                                  const void *w, const void *bias, void *gx);
/* conv_im2col.c: the patches of some pixels, [group][pixel][tap][kc]; pointers: scratch for one of each pixel and tap.
 * row_taps: kernel rows lie side by side in the source, and a vector behind them is readable. */
void fcv_im2col(const struct fcv_kernels *kernels, const struct fcv_walk *walk, const struct fcv_source *source,
                const struct fcv_box *box, int64_t first, int64_t count, int row_taps, const void **pointers,
                char *patches);
fcv_status fcv_conv_col2im(const struct fcv_conv *conv, const struct fcv_weight_view *view, const void *gy,
                           const void *w, const void *bias, void *gx);
int fcv_col2im_shares_panels(const struct fcv_conv *conv);
/* conv_col2im_planes.c: the same, without bias and activation, for few input channels, channels first. */
int fcv_use_col2im_planes(const struct fcv_conv *conv);
fcv_status fcv_conv_col2im_planes(const struct fcv_conv *conv, const void *gy, const void *w, void *gx);
/* conv_col2im_runs.c: the same for rows of a vector and more, where it applies too. */
int fcv_use_col2im_runs(const struct fcv_conv *conv);
fcv_status fcv_conv_col2im_runs(const struct fcv_conv *conv, const void *gy, const void *w, void *gx);
/* The same, and conv_wgrad_runs.c, image by image. */
fcv_status fcv_conv_gradients_runs(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x,
                                   const void *gy, const void *w, void *gx, void *gw, void *gb);
/* Whether so few channels are to fill a vector with others, of other images. */
static inline int fcv_leaves_lanes_empty(int64_t vl, int64_t channels) { return 4 * channels <= 3 * vl; }
/* conv_narrow.c: direct convolution to at most a vector of output channels, channels last, where it applies. */
int fcv_use_narrow(const struct fcv_conv *conv, const struct fcv_walk *walk);
int64_t fcv_narrow_packed_bytes(const struct fcv_conv *conv, const struct fcv_walk *walk);
void fcv_narrow_pack(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                     const void *w, const void *bias, char *packed);
fcv_status fcv_conv_narrow(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                           const void *x, const void *w, const void *bias, void *y);
/* conv_interleaved.c: direct convolution to few output channels, channels last, where it applies. Images of a set stand
 * side by side; it is staged box by box, some rows of outputs of a slice each. */
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
int fcv_use_interleaved(const struct fcv_conv *conv, const struct fcv_walk *walk);
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
fcv_status fcv_conv_interleaved(const struct fcv_conv *conv, const struct fcv_walk *walk,
                                const struct fcv_weight_view *view, const void *x, const void *w, const void *bias,
                                void *y);
/* conv_wgrad_interleaved.c: the weight gradient where it applies to the forward pass. Here and below the ways of weight
 * gradients have the walk of the forward pass, of one output and one weight at least. */
fcv_status fcv_conv_wgrad_interleaved(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x,
                                      const void *gy, void *gw);
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
/* conv_winograd.c, and the weight gradient in conv_winograd_wgrad.c: m = 2 or 4, 0 for other algorithms. */
static inline int fcv_winograd_size(const struct fcv_conv *conv) {
  return conv->algorithm == FCV_WINOGRAD_2X2 ? 2 : conv->algorithm == FCV_WINOGRAD_4X4 ? 4 : 0;
}
fcv_status fcv_conv_winograd(const struct fcv_conv *conv, const struct fcv_walk *walk,
                             const struct fcv_weight_view *view, int m, const void *x, const void *w, const void *bias,
                             void *y);
int64_t fcv_winograd_packed_bytes(const struct fcv_conv *conv, const struct fcv_walk *walk, int m);
fcv_status fcv_winograd_pack(const struct fcv_conv *conv, const struct fcv_walk *walk,
                             const struct fcv_weight_view *view, int m, const void *w, const void *bias, char *packed);
fcv_status fcv_conv_winograd_wgrad(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x,
                                   const void *gy, void *gw);
/* chunks.c: how many chunks of its pixels, or tiles, a weight gradient sums apart, whose sums take some bytes each. A
 * chunk has least times their number of pixels, or adding up their sums would show beside summing them. */
int64_t fcv_chunks(int64_t pixels, int64_t least, int64_t sums_bytes);
/* The same of boxes, which are large enough, where one thread adds up all sums. */
int64_t fcv_chunks_of_boxes(int64_t boxes, int64_t sums_bytes);
/* Adds sums of some chunks, [chunk][element], to others, in order. */
void fcv_add_chunks(const struct fcv_kernels *kernels, int64_t chunks, int64_t elements, const char *sums, char *to,
                    int threads);
/* conv_wgrad.c */
/* Whether the sums are transposed tile by tile, as gw is [co][k][tap] and x and gy stay at hand meanwhile. */
int fcv_wgrad_transposes(const struct fcv_conv *conv, const struct fcv_walk *walk);
fcv_status fcv_conv_wgrad(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x, const void *gy,
                          void *gw);
/* conv_wgrad_pointwise.c: the same for 1x1 kernels, channels first, where it applies. */
int fcv_use_wgrad_pointwise(const struct fcv_conv *conv);
fcv_status fcv_conv_wgrad_pointwise(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x,
                                    const void *gy, void *gw);
/* conv_wgrad_planes.c: the same for few input channels, channels first. */
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
/* conv_wgrad_depthwise.c */
fcv_status fcv_conv_wgrad_depthwise(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x,
                                    const void *gy, void *gw);

#endif
