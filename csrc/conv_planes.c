/* Direct convolution of channels-first arrays: vectors run along pixels, and nothing is transposed.
 *
 * It is the product of the weights, [channel][term] as they stand in memory, with patches, [term][pixel]: a term is one
 * input channel at one tap, and a row of patches is a row of an image, moved. igemm gets rows of weights as its pixels
 * and patches as its weights. A unit takes a box of outputs and a range of output channels: it copies the rows that the
 * box meets, padded (where x cannot be read in place), then pixel by pixel panels of patches, and multiplies them while
 * they are in L2. Sums of many terms are cut into blocks of channels, whose results are added up in the output. */
#include "planes_tiles.h"

enum {
  TERM_BYTES = 2048,          /* of the terms of a block: a panel of patches stays in L1 or close to it */
  REST_TERM_BYTES = 64 << 10, /* or, of pixels that no vector holds: rows of weights are read in long pieces */
  PATCH_BYTES = 128 << 10,    /* panels of a unit at a time, */
  MORE_BYTES = 512 << 10,     /* or of many terms, which are read from as many pages, as many more of */
  MORE_PIXELS = 512,          /* at most so many pixels, */
  MOST_PANELS = 64,           /* and no more of them */
  BOX_PIXELS = 1024,       /* of a box at least that is read in place, if its images have so many: they share panels */
  STAGE_BYTES = 192 << 10, /* its padded rows, */
  ONE_TAP_BYTES = 512 << 10, /* or where one tap meets them: none are staged twice */
  NEAR_BYTES = 4 << 20,      /* x, that is in the caches still */
  FAR_TERMS = 64,            /* of memory beyond them, where panels are packed by the first tile that reads them */
  REST_TILES = 8,            /* of output channels at least, */
  REST_PRODUCTS = 2000000,   /* or less work than for two threads */
  MANY_CHANNELS = 512,       /* of output: units that share a box then lose less by its patches than by short boxes */
};

struct unit_memory {
  char *stage, *patches, *tile;
  char *rest; /* [pixel][pitch] */
  struct fcv_patch_run *run;
  int64_t *out; /* [run]: element of y, channel 0 of the group */
};

static int64_t lay_out(const struct fcv_planes *d, char *base, struct unit_memory *memory) {
  const int64_t size = d->kernels->size, slack = d->kernels->vl * size;
  int64_t bytes = 0;
  const int64_t stage = fcv_reserve(&bytes, d->patcher.stage_bytes);
  const int64_t terms = d->patcher.channels * d->patcher.taps;
  const int64_t pixels = (d->filling ? d->chunk : 0) + (d->rest > 0 ? d->kernels->vl : 0);
  const int64_t patches = fcv_reserve(&bytes, pixels * terms * size + slack);
  const int64_t rest = fcv_reserve(&bytes, d->rest * d->pitch * size);
  const int64_t tile = fcv_reserve(&bytes, d->kernels->wide * d->width * size);
  const int64_t run = fcv_reserve(&bytes, pixels * (int64_t)sizeof(struct fcv_patch_run));
  const int64_t out = fcv_reserve(&bytes, pixels * (int64_t)sizeof(int64_t));
  if (base)
    *memory = (struct unit_memory){
        .stage = base + stage,
        .patches = base + patches,
        .tile = base + tile,
        .rest = base + rest,
        .run = (struct fcv_patch_run *)(base + run),
        .out = (int64_t *)(base + out),
    };
  return bytes;
}

/* Where the panel's patches are pixels that lie side by side in x. */
static const char *find_rows(const struct fcv_planes *d, const struct fcv_patch_view *view,
                             const struct fcv_panel *panel) {
  const struct fcv_patch_run *first = panel->run, *last = &panel->run[panel->runs - 1];
  const int side_by_side = last->start + last->count == d->width && last->from - first->from == last->start;
  return d->packs && side_by_side ? view->x + (first->from + d->patcher.offset[0]) * d->kernels->size : NULL;
}

/* Of the pixels that are left, along their terms. */
static void make_rest(const struct fcv_planes *d, const struct fcv_patch_view *view, int64_t channels,
                      const struct unit_memory *memory, struct fcv_panel *panel) {
  const struct fcv_kernels *k = d->kernels;
  fcv_patch_copy(&d->patcher, view, channels, panel->runs, panel->run, panel->patches, k->vl);
  k->transpose(channels * d->patcher.taps, panel->count, panel->patches, k->vl, memory->rest, d->pitch);
  panel->rest = memory->rest;
}

