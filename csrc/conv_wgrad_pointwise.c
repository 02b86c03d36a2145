/* Weight gradient of pointwise (1x1) convolution: gw[j][k] = sum over pixels of gy[pixel][j] * x[pixel][k], a product
 * of two matrices over pixels, in the blocks of Goto and van de Geijn (2008): of some pixels one matrix is packed to
 * panels that stay in L2, [pixel][channel], the other is taken a band of channels at a time and meets them all. How
 * that is done, the layout of the arrays decides (struct fcv_pointwise_layout).
 *
 * Pixels are dealt out to chunks with sums of their own, which are added up in the end; blocks and chunks depend on the
 * shape alone, and a unit sums whole elements of a chunk in their order: the same bits for every number of threads. */
#include "wgrad_pointwise.h"

enum {
  PANEL_BYTES = 1 << 19, /* of a block, */
  MORE_BYTES = 1 << 20,  /* or where weights take more than that, which are read and written once a block */
  CHUNK_PIXELS = 128,    /* of a chunk at least, times the number of chunks */
  FEW_CHANNELS = 16,     /* so few make no panels that are worth it */
  MANY_BYTES = 1 << 20,  /* of weights, channels last */
  TURNED = 32            /* rows of sums that are transposed as one unit */
};

static int64_t lay_out(const struct fcv_pointwise *d, char *base, struct fcv_pointwise_memory *memory) {
  const int64_t panel_row = fcv_panels_channels(&d->panels) * d->kernels->size;
  int64_t bytes = 0;
  const int64_t panels = fcv_reserve(&bytes, d->images * d->part * panel_row);
  const int64_t stage = fcv_reserve(&bytes, d->stage_bytes);
  const int64_t band = fcv_reserve(&bytes, d->band_bytes);
  const int64_t a = fcv_reserve(&bytes, d->pointers * (int64_t)sizeof(void *));
  if (base)
    *memory = (struct fcv_pointwise_memory){base + panels, base + stage, base + band, (const void **)(base + a)};
  return bytes;
}

static struct fcv_pointwise_block find_block(const struct fcv_pointwise *d, int64_t number) {
  const int64_t parts = fcv_ceil_div(d->pixels, d->part);
  if (parts > 1) {
    const int64_t first = number % parts * d->part;
    return (struct fcv_pointwise_block){number / parts, 1, first, fcv_min(d->part, d->pixels - first)};
  }
  const int64_t image = d->walk->n * number / d->blocks;
  return (struct fcv_pointwise_block){image, d->walk->n * (number + 1) / d->blocks - image, 0, d->pixels};
}

static void make_panels(const struct fcv_pointwise *d, int64_t group, const struct fcv_pointwise_block *block,
                        const struct fcv_pointwise_memory *memory) {
  char *to = memory->panels;
  for (int64_t panel = 0; panel < d->panels.per_group; panel++) {
    const int64_t width = fcv_panel_width(&d->panels, panel), first = panel * d->panels.width;
    const int64_t valid = fcv_min(width, d->columns.channels - first), j0 = group * d->columns.channels + first;
    const int64_t bytes = block->images * block->count * width * d->kernels->size;
    if (valid < width)
      memset(to, 0, (size_t)bytes);
    d->layout->make_panel(d, block, j0, valid, width, memory, to);
    to += bytes;
  }
}

/* A call's share of some channels of a block: some rows, or of one some lines. */
static struct fcv_ahead fetch_share(const struct fcv_pointwise *d, const struct fcv_side *side,
                                    const struct fcv_pointwise_block *block, int64_t channel, int64_t channels,
                                    int64_t call, int64_t calls, int64_t turns) {
  const struct fcv_region r = d->layout->find_region(d, side, block, channels);
  const int64_t row = r.rows * call / calls;
  const char *from = d->layout->find_row(d, side, block, channel, row);
  if (r.rows >= calls)
    return (struct fcv_ahead){from, fcv_ceil_div(r.rows * (call + 1) / calls - row, turns), r.lines, r.pitch};
  const int64_t first = fcv_ceil_div(row * calls, r.rows), parts = fcv_ceil_div((row + 1) * calls, r.rows) - first;
  const int64_t lines = fcv_ceil_div(fcv_ceil_div(r.lines, parts), turns);
  return (struct fcv_ahead){from + 64 * (r.lines * (call - first) / parts), 1, lines, 64 * lines};
}

