/* Pointwise weight gradient, channels last: panels and bands are copied, pixel by pixel, bands to the tiles of the
 * kernel of weight gradients. */
#include "wgrad_pointwise.h"

enum { BAND_TILES = 8 };

/* Fewer columns are larger blocks, but sums of one block are best left in gw. */
static int columns_are_x(const struct fcv_pointwise *d, int weights_last) {
  return d->walk->n * d->pixels > FCV_POINTWISE_PIXELS ? d->walk->kc < d->walk->nc : !weights_last;
}

static void plan(struct fcv_pointwise *d) {
  const struct fcv_kernels *k = d->kernels;
  d->tile = k->wide_mi;
  d->band = BAND_TILES * k->wide_mi;
  d->pointers = d->images * d->part;
  d->band_pitch = d->pointers * fcv_split_lanes(k) * k->size;
  d->band_bytes = BAND_TILES * d->band_pitch;
}

/* Pixels of a block, from one on, that lie evenly in a matrix, and the element of the first. */
static int64_t find_run(const struct fcv_pointwise *d, const struct fcv_side *side,
                        const struct fcv_pointwise_block *block, int64_t pixel, int64_t *element) {
  const int64_t row = d->walk->axis[2].count, image = block->image + pixel / block->count;
  const int64_t in_image = block->first + pixel % block->count;
  int64_t met = in_image;
  if (side->strided)
    fcv_pointwise_rows(d->walk, in_image / row, in_image / row + 1, &met);
  *element = image * side->image + met * side->pixel;
  return side->strided ? row : block->images * block->count - pixel;
}

static int64_t run_step(const struct fcv_pointwise *d, const struct fcv_side *side) {
  return (side->strided ? d->walk->axis[2].in_step : 1) * side->pixel;
}

static void make_panel(const struct fcv_pointwise *d, const struct fcv_pointwise_block *block, int64_t j0,
                       int64_t valid, int64_t width, const struct fcv_pointwise_memory *memory, char *to) {
  const int64_t size = d->kernels->size, pixels = block->images * block->count, step = run_step(d, &d->columns);
  (void)memory;
  for (int64_t pixel = 0, run, element; pixel < pixels; pixel += run) {
    run = find_run(d, &d->columns, block, pixel, &element);
    const char *from = d->columns.data + (element + j0) * size;
    for (int64_t i = 0; i < run; i++, to += width * size) memcpy(to, from + i * step * size, (size_t)(valid * size));
  }
}

static void take_band(const struct fcv_pointwise *d, const struct fcv_pointwise_block *block, int64_t r0, int64_t m,
                      const struct fcv_pointwise_memory *memory) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t pixels = block->images * block->count, lanes = fcv_split_lanes(k);
  for (int64_t pixel = 0, run, element; pixel < pixels; pixel += run) {
    run = find_run(d, &d->rows, block, pixel, &element);
    k->split(&(struct fcv_split){
        .pixels = run,
        .channels = m,
        .blocks = fcv_ceil_div(m, k->wide_mi),
        .x_step = run_step(d, &d->rows),
        .y_block = d->band_pitch / k->size,
        .x = d->rows.data + (element + r0) * k->size,
        .y = memory->band + pixel * lanes * k->size,
    });
  }
  for (int64_t q = 0; q < pixels; q++) memory->a[q] = memory->band + q * lanes * k->size;
}

static void multiply(const struct fcv_pointwise *d, const struct fcv_pointwise_block *block, int64_t m,
                     enum fcv_into into, const struct fcv_pointwise_memory *memory,
                     const struct fcv_pointwise_next *next, char *sums) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t pixels = block->images * block->count, tiles = fcv_ceil_div(m, k->wide_mi);
  const char *b = memory->panels;
  for (int64_t panel = 0; panel < d->panels.per_group; panel++) {
    const int64_t width = fcv_panel_width(&d->panels, panel), j0 = panel * d->panels.width;
    for (int64_t t = 0; t < tiles; t++) {
      const int64_t first = m * t / tiles;
      k->wgrad[width / k->vl - 1](&(struct fcv_wgrad_tile){
          .pixels = pixels,
          .a = memory->a,
          .a_bytes = t * d->band_pitch,
          .b = b,
          .b_pitch = width,
          .gw = sums + (first * d->pitch + j0) * k->size,
          .gw_pitch = d->pitch,
          .m = (int)(m * (t + 1) / tiles - first),
          .n = (int)fcv_min(width, d->columns.channels - j0),
          .into = into,
          .ahead = fcv_pointwise_fetch(d, next, panel * tiles + t, d->panels.per_group * tiles,
                                       fcv_ceil_div(pixels, FCV_TURN)),
      });
    }
    b += pixels * width * k->size;
  }
}

static struct fcv_region find_region(const struct fcv_pointwise *d, const struct fcv_side *side,
                                     const struct fcv_pointwise_block *block, int64_t channels) {
  const int64_t size = d->kernels->size;
  return (struct fcv_region){
      .rows = block->images * block->count,
      .lines = fcv_ceil_div(channels * size, 64),
      .pitch = run_step(d, side) * size,
  };
}

static const char *find_row(const struct fcv_pointwise *d, const struct fcv_side *side,
                            const struct fcv_pointwise_block *block, int64_t channel, int64_t row) {
  int64_t element;
  find_run(d, side, block, row, &element);
  return side->data + (element + channel) * d->kernels->size;
}

const struct fcv_pointwise_layout fcv_pointwise_last = {
    .columns_are_x = columns_are_x,
    .plan = plan,
    .make_panel = make_panel,
    .take_band = take_band,
    .multiply = multiply,
    .find_region = find_region,
    .find_row = find_row,
};