/* Panels of patches for the next count pixels of the box, the rest of them by themselves; returns how many. Where they
 * are whole vectors at one tap, the rows of all panels are copied channel by channel, since they lie side by side in x.
 */
static int64_t make_panels(const struct fcv_planes *d, const struct fcv_patch_view *view, int64_t count, int64_t rest,
                           struct fcv_patch_cursor *cursor, int64_t channels, const struct unit_memory *memory,
                           struct fcv_panel *panel) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t filling = count - rest, full = fcv_ceil_div(filling, d->width), row = d->width / k->vl;
  struct fcv_patch_run whole[MOST_PANELS * FCV_MAX_NV];
  int together = d->patcher.taps == 1 && !d->patcher.staged && count % d->width == 0 && !d->packs;
  for (int64_t p = 0; p < full + (rest > 0); p++) {
    struct fcv_patch_run *run = memory->run + p * d->width;
    int64_t *out = memory->out + p * d->width;
    panel[p] = (struct fcv_panel){.count = p < full ? fcv_min(d->width, filling - p * d->width) : rest};
    panel[p].run = run;
    panel[p].out = out;
    panel[p].patches = memory->patches + p * d->width * channels * d->patcher.taps * k->size;
    panel[p].runs = fcv_patch_runs(&d->patcher, view, panel[p].count, cursor, run, out);
    const int64_t last = panel[p].runs - 1;
    panel[p].in_place = d->patcher.walk.axis[2].out_step == 1 && out[last] - out[0] == run[last].start;
    panel[p].rows = find_rows(d, view, &panel[p]);
    together = together && panel[p].runs == row;
    for (int64_t r = 0; r < row && together; r++) {
      whole[p * row + r] = run[r];
      whole[p * row + r].start += p * d->width * channels;
    }
  }
  if (together)
    fcv_patch_copy(&d->patcher, view, channels, full * row, whole, memory->patches, d->width);
  for (int64_t p = 0; p < full && !together; p++)
    if (!panel[p].rows)
      fcv_patch_copy(&d->patcher, view, channels, panel[p].runs, panel[p].run, panel[p].patches,
                     fcv_round_up(panel[p].count, k->vl));
  if (rest == 0)
    return full;
  make_rest(d, view, channels, memory, &panel[full]);
  return full + 1;
}

/* What a unit reads after a chunk, whose cursor is behind it, of a block of channels with so many pixels left: the rest
 * of the box, the next channels, or what this thread will take next. */
static struct fcv_patch_memory find_next(const struct fcv_planes *d, int64_t unit, const struct fcv_patch_view *view,
                                         int64_t channel, int64_t left, const struct fcv_patch_cursor *cursor) {
  const struct fcv_patcher *p = &d->patcher;
  struct fcv_patch_view next = *view;
  struct fcv_patch_cursor at = *cursor;
  if (!d->fetches || (left > 0 && p->staged))
    return (struct fcv_patch_memory){0};
  if (left <= 0) {
    channel += p->channels;
    if (channel >= p->walk.kc) {
      channel = 0;
      unit += d->threads;
    }
    if (unit >= d->units)
      return (struct fcv_patch_memory){0};
    fcv_patch_box(p, unit / d->splits / p->walk.groups, &next);
    at = fcv_patch_begin(&next);
    left = next.pixels;
  }
  const int64_t group = unit / d->splits % p->walk.groups;
  return fcv_patch_memory(p, &next, &at, fcv_min(d->chunk, left), group * p->walk.kc + channel,
                          fcv_min(p->channels, p->walk.kc - channel));
}

