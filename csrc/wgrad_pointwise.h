/* The weight gradient of pointwise (1x1) convolution: what its two layouts share. */
#ifndef FASTCONV_WGRAD_POINTWISE_H
#define FASTCONV_WGRAD_POINTWISE_H

#include "internal.h"

enum { FCV_POINTWISE_PIXELS = 256 }; /* of a block at most: a block's sums are running sums */

/* A matrix: channels of a group, elements from one channel, pixel and image to the next. */
struct fcv_side {
  const char *data;
  int64_t channels, channel, pixel, image;
  int strided; /* its pixels are not neighbours */
};

struct fcv_pointwise {
  const struct fcv_pointwise_layout *layout;
  const struct fcv_kernels *kernels;
  const struct fcv_walk *walk;
  struct fcv_side rows, columns;
  struct fcv_panels panels;       /* of the columns */
  int64_t pixels;                 /* of an image's outputs */
  int64_t images, part;           /* of a block: some images, or one and so many of its pixels */
  int64_t blocks, chunks, splits; /* splits: parts of the bands, units of a chunk and group */
  int64_t bands;                  /* of the rows */
  int in_place;                   /* the first chunk's sums are gw */
  char *sums, *more;              /* of the first chunk, and of the others */
  int64_t group, pitch;           /* of sums, in elements: from one group, and row, to the next */
  int64_t weights;                /* bytes of all sums */
  char *thread_memory;
  int64_t thread_bytes;
  /* By the layout: */
  int64_t tile, band;                        /* rows of a tile of the kernel, and of a band, at most */
  int copied;                                /* rows are copied, or gathered, where igemm could read them in place */
  int64_t band_pitch;                        /* bytes of a copied row, or of a tile of the band */
  int64_t stage_bytes, band_bytes, pointers; /* of a unit's memory */
};

struct fcv_pointwise_memory {
  char *panels;   /* [panel][image][pixel][width] */
  char *stage;    /* [channel][pixel]: a panel of strided columns, channels first */
  char *band;     /* copied rows, or [tile][pixel][lane] */
  const void **a; /* [image][mr], or of each pixel in the band's first tile */
};

/* A block of pixels: some images, or a part of one. */
struct fcv_pointwise_block {
  int64_t image, images, first, count;
};

/* What is multiplied next, and fetched meanwhile: a band of rows, and for each band a part of the next panels. */
struct fcv_pointwise_next {
  struct fcv_pointwise_block block; /* of the band */
  int64_t r0, m;                    /* channels of all groups', m = 0 for none */
  struct fcv_pointwise_block panels;
  int64_t j0, channels, band, bands;
};

/* What some channels of a block take, as rows of memory: pixels, or channels first planes, or images of whole planes.
 */
struct fcv_region {
  int64_t rows, lines, pitch; /* lines of a row; bytes from one row to the next, for the most part */
};

/* What the layout of x and gy decides. */
struct fcv_pointwise_layout {
  /* Whether x is the columns, and gy the rows. */
  int (*columns_are_x)(const struct fcv_pointwise *d, int weights_last);
  /* Sets what struct fcv_pointwise says, when pixels are cut. */
  void (*plan)(struct fcv_pointwise *d);
  /* Channels j0 .. j0 + valid - 1 of all groups' columns, [image][pixel][width]. */
  void (*make_panel)(const struct fcv_pointwise *d, const struct fcv_pointwise_block *block, int64_t j0, int64_t valid,
                     int64_t width, const struct fcv_pointwise_memory *memory, char *to);
  /* Channels r0 .. r0 + m - 1 of all groups' rows, to a and where they are copied band. */
  void (*take_band)(const struct fcv_pointwise *d, const struct fcv_pointwise_block *block, int64_t r0, int64_t m,
                    const struct fcv_pointwise_memory *memory);
  /* The band's products with all panels. */
  void (*multiply)(const struct fcv_pointwise *d, const struct fcv_pointwise_block *block, int64_t m,
                   enum fcv_into into, const struct fcv_pointwise_memory *memory, const struct fcv_pointwise_next *next,
                   char *sums);
  /* Where channels of a block lie, and where some row of them, from one channel on. */
  struct fcv_region (*find_region)(const struct fcv_pointwise *d, const struct fcv_side *side,
                                   const struct fcv_pointwise_block *block, int64_t channels);
  const char *(*find_row)(const struct fcv_pointwise *d, const struct fcv_side *side,
                          const struct fcv_pointwise_block *block, int64_t channel, int64_t row);
};
/* conv_wgrad_pointwise_first.c and conv_wgrad_pointwise_last.c */
extern const struct fcv_pointwise_layout fcv_pointwise_first, fcv_pointwise_last;

/* conv_wgrad_pointwise.c: a call's share of what is fetched while a band is multiplied, in turns of FCV_TURN pixels:
 * call number `call` of some. */
struct fcv_ahead fcv_pointwise_fetch(const struct fcv_pointwise *d, const struct fcv_pointwise_next *next, int64_t call,
                                     int64_t calls, int64_t turns);

/* Rows of an image's outputs that lie in one slice, from one on, and the pixel that the first of them meets. */
static inline int64_t fcv_pointwise_rows(const struct fcv_walk *walk, int64_t row, int64_t end, int64_t *met) {
  const struct fcv_axis *axis = walk->axis;
  const int64_t z = row / axis[1].count, y = row % axis[1].count;
  *met = (z * axis[0].in_step * axis[1].in + y * axis[1].in_step) * axis[2].in;
  return fcv_min(end - row, axis[1].count - y);
}

#endif
