/* Weights into the panels that the kernels read. */
#include "internal.h"

static struct fcv_panels panels_of(int64_t width, int64_t vl, int64_t channels) {
  struct fcv_panels panels = {.width = width, .per_group = fcv_max(1, fcv_ceil_div(channels, width))};
  panels.last = fcv_round_up(fcv_max(1, channels - (panels.per_group - 1) * width), vl);
  return panels;
}

void fcv_panels(const struct fcv_kernels *kernels, int64_t channels, struct fcv_panels *panels) {
  *panels = panels_of((int64_t)kernels->nv * kernels->vl, kernels->vl, channels);
}

void fcv_wide_panels(const struct fcv_kernels *kernels, int64_t channels, struct fcv_panels *panels) {
  *panels = panels_of((int64_t)kernels->wide_nv * kernels->vl, kernels->vl, channels);
}

struct pack {
  const struct fcv_kernels *kernels;
  const struct fcv_walk *walk;
  const struct fcv_weight_view *view;
  struct fcv_panels panels;
  int64_t blocks;      /* of k, BLOCK each: a unit is one of them in one panel */
  int64_t first, rows; /* the k that is written first, and how many are at each tap */
  const char *w;
  char *packed;
};

enum { BLOCK = FCV_PACK_BLOCK, TAPS = 16 /* that are packed together */ };

int64_t fcv_tap_offset(const struct fcv_walk *walk, const struct fcv_weight_view *view, int64_t t) {
  int64_t offset = 0;
  for (int i = FCV_AXES - 1; i >= 0; i--) {
    const struct fcv_axis *axis = &walk->axis[i];
    offset += (axis->kernel_start + t % axis->taps * axis->kernel_step) * view->kernel[i];
    t /= axis->taps;
  }
  return offset;
}

/* The distance between neighbouring taps in w if it is the same for all of them, else 0. */
static int64_t tap_pitch(const struct fcv_walk *walk, const struct fcv_weight_view *view) {
  int64_t pitch = 0, span = 1;
  for (int i = FCV_AXES - 1; i >= 0; i--) {
    const struct fcv_axis *axis = &walk->axis[i];
    const int64_t step = axis->kernel_step * view->kernel[i];
    if (axis->taps == 1)
      continue;
    if (span > 1 && step != pitch * span)
      return 0;
    if (span == 1)
      pitch = step;
    span *= axis->taps;
  }
  return pitch;
}

/* Elements of w that have no neighbours: some taps of one k and j together, since they may share a line of cache. Tap
 * by tap the weights of a transposed 1x4x4 512->256 4x4, channels first, took 4 ms. */
#define SCATTER(type)                                                                                                  \
  for (int64_t k = k0; k < k1; k++)                                                                                    \
    for (int64_t j = 0; j < valid; j++)                                                                                \
      for (int64_t t = 0; t < taps; t++)                                                                               \
        ((type *)to)[(t * p->rows + k - p->first) * width + j] = ((const type *)w)[k * k_step + j * j_step + offset[t]];

static void scatter(const struct pack *p, const char *w, int64_t k0, int64_t k1, int64_t valid, int64_t width,
                    int64_t taps, const int64_t *offset, char *to) {
  const int64_t k_step = p->view->k, j_step = p->view->j;
  if (p->kernels->size == sizeof(float)) {
    SCATTER(float)
  } else {
    SCATTER(double)
  }
}

/* One tap for k0 <= k < k1: rows of width channels, valid of them in w. */
static void pack_tap(const struct pack *p, const char *w, int64_t k0, int64_t k1, int64_t valid, int64_t width,
                     char *to) {
  const int64_t size = p->kernels->size, k_step = p->view->k, j_step = p->view->j;
  const int64_t offset = 0;
  if (j_step == 1 && k1 > k0)
    p->kernels->pad_rows(&(struct fcv_pad_rows){
        .rows = k1 - k0,
        .count = valid,
        .step = 1,
        .x = w + k0 * k_step * size,
        .y = to + (k0 - p->first) * width * size,
        .x_pitch = k_step,
        .y_pitch = width,
    });
  else if (k_step != 1)
    scatter(p, w, k0, k1, valid, width, 1, &offset, to);
  else
    p->kernels->transpose(valid, k1 - k0, w + k0 * size, j_step, to + (k0 - p->first) * width * size, width);
}

/* All taps of one k after the other, where they are neighbours in w (kernels last): a transposition of channels x taps,
 * backwards where the walk is. */
static void pack_all_taps(const struct pack *p, const char *w, int64_t k0, int64_t k1, int64_t valid, int64_t width,
                          int64_t taps, int forwards, char *to) {
  const int64_t size = p->kernels->size, tap = p->rows * width;
  const int64_t low = forwards ? 0 : taps - 1; /* the tap that stands first in w */
  for (int64_t k = k0; k < k1; k++)
    p->kernels->transpose(valid, taps, w + (k * p->view->k - (forwards ? 0 : taps - 1)) * size, p->view->j,
                          to + (low * tap + (k - p->first) * width) * size, forwards ? tap : -tap);
}