static void planes_unit(const void *context, int64_t unit, int thread) {
  const struct fcv_planes *d = context;
  const struct fcv_walk *walk = &d->patcher.walk;
  const int64_t split = unit % d->splits, group = unit / d->splits % walk->groups;
  struct unit_memory memory = {0};
  struct fcv_patch_view view;
  lay_out(d, d->thread_memory + thread * d->thread_bytes, &memory);
  fcv_patch_box(&d->patcher, unit / d->splits / walk->groups, &view);
  const int64_t first = walk->nc * split / d->splits, last = walk->nc * (split + 1) / d->splits;
  for (int64_t c = 0; c < walk->kc; c += d->patcher.channels) {
    const int64_t channels = fcv_min(d->patcher.channels, walk->kc - c);
    fcv_patch_read(&d->patcher, group * walk->kc + c, channels, memory.stage, &view);
    struct fcv_patch_cursor cursor = fcv_patch_begin(&view);
    for (int64_t q = 0; q < view.pixels; q += d->chunk) {
      struct fcv_panel panel[MOST_PANELS + 1];
      const int64_t left = view.pixels - q;
      const int64_t panels = make_panels(d, &view, fcv_min(d->chunk, left), left <= d->chunk ? d->rest : 0, &cursor,
                                         channels, &memory, panel);
      const struct fcv_patch_memory next = find_next(d, unit, &view, c, left - d->chunk, &cursor);
      fcv_planes_multiply(d, group, first, last, c, channels, panel, panels, &next, memory.tile);
    }
  }
  if (d->past_caches)
    fcv_fence();
}

/* Where few pixels meet weights that stand as [term][channel] vectors along channels take them as they are: 1x7x7
 * 512->2048 1x1, input gradient. */
int fcv_use_planes(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view) {
  const struct fcv_axis *axis = walk->axis;
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  const int64_t pixels = walk->n * axis[0].count * axis[1].count * axis[2].count;
  return conv->layout == FCV_CHANNELS_FIRST && conv->algorithm == FCV_DIRECT && fcv_walk_taps(walk) > 0 &&
         walk->kc > 0 && pixels >= (fcv_stands_as_rows(walk, view) ? 1 : k->vl) && !fcv_fits_pieces(conv, walk, view);
}

/* Rows of y begin with a vector, and are written once. */
static int leaves_caches(const struct fcv_planes *d) {
  const struct fcv_walk *walk = &d->patcher.walk;
  const int64_t plane = walk->axis[0].out * walk->axis[1].out * walk->axis[2].out * d->kernels->size;
  const int aligned = (uintptr_t)d->y % (size_t)d->line == 0 && plane % d->line == 0;
  return aligned && d->patcher.channels == walk->kc && fcv_fused(d->conv->activation) &&
         fcv_leaves_caches(walk->n * walk->groups * walk->nc * plane);
}

/* Of the images of x. */
static int is_far(const struct fcv_kernels *k, const struct fcv_walk *walk) {
  const struct fcv_axis *axis = walk->axis;
  return walk->n * walk->groups * walk->kc * axis[0].in * axis[1].in * axis[2].in * k->size > NEAR_BYTES;
}

static double products(const struct fcv_walk *walk) {
  const struct fcv_axis *axis = walk->axis;
  const double pixels = (double)(walk->n * axis[0].count * axis[1].count * axis[2].count);
  return pixels * (double)(fcv_walk_taps(walk) * walk->kc) * (double)walk->nc;
}

/* Then images are one box, and threads share the channels: by the shape alone, as which these pixels are. */
int fcv_planes_rest(const struct fcv_kernels *k, const struct fcv_walk *walk) {
  const struct fcv_axis *axis = walk->axis;
  const int64_t pixels = walk->n * axis[0].count * axis[1].count * axis[2].count;
  const int shares = walk->groups * walk->nc >= (int64_t)REST_TILES * k->wide || products(walk) < REST_PRODUCTS;
  return shares && pixels <= MORE_PIXELS && pixels % k->vl <= k->db && axis[2].out_step == 1 && !is_far(k, walk)
             ? (int)(pixels % k->vl)
             : 0;
}

/* Into blocks of channels, chunks of pixels, and boxes for so many threads. */
static void cut(struct fcv_planes *d, const struct fcv_walk *walk, int threads) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t taps = fcv_walk_taps(walk);
  const int64_t outputs = walk->n * walk->axis[0].count * walk->axis[1].count * walk->axis[2].count;
  d->filling = d->rest < outputs;
  const int64_t most = fcv_max(1, (d->filling ? TERM_BYTES : REST_TERM_BYTES) / k->size / taps);
  d->patcher.channels = fcv_ceil_div(walk->kc, fcv_ceil_div(walk->kc, most));
  const int64_t pixel = d->patcher.channels * taps * k->size;
  const int64_t more =
      taps == 1 && is_far(k, walk) ? fcv_l2_bytes() / 4 : MORE_BYTES; /* twice as many with what comes next */
  const int64_t pixels = fcv_max(PATCH_BYTES / pixel, fcv_min(MORE_PIXELS, more / pixel));
  d->chunk = d->width * fcv_max(1, fcv_min(MOST_PANELS, pixels / d->width));
  d->patcher.walk = *walk;
  fcv_join_rows(&d->patcher.walk, walk->nc < MANY_CHANNELS ? threads : 1, k->vl);
  fcv_patcher_plan(&d->patcher, taps == 1 ? ONE_TAP_BYTES : STAGE_BYTES, fcv_max(4 * d->chunk, BOX_PIXELS), threads);
}

