/* Pointwise weight gradient, channels first: both matrices lie along pixels. igemm reads the band where it lies, as
 * rows of its tile (or gathered, where a stride parts its pixels), so that only the panels are transposed; the matrix
 * of fewer channels makes them. */
#include "wgrad_pointwise.h"

enum { CONFLICT = 2048 /* rows a multiple of this apart: those of a tile do not fit into the sets of L1 */ };

/* By what is transposed: panels, and the sums where columns are not those of gw. */
static int columns_are_x(const struct fcv_pointwise *d, int weights_last) {
  const int64_t kc = d->walk->kc, nc = d->walk->nc, outputs = d->walk->n * d->pixels;
  return outputs * kc + weights_last * kc * nc <= outputs * nc + !weights_last * kc * nc;
}

static void plan(struct fcv_pointwise *d) {
  const struct fcv_kernels *k = d->kernels;
  d->tile = d->band = k->wide;
  d->copied = d->rows.strided || d->rows.channel * k->size % CONFLICT == 0;
  d->band_pitch = fcv_round_up(d->images * d->part * k->size, 64) + 64;
  d->band_bytes = d->copied ? k->wide * d->band_pitch : 0;
  d->stage_bytes = d->columns.strided ? (d->panels.width * d->part + k->vl) * k->size : 0;
  d->pointers = d->images * k->mr;
}

/* Strided pixels of a plane that a part of an image meets, side by side. Parts are whole rows of outputs. */
static void gather(const struct fcv_pointwise *d, const char *x, const struct fcv_pointwise_block *block, char *to) {
  const struct fcv_axis *axis = d->walk->axis;
  const int64_t size = d->kernels->size, row = axis[2].count, end = (block->first + block->count) / row;
  for (int64_t r = block->first / row, rows, met; r < end; r += rows, to += rows * row * size) {
    rows = fcv_pointwise_rows(d->walk, r, end, &met);
    d->kernels->pad_rows(&(struct fcv_pad_rows){
        .rows = rows,
        .count = row,
        .step = axis[2].in_step,
        .x = x + met * size,
        .x_pitch = axis[1].in_step * axis[2].in,
        .y = to,
        .y_pitch = row,
    });
  }
}

static void make_panel(const struct fcv_pointwise *d, const struct fcv_pointwise_block *block, int64_t j0,
                       int64_t valid, int64_t width, const struct fcv_pointwise_memory *memory, char *to) {
  const struct fcv_kernels *k = d->kernels;
  const struct fcv_side *columns = &d->columns;
  for (int64_t i = 0; i < block->images; i++, to += block->count * width * k->size) {
    const char *from = columns->data + ((block->image + i) * columns->image + j0 * columns->channel) * k->size;
    int64_t pitch = columns->channel;
    if (columns->strided) {
      for (int64_t j = 0; j < valid; j++)
        gather(d, from + j * pitch * k->size, block, memory->stage + j * block->count * k->size);
      from = memory->stage;
      pitch = block->count;
    } else {
      from += block->first * k->size;
    }
    k->transpose(valid, block->count, from, pitch, to, width);
  }
}

static void take_band(const struct fcv_pointwise *d, const struct fcv_pointwise_block *block, int64_t r0, int64_t m,
                      const struct fcv_pointwise_memory *memory) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t bytes = block->count * k->size;
  for (int64_t i = 0; i < block->images; i++)
    for (int r = 0; r < k->mr; r++) {
      const int64_t used = fcv_min(r, m - 1);
      const int64_t element = (block->image + i) * d->rows.image + (r0 + used) * d->rows.channel;
      const char *plane = d->rows.data + element * k->size, *from = plane + block->first * k->size;
      char *copy = memory->band + used * d->band_pitch + i * bytes;
      if (d->rows.strided && r < m)
        gather(d, plane, block, copy);
      else if (d->copied && r < m)
        memcpy(copy, from, (size_t)bytes);
      memory->a[i * k->mr + r] = d->copied ? copy : from;
    }
}

static void multiply(const struct fcv_pointwise *d, const struct fcv_pointwise_block *block, int64_t m,
                     enum fcv_into into, const struct fcv_pointwise_memory *memory,
                     const struct fcv_pointwise_next *next, char *sums) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t turns = block->images * fcv_ceil_div(block->count, FCV_TURN);
  void *c[FCV_MAX_MR];
  struct fcv_igemm_tile tile = {.taps = block->images, .kc = block->count, .a = memory->a, .c = c, .into = into};
  const char *w = memory->panels;
  tile.m = (int)m;
  for (int i = 0; i < tile.m; i++) c[i] = sums + i * d->pitch * k->size;
  for (int64_t panel = 0; panel < d->panels.per_group; panel++) {
    const int64_t width = fcv_panel_width(&d->panels, panel), j0 = panel * d->panels.width;
    tile.w = w;
    tile.n = (int)fcv_min(width, d->columns.channels - j0);
    tile.c_bytes = j0 * k->size;
    tile.ahead = fcv_pointwise_fetch(d, next, panel, d->panels.per_group, turns);
    tile.ahead.from = tile.ahead.from ? tile.ahead.from : w; /* c is fetched too */
    k->igemm_wide[width / k->vl - 1](&tile);
    w += block->images * block->count * width * k->size;
  }
}

/* Elements of a plane, roughly, that meet some of an image's outputs. */
static int64_t part_of(const struct fcv_pointwise *d, const struct fcv_side *side, int64_t outputs) {
  return outputs * side->channel / d->pixels;
}

static struct fcv_region find_region(const struct fcv_pointwise *d, const struct fcv_side *side,
                                     const struct fcv_pointwise_block *block, int64_t channels) {
  const int64_t size = d->kernels->size;
  if (block->images == 1)
    return (struct fcv_region){
        .rows = channels,
        .lines = fcv_ceil_div(part_of(d, side, block->count) * size, 64),
        .pitch = side->channel * size,
    };
  return (struct fcv_region){
      .rows = block->images,
      .lines = fcv_ceil_div(channels * side->channel * size, 64),
      .pitch = side->image * size,
  };
}

static const char *find_row(const struct fcv_pointwise *d, const struct fcv_side *side,
                            const struct fcv_pointwise_block *block, int64_t channel, int64_t row) {
  const int64_t first = block->image * side->image + channel * side->channel + part_of(d, side, block->first);
  return side->data + (first + row * (block->images == 1 ? side->channel : side->image)) * d->kernels->size;
}

const struct fcv_pointwise_layout fcv_pointwise_first = {
    .columns_are_x = columns_are_x,
    .plan = plan,
    .make_panel = make_panel,
    .take_band = take_band,
    .multiply = multiply,
    .find_region = find_region,
    .find_row = find_row,
};
