/* Tiles and windows of Winograd convolution. */
#include "winograd.h"

enum { LEAST_STAGE = 32 << 10 };

struct fcv_winograd fcv_winograd(const struct fcv_conv *conv, const struct fcv_walk *walk, int m) {
  struct fcv_winograd w = {.conv = conv, .kernels = fcv_kernels(conv->dtype), .walk = walk, .m = m};
  w.points = (m + 2) * (m + 2);
  w.which = m == 4;
  fcv_panels(w.kernels, walk->nc, &w.panels);
  return w;
}

struct fcv_tiles fcv_tiles(const struct fcv_winograd *w, const struct fcv_box *box) {
  struct fcv_tiles tiles = {.box = *box};
  tiles.rows = fcv_ceil_div(box->size[2], w->m);
  tiles.columns = fcv_ceil_div(w->walk->axis[2].count, w->m);
  tiles.all = box->size[0] * tiles.rows * tiles.columns;
  return tiles;
}

struct fcv_factor fcv_factor(const struct fcv_kernels *kernels, int64_t channels, int64_t tiles) {
  struct fcv_factor factor = {.pitch = fcv_round_up(channels, kernels->vl) * kernels->size + 64};
  factor.point = fcv_point_bytes(tiles * factor.pitch);
  return factor;
}

/* Pointers to size x size pixels of a source from (y, x) on, with zeros outside. */
static void find_window(const struct fcv_source *s, int64_t image, int64_t y, int64_t x, int size, const void **pixel) {
  const int64_t base = (image - s->first_image) * s->image;
  for (int64_t i = y; i < y + size; i++)
    for (int64_t j = x; j < x + size; j++) {
      const int in = i >= s->lo[1] && i < s->hi[1] && j >= s->lo[2] && j < s->hi[2];
      *pixel++ = in ? s->data + base + (i - s->lo[1]) * s->step[1] + (j - s->lo[2]) * s->step[2] : s->zero;
    }
}

void fcv_winograd_transform(const struct fcv_winograd *w, const struct fcv_tiles *tiles,
                            const struct fcv_windows *windows, const struct fcv_factor *to) {
  const void *pixel[FCV_POINTS];
  void *row[FCV_POINTS];
  fcv_point_rows(to->data, w->points, to->point, row);
  struct fcv_winograd_tile tile = {
      .channels = windows->channels, .from = pixel, .from_bytes = windows->first, .to = row};
  for (int64_t t = 0; t < tiles->count; t++) {
    const struct fcv_tile at = fcv_tile(w, tiles, t);
    find_window(windows->source, at.image, at.y + windows->y_shift, at.x + windows->x_shift, windows->size, pixel);
    tile.to_bytes = t * to->pitch;
    windows->transform(&tile);
  }
}

struct fcv_windows fcv_input_windows(const struct fcv_winograd *w, const struct fcv_source *source) {
  return (struct fcv_windows){
      .source = source,
      .y_shift = w->walk->axis[1].shift,
      .x_shift = w->walk->axis[2].shift,
      .channels = w->walk->kc,
      .size = w->m + 2,
      .transform = w->kernels->winograd_input[w->which],
  };
}

struct fcv_windows fcv_grad_output_windows(const struct fcv_winograd *w, const struct fcv_source *source) {
  return (struct fcv_windows){
      .source = source,
      .channels = w->walk->nc,
      .size = w->m,
      .transform = w->kernels->winograd_grad_output[w->which],
  };
}

int64_t fcv_winograd_boxes(const struct fcv_winograd *w, int64_t pitch, int64_t wanted, struct fcv_stage *stage) {
  int64_t boxes = 0;
  for (int64_t budget = FCV_WINOGRAD_STAGE; budget >= LEAST_STAGE && boxes < wanted; budget /= 2) {
    fcv_stage_plan(w->kernels, w->walk, pitch, budget, w->m, stage);
    boxes = fcv_stage_blocks(stage, w->walk);
  }
  return boxes;
}