static fcv_status run_planes(const struct fcv_conv *conv, const struct fcv_walk *walk,
                             const struct fcv_weight_view *view, const void *x, const void *w, const void *bias,
                             int spreads, void *y) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  struct fcv_planes d = {.spreads = spreads, .conv = conv, .kernels = k, .patcher = {.kernels = k, .x = x}, .y = y};
  struct fcv_patcher *patcher = &d.patcher;
  const int64_t taps = fcv_walk_taps(walk);
  const int64_t outputs = walk->n * walk->axis[0].count * walk->axis[1].count * walk->axis[2].count;
  if (outputs == 0 || walk->nc == 0)
    return FCV_OK;
  if (fcv_use_runs(k, walk))
    return fcv_conv_runs(conv, walk, view, x, w, bias, y);
  const int threads = fcv_threads_for(products(walk));
  d.width = (int64_t)k->wide_nv * k->vl;
  d.threads = threads;
  const int far = is_far(k, walk);
  d.rest = fcv_planes_rest(k, walk);
  cut(&d, walk, d.rest > 0 ? 1 : threads);
  if (d.rest > 0 && fcv_product(patcher->boxes) > 1) {
    d.rest = 0;
    cut(&d, walk, threads);
  }
  d.pitch = fcv_round_up(patcher->channels * taps, 64 / k->size) + 64 / k->size;
  const int64_t units = fcv_product(patcher->boxes) * walk->groups;
  const int uneven = units < 2 * threads && units % threads != 0;
  d.splits = uneven ? fcv_max(1, fcv_min(fcv_ceil_div(2 * threads, units), walk->nc / k->wide)) : 1;
  d.units = units * d.splits;
  d.packs = taps == 1 && (!far || patcher->channels >= FAR_TERMS);
  d.fetches = far && (taps == 1 || patcher->staged);
  d.line = k->vl * k->size;
  d.past_caches = leaves_caches(&d);
  d.thread_bytes = lay_out(&d, NULL, NULL);

  int64_t bytes = 0;
  const int64_t rows_at = fcv_reserve(&bytes, fcv_weight_rows_bytes(conv, walk, view));
  const int64_t patcher_at = fcv_reserve(&bytes, fcv_patcher_bytes(patcher));
  const int64_t threads_at = fcv_reserve(&bytes, threads * d.thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  d.thread_memory = memory + threads_at;
  fcv_patcher_start(patcher, memory + patcher_at);
  d.rows = fcv_weight_rows(conv, walk, view, w, bias, memory + rows_at);
  fcv_parallel_for(d.units, threads, planes_unit, &d);
  fcv_scratch_give(memory);
  return FCV_OK;
}

fcv_status fcv_conv_planes(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                           const void *x, const void *w, const void *bias, void *y) {
  return run_planes(conv, walk, view, x, w, bias, 0, y);
}

int fcv_spreads_planes(const struct fcv_conv *conv, const struct fcv_weight_view *view) {
  const struct fcv_geometry *g = &conv->geometry;
  struct fcv_walk walk;
  int spreads = g->in[0] == 1 && g->stride[1] == 2 && g->stride[2] == 2 && g->in[1] > 1 && g->in[2] > 1;
  FCV_FOR_EACH_RESIDUE(g, walk, {
    const int first = residue[1] == 0 && residue[2] == 0;
    spreads = spreads && (first ? fcv_use_planes(conv, &walk, view) : fcv_walk_taps(&walk) == 0);
  });
  return spreads;
}

fcv_status fcv_conv_planes_spread(const struct fcv_conv *conv, const struct fcv_weight_view *view, const void *gy,
                                  const void *w, void *gx) {
  const int64_t residue[FCV_AXES] = {0};
  struct fcv_walk walk;
  fcv_walk_grad_input(&conv->geometry, residue, &walk);
  return run_planes(conv, &walk, view, gy, w, NULL, 1, gx);
}
