/* What the files of channels-first direct convolution share (conv_planes.c has the way itself). */
#ifndef FCV_PLANES_TILES_H
#define FCV_PLANES_TILES_H

#include "internal.h"

struct fcv_planes {
  const struct fcv_conv *conv;
  const struct fcv_kernels *kernels;
  struct fcv_patcher patcher;
  struct fcv_weight_rows rows;
  int64_t width, chunk; /* pixels of a panel, and at a time */
  int64_t rest, pitch;  /* pixels that are computed along their terms; elements from one to the next */
  int filling;          /* there are others */
  int packs;            /* with the first tile, where pixels lie side by side */
  int fetches;          /* what comes next from memory */
  int past_caches;      /* y is written so where it can be, in vectors of so many bytes: */
  int64_t line;
  int threads;
  int spreads;    /* y: to every second row and column, the others are zero */
  int64_t splits; /* units of a box and group: ranges of output channels */
  int64_t units;
  int64_t thread_bytes;
  char *y, *thread_memory;
};

/* A panel of patches: its pixels, their runs. */
struct fcv_panel {
  int64_t count, runs;
  int in_place; /* its pixels are neighbours in the output */
  const struct fcv_patch_run *run;
  const int64_t *out;
  char *patches;
  const char *rows; /* of x, from which the first tile packs the patches; or NULL, they are there */
  const char *rest; /* the patches, [pixel][pitch], where sums run along terms; or NULL */
};

/* Output channels first .. last - 1 of a group, over some panels, with the terms of a block of channels, while next is
 * fetched. memory: of a tile. */
void fcv_planes_multiply(const struct fcv_planes *d, int64_t group, int64_t first, int64_t last, int64_t channel,
                         int64_t channels, const struct fcv_panel *panel, int64_t panels,
                         const struct fcv_patch_memory *next, char *memory);

#endif
