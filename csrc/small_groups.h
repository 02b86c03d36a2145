/* Depthwise convolution, and small groups of channels: what the files of its passes share. */
#ifndef FASTCONV_SMALL_GROUPS_H
#define FASTCONV_SMALL_GROUPS_H

#include "internal.h"

/* Weights of some groups, from the first on, to rows [tap][k][pitch], or back: k and the channels of a row are
 * those of a walk, or where swap is set the other way round. */
void fcv_group_weights(const struct fcv_conv *conv, int swap, int64_t first, int64_t groups, int64_t pitch, int to_rows,
                       const void *from, void *to);

/* Channels last, of a staged box: the rows of pixels that meet row y of outputs, and those of weights, [row][kernel's
 * columns][w_tap]; returns how many. */
struct fcv_staged_rows {
  const struct fcv_padded *stage;
  const struct fcv_axes *axes;
  const struct fcv_padded_box *box;
  const int64_t *kernel;
  int64_t pixel, w_tap; /* bytes */
  const char *staged, *w;
};
int64_t fcv_staged_rows(const struct fcv_staged_rows *rows, int64_t y, const void **x, const void **w);

/* Channels first: whether rows of outputs have so few columns that some channels of an image are transposed. */
int fcv_depthwise_is_small(const struct fcv_conv *conv, int64_t columns);

/* conv_depthwise_first.c: rows of padded copies, or of planes as below. */
fcv_status fcv_conv_depthwise_first(const struct fcv_conv *conv, int transposed, const void *x, const void *w,
                                    const void *bias, void *y);
int64_t fcv_depthwise_first_packed_bytes(const struct fcv_conv *conv);
void fcv_depthwise_first_pack(const struct fcv_conv *conv, const void *w, const void *bias, char *packed);
/* The weights and the bias that it packed, in place of others; nothing where there are none. */
void fcv_depthwise_first_packed(const struct fcv_conv *conv, const void **w, const void **bias);
/* conv_depthwise_planes.c: the same without padded copies, for small kernels. */
int fcv_depthwise_in_place(const struct fcv_conv *conv, int transposed);
/* The sizes of planes and of their walk, for rows r0, r0 + shift_step ... < r1 of outputs, which meet rows of the input
 * that are as far apart; returns the first one of these, from which on the input is described. */
int64_t fcv_planes_rows(const struct fcv_axis *rows, const struct fcv_axis *columns, int64_t r0, int64_t r1,
                        struct fcv_depthwise_planes *planes);
/* Elements from the first one of a plane's input that it describes to behind the last one. */
int64_t fcv_planes_extent(const struct fcv_depthwise_planes *planes);
fcv_status fcv_conv_depthwise_planes(const struct fcv_conv *conv, int transposed, const void *x, const void *w,
                                     const void *bias, void *y);

#endif