/* Of the calls for a band the first half fetch rows, the others columns. */
struct fcv_ahead fcv_pointwise_fetch(const struct fcv_pointwise *d, const struct fcv_pointwise_next *next, int64_t call,
                                     int64_t calls, int64_t turns) {
  const int64_t half = fcv_ceil_div(calls, 2), others = calls - half;
  if (call < half && next->m > 0)
    return fetch_share(d, &d->rows, &next->block, next->r0, next->m, call, half, turns);
  if (call >= half && next->channels > 0)
    return fetch_share(d, &d->columns, &next->panels, next->j0, next->channels, next->band * others + call - half,
                       next->bands * others, turns);
  return (struct fcv_ahead){0};
}

static void sum_unit(const void *context, int64_t unit, int thread) {
  const struct fcv_pointwise *d = context;
  const int64_t split = unit % d->splits, group = unit / d->splits % d->walk->groups;
  const int64_t chunk = unit / d->splits / d->walk->groups, rows = d->rows.channels;
  const int64_t begin = d->blocks * chunk / d->chunks, end = d->blocks * (chunk + 1) / d->chunks;
  const int64_t band0 = d->bands * split / d->splits, band1 = d->bands * (split + 1) / d->splits;
  struct fcv_pointwise_memory memory;
  lay_out(d, d->thread_memory + thread * d->thread_bytes, &memory);
  char *sums = (chunk > 0 ? d->more + (chunk - 1) * d->weights : d->sums) + group * d->group * d->kernels->size;
  struct fcv_pointwise_next next = {.j0 = group * d->columns.channels, .bands = band1 - band0};
  for (int64_t b = begin; b < end; b++) {
    const struct fcv_pointwise_block block = find_block(d, b), then = find_block(d, fcv_min(b + 1, end - 1));
    next.panels = then;
    next.channels = b + 1 < end ? d->columns.channels : 0;
    make_panels(d, group, &block, &memory);
    for (int64_t band = band0; band < band1; band++) {
      const int64_t r0 = rows * band / d->bands, m = rows * (band + 1) / d->bands - r0;
      const int64_t after = band + 1 < band1 ? band + 1 : band0, first = rows * after / d->bands;
      next.block = after > band ? block : then;
      next.band = band - band0;
      next.r0 = group * rows + first;
      next.m = after > band || b + 1 < end ? rows * (after + 1) / d->bands - first : 0;
      d->layout->take_band(d, &block, group * rows + r0, m, &memory);
      d->layout->multiply(d, &block, m, b > begin ? FCV_ADD : FCV_REPLACE, &memory, &next,
                          sums + r0 * d->pitch * d->kernels->size);
    }
  }
}

/* Sums, a group's rows, to gw, where those are columns. */
struct turn {
  const struct fcv_pointwise *d;
  char *gw;
  int64_t blocks;       /* of a group's rows */
  int64_t group, pitch; /* of gw */
};

static void turn_unit(const void *context, int64_t unit, int thread) {
  const struct turn *t = context;
  const struct fcv_pointwise *d = t->d;
  const int64_t size = d->kernels->size, group = unit / t->blocks, first = unit % t->blocks * TURNED;
  (void)thread;
  d->kernels->transpose(fcv_min(TURNED, d->rows.channels - first), d->columns.channels,
                        d->sums + (group * d->group + first * d->pitch) * size, d->pitch,
                        t->gw + (group * t->group + first) * size, t->pitch);
}

/* Blocks of even size: images, or whole vectors of pixels, or whole rows of outputs where a stride parts them. */
static void cut_pixels(struct fcv_pointwise *d) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t bytes = d->weights > MORE_BYTES ? MORE_BYTES : PANEL_BYTES;
  const int64_t most =
      fcv_max(k->vl, fcv_min(FCV_POINTWISE_PIXELS, bytes / (fcv_panels_channels(&d->panels) * k->size)));
  const int64_t unit = d->rows.strided || d->columns.strided ? d->walk->axis[2].count : k->vl;
  d->part = d->pixels;
  d->images = 1;
  if (d->pixels > most) {
    d->part = fcv_min(d->pixels, fcv_round_up(fcv_ceil_div(d->pixels, fcv_ceil_div(d->pixels, most)), unit));
    d->blocks = d->walk->n * fcv_ceil_div(d->pixels, d->part);
  }
  if (d->part == d->pixels) {
    d->blocks = fcv_ceil_div(d->walk->n, fcv_max(1, most / d->pixels));
    d->images = fcv_ceil_div(d->walk->n, d->blocks);
  }
}

static int is_strided(const struct fcv_geometry *g) { return fcv_product(g->in) != fcv_product(g->out); }

