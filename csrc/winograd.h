/* What both Winograd passes share: the grid of tiles, and windows that are transformed to rows of a product's factor.
 * A thread has blocks of tiles to itself from the transformation to the result: what it transforms stays in its caches.
 */
#ifndef FASTCONV_WINOGRAD_H
#define FASTCONV_WINOGRAD_H

#include "internal.h"

enum {
  FCV_POINTS = 36,             /* at most */
  FCV_WINOGRAD_STAGE = 4 << 20 /* bytes of channels-first input at a time */
};

struct fcv_winograd {
  const struct fcv_conv *conv;
  const struct fcv_kernels *kernels;
  const struct fcv_walk *walk;
  struct fcv_panels panels;
  int m, points, which; /* output tiles of m x m; which: 0 for m = 2, 1 for m = 4 */
};
struct fcv_winograd fcv_winograd(const struct fcv_conv *conv, const struct fcv_walk *walk, int m);

/* Tiles first .. first + count - 1 of those of a box. */
struct fcv_tiles {
  struct fcv_box box;
  int64_t rows, columns, all; /* of tiles in an image of the box; of the box */
  int64_t first, count;
};
struct fcv_tiles fcv_tiles(const struct fcv_winograd *w, const struct fcv_box *box);

/* Where a tile's first output pixel lies. */
struct fcv_tile {
  int64_t image, y, x;
};
static inline struct fcv_tile fcv_tile(const struct fcv_winograd *w, const struct fcv_tiles *tiles, int64_t number) {
  const int64_t t = tiles->first + number;
  return (struct fcv_tile){
      .image = tiles->box.lo[0] + t / (tiles->rows * tiles->columns),
      .y = tiles->box.lo[2] + t / tiles->columns % tiles->rows * w->m,
      .x = t % tiles->columns * w->m,
  };
}

/* A factor of the products, or their result: for each point a matrix with a row of channels for each tile. */
struct fcv_factor {
  int64_t pitch, point; /* bytes from one row, and point, to the next */
  char *data;
};
/* Rows of a line more than whole vectors: tiles do not fall into the same sets of a cache. Points as many lines apart
 * as no power of two divides: a transform writes one vector for each of 36, which in the same few sets push each other
 * out before their lines are full. */
struct fcv_factor fcv_factor(const struct fcv_kernels *kernels, int64_t channels, int64_t tiles);
static inline int64_t fcv_point_bytes(int64_t bytes) { return fcv_round_up(bytes, 64) | 64; }
static inline void fcv_point_rows(char *base, int points, int64_t point_bytes, void **row) {
  for (int e = 0; e < points; e++) row[e] = base + e * point_bytes;
}

/* What becomes a factor: windows of size x size pixels, channels of them from byte first on, size - 2 or size apart. */
struct fcv_windows {
  const struct fcv_source *source;
  int64_t y_shift, x_shift, first, channels;
  int size;
  fcv_winograd_fn *transform;
};
void fcv_winograd_transform(const struct fcv_winograd *w, const struct fcv_tiles *tiles,
                            const struct fcv_windows *windows, const struct fcv_factor *to);
/* V = B^T d B */
struct fcv_windows fcv_input_windows(const struct fcv_winograd *w, const struct fcv_source *source);
/* A gy A^T */
struct fcv_windows fcv_grad_output_windows(const struct fcv_winograd *w, const struct fcv_source *source);

/* Boxes of whole tile rows, so that the grid of tiles is the same whatever the boxes; at least wanted, where there are
 * as many tile rows and images. */
int64_t fcv_winograd_boxes(const struct fcv_winograd *w, int64_t pitch, int64_t wanted, struct fcv_stage *stage);

#endif
