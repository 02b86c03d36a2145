/* The weight gradient by boxes of pixels: what its files share. */
#ifndef FASTCONV_WGRAD_H
#define FASTCONV_WGRAD_H

#include "internal.h"

enum { FCV_WGRAD_PIXELS = 128 }; /* of a block: a panel of gy takes 8 KiB, of wide tiles 32 */

struct fcv_wgrad {
  const struct fcv_conv *conv;
  const struct fcv_kernels *kernels;
  const struct fcv_walk *walk;
  const char *x, *gy, *zero;
  char *gw;          /* [tap][m][co], or if sums are transposed [co][m][tap] */
  char *sums;        /* of the chunks after the first, as gw */
  int64_t weights;   /* bytes of gw */
  char *team_memory; /* of threads that share the phases of a box: see fcv_wgrad_lay_out */
  int64_t team_bytes;
  int apart; /* a thread has chunks to itself */
  /* By fcv_wgrad_plan: */
  struct fcv_panels panels;
  int64_t channels;         /* over all groups' panels */
  int64_t taps, m, rows;    /* taps as the kernel sees them; values of one; tiles over them */
  int row_taps, patch_rows; /* the taps of a kernel row are one; patches are made of kernel rows */
  int patches;              /* are made: im2col */
  int transposes;           /* tiles of sums, on their way to gw */
  int staged;               /* x is */
  struct fcv_stage stage;
  int64_t boxes, chunks;
  /* By fcv_wgrad_lay_out, for a team: */
  int64_t splits, parts; /* parts of a panel's tiles, or 0, all tiles of all panels; and of the taps */
  int64_t all, units;    /* parts; units, of one each, or where sums are transposed of several */
  const void **a;        /* where sums are transposed: [block][tap][FCV_WGRAD_PIXELS] */
  char *packed;          /* gy: [block][group][panel][FCV_WGRAD_PIXELS][width] */
  char *staged_x;
  char *patch; /* [block][group][pixel][m] */
  char *thread_memory;
  int64_t thread_bytes;
  /* Of the box that is summed: */
  struct fcv_box box;
  struct fcv_source source;
  int64_t pixels, blocks;
  int summed;          /* gw holds the sums of earlier boxes */
  const char *next[2]; /* x and gy of the next box, which is fetched into L2 meanwhile, and their */
  int64_t lines[2];    /* lines of 64 bytes */
};

/* conv_wgrad_plan.c: how pixels and sums are cut. Returns how many threads that is worth. */
int fcv_wgrad_plan(struct fcv_wgrad *d);
/* The memory of a team of so many threads, or without base its size. */
int64_t fcv_wgrad_lay_out(struct fcv_wgrad *d, int threads, char *base);
/* conv_wgrad_box.c: packs the gy of a box, whose x is there, and adds its sums to gw. */
void fcv_wgrad_sum_box(const struct fcv_wgrad *d, int threads);

#endif