/* Channels last, few weights are summed as fast where pixels are not copied. */
int fcv_use_wgrad_pointwise(const struct fcv_conv *conv) {
  const struct fcv_geometry *g = &conv->geometry;
  const int64_t weights = g->ci / g->groups * g->co * fcv_kernels(conv->dtype)->size;
  int pointwise = conv->algorithm == FCV_DIRECT && fcv_min(g->ci, g->co) / g->groups >= FEW_CHANNELS;
  for (int i = 0; i < FCV_AXES; i++) pointwise = pointwise && g->kernel[i] == 1 && !g->pad_lo[i] && !g->pad_hi[i];
  return pointwise && (conv->layout == FCV_CHANNELS_FIRST || weights >= MANY_BYTES || is_strided(g));
}

static struct fcv_side side_of(const void *data, int64_t groups, int64_t channels, int64_t plane, fcv_layout layout) {
  const int last = layout == FCV_CHANNELS_LAST;
  return (struct fcv_side){
      .data = data,
      .channels = channels,
      .channel = last ? 1 : plane,
      .pixel = last ? groups * channels : 1,
      .image = groups * channels * plane,
  };
}

/* Which matrix makes rows, and which columns; and where sums go, in gw if its columns are theirs. */
static void choose_sides(struct fcv_pointwise *d, const struct fcv_conv *conv, const void *x, const void *gy) {
  const int64_t kc = d->walk->kc, nc = d->walk->nc, groups = d->walk->groups;
  const int weights_last = conv->weight_layout == FCV_CHANNELS_LAST;
  const int along_x = d->layout->columns_are_x(d, weights_last);
  struct fcv_side images = side_of(x, groups, kc, fcv_product(conv->geometry.in), conv->layout);
  images.strided = is_strided(&conv->geometry);
  const struct fcv_side gradients = side_of(gy, groups, nc, d->pixels, conv->layout);
  d->rows = along_x ? gradients : images;
  d->columns = along_x ? images : gradients;
  d->in_place = along_x != weights_last;
  d->pitch = along_x ? kc : d->in_place ? groups * nc : nc;
  d->group = d->in_place && weights_last ? nc : kc * nc;
}

/* Sums, where they are not gw, to it. */
static void turn_sums(const struct fcv_pointwise *d, fcv_layout weight_layout, char *gw, int threads) {
  const int64_t kc = d->walk->kc, nc = d->walk->nc, groups = d->walk->groups;
  const int last = weight_layout == FCV_CHANNELS_LAST;
  const struct turn turn = {
      .d = d,
      .gw = gw,
      .blocks = fcv_ceil_div(d->rows.channels, TURNED),
      .group = last ? nc : kc * nc,
      .pitch = last ? groups * nc : kc,
  };
  fcv_parallel_for(groups * turn.blocks, threads, turn_unit, &turn);
}

fcv_status fcv_conv_wgrad_pointwise(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x,
                                    const void *gy, void *gw) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  const int64_t kc = walk->kc, nc = walk->nc, groups = walk->groups;
  struct fcv_pointwise d = {
      .layout = conv->layout == FCV_CHANNELS_LAST ? &fcv_pointwise_last : &fcv_pointwise_first,
      .kernels = k,
      .walk = walk,
      .pixels = fcv_product(conv->geometry.out),
      .weights = groups * kc * nc * k->size,
  };
  choose_sides(&d, conv, x, gy);
  fcv_wide_panels(k, d.columns.channels, &d.panels);
  cut_pixels(&d);
  d.layout->plan(&d);
  d.chunks = fcv_min(fcv_chunks(walk->n * d.pixels, CHUNK_PIXELS, d.weights), d.blocks);
  const int threads = fcv_threads_for((double)(walk->n * d.pixels) * (double)groups * (double)(kc * nc));
  d.splits = fcv_min(fcv_ceil_div(d.rows.channels, d.tile), fcv_ceil_div(threads, d.chunks * groups));
  d.bands = fcv_max(d.splits, fcv_ceil_div(d.rows.channels, d.band));
  d.thread_bytes = lay_out(&d, NULL, NULL);

  int64_t bytes = 0;
  const int64_t sums_at = fcv_reserve(&bytes, d.in_place ? 0 : d.weights);
  const int64_t more_at = fcv_reserve(&bytes, (d.chunks - 1) * d.weights);
  const int64_t threads_at = fcv_reserve(&bytes, threads * d.thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  d.sums = d.in_place ? gw : memory + sums_at;
  d.more = memory + more_at;
  d.thread_memory = memory + threads_at;
  fcv_parallel_for(d.chunks * groups * d.splits, threads, sum_unit, &d);
  fcv_add_chunks(k, d.chunks - 1, d.weights / k->size, d.more, d.sums, threads);
  if (!d.in_place)
    turn_sums(&d, conv->weight_layout, gw, threads);
  fcv_scratch_give(memory);
  return FCV_OK;
}
