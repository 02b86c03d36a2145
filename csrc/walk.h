/* The walk that every convolution pass is, and its weights in panels. */
#ifndef FASTCONV_WALK_H
#define FASTCONV_WALK_H

#include "support.h"

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
/* For wide tiles: igemm_wide, and most weight gradients. */
void fcv_wide_panels(const struct fcv_kernels *kernels, int64_t channels, struct fcv_panels *panels);
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
/* Some k of a panel of the first group's: [tap][k - k0][width]. */
enum { FCV_PACK_BLOCK = 64 /* so many at a time */ };
void fcv_pack_panel(const struct fcv_kernels *kernels, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                    const void *w, int64_t panel, int64_t k0, int64_t k1, char *to);
/* A piece of them: a tap, k0 <= k < k1, panels first .. last - 1, [panel][k][width]. */
void fcv_pack_piece(const struct fcv_kernels *kernels, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                    const void *w, int64_t tap, int64_t k0, int64_t k1, int64_t first, int64_t last, char *to);

#endif