/* Channels that a panel has beyond those of w. */
static void clear_padding(int64_t size, int64_t rows, int64_t valid, int64_t width, char *to) {
  if (valid < width)
    for (int64_t k = 0; k < rows; k++) memset(to + (k * width + valid) * size, 0, (size_t)((width - valid) * size));
}

/* Of one panel, at to, input channels k0 <= k < k1. */
static void pack_block(const struct pack *p, int64_t group, int64_t panel, int64_t k0, int64_t k1, char *to) {
  const struct fcv_walk *walk = p->walk;
  const int64_t size = p->kernels->size, taps = fcv_walk_taps(walk);
  const int64_t width = fcv_panel_width(&p->panels, panel), j0 = panel * p->panels.width;
  const int64_t valid = fcv_min(width, walk->nc - j0);
  const char *w = p->w + (group * p->view->group + j0 * p->view->j) * size;

  for (int64_t t = 0; t < taps; t++)
    clear_padding(size, k1 - k0, valid, width, to + (t * p->rows + k0 - p->first) * width * size);
  const int64_t pitch = tap_pitch(walk, p->view);
  if (taps > 1 && (pitch == 1 || pitch == -1)) {
    pack_all_taps(p, w + fcv_tap_offset(walk, p->view, 0) * size, k0, k1, valid, width, taps, pitch == 1, to);
    return;
  }
  for (int64_t t = 0; t < taps && p->view->j != 1 && p->view->k != 1; t += TAPS) {
    int64_t offset[TAPS], count = fcv_min(TAPS, taps - t);
    for (int64_t i = 0; i < count; i++) offset[i] = fcv_tap_offset(walk, p->view, t + i);
    scatter(p, w, k0, k1, valid, width, count, offset, to + t * p->rows * width * size);
  }
  if (p->view->j != 1 && p->view->k != 1)
    return;
  for (int64_t t = 0; t < taps; t++)
    pack_tap(p, w + fcv_tap_offset(walk, p->view, t) * size, k0, k1, valid, width, to + t * p->rows * width * size);
}

static void pack_unit(const void *context, int64_t unit, int thread) {
  const struct pack *p = context;
  const int64_t k0 = unit % p->blocks * BLOCK, k1 = fcv_min(k0 + BLOCK, p->walk->kc);
  const int64_t panel = unit / p->blocks % p->panels.per_group, group = unit / p->blocks / p->panels.per_group;
  const int64_t before = group * fcv_panels_channels(&p->panels) + panel * p->panels.width;
  (void)thread;
  pack_block(p, group, panel, k0, k1, p->packed + before * fcv_walk_taps(p->walk) * p->walk->kc * p->kernels->size);
}

void fcv_pack_piece(const struct fcv_kernels *kernels, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                    const void *w, int64_t tap, int64_t k0, int64_t k1, int64_t first, int64_t last, char *to) {
  struct pack p = {.kernels = kernels, .walk = walk, .view = view, .rows = k1 - k0};
  fcv_panels(kernels, walk->nc, &p.panels);
  const int64_t size = kernels->size, full = p.panels.width, rows = k1 - k0;
  const int64_t channels = fcv_min(walk->nc, last * full) - first * full;
  const char *from = (const char *)w + (fcv_tap_offset(walk, view, tap) + k0 * view->k + first * full * view->j) * size;
  const int64_t whole = view->j == 1 ? channels / full : 0; /* panels whose rows are copied side by side */
  kernels->cut_panels(whole, rows, from, view->k, to);
  for (int64_t panel = whole; panel < last - first; panel++) {
    const int64_t width = fcv_panel_width(&p.panels, first + panel), valid = fcv_min(width, channels - panel * full);
    char *rest = to + panel * rows * full * size;
    clear_padding(size, rows, valid, width, rest);
    pack_tap(&p, from + panel * full * view->j * size, 0, rows, valid, width, rest);
  }
}

void fcv_pack_panel(const struct fcv_kernels *kernels, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                    const void *w, int64_t panel, int64_t k0, int64_t k1, char *to) {
  struct pack p = {.kernels = kernels, .walk = walk, .view = view, .first = k0, .rows = k1 - k0, .w = w};
  fcv_panels(kernels, walk->nc, &p.panels);
  for (int64_t k = k0; k < k1; k += BLOCK) pack_block(&p, 0, panel, k, fcv_min(k + BLOCK, k1), to);
}

void fcv_pack_weights(const struct fcv_kernels *kernels, const struct fcv_walk *walk,
                      const struct fcv_weight_view *view, const void *w, void *packed, int threads) {
  struct pack pack = {.kernels = kernels, .walk = walk, .view = view, .rows = walk->kc, .w = w, .packed = packed};
  fcv_panels(kernels, walk->nc, &pack.panels);
  pack.blocks = fcv_ceil_div(walk->kc, BLOCK);
  if (fcv_walk_taps(walk) > 0)
    fcv_parallel_for(walk->groups * pack.panels.per_group * pack.blocks, threads, pack_unit, &pack);
}
