/* Weight gradient: how pixels are cut into boxes and chunks, and the sums of a box into parts. */
#include "wgrad.h"

enum {
  BOX_BYTES = 1 << 19,   /* x and gy of a box stay in L2, and of the next one, which is fetched meanwhile */
  MORE_BYTES = 1 << 20,  /* the same where weights take more than BOX_BYTES: they are read and written once a box, */
  MOST_BYTES = 6 << 20,  /* half of their size, up to here: 16x28x28 512->512 3x3 s2 190 ms became 165 (Zen 4), */
  ONE_BYTES = 12 << 20,  /* or not at all, if there is only one */
  FEW_BYTES = 16 << 10,  /* weights that stay in L1 */
  UNIT_BYTES = 16 << 10, /* of a unit's transposed sums, but one tile of all taps, */
  TAPS_BYTES = 64 << 10, /* or of as many taps as fit */
  CHUNK_PIXELS = 32,     /* of a chunk at least, times the number of chunks */
  CHUNK_MORE = 128,      /* the same where weights take more than BOX_BYTES */
  CONFLICT = 512,        /* pixels this many bytes apart: a block of them does not fit into the sets of L1 */
  SPLIT = 2048,          /* pixels this large are staged tile by tile: 28x28 512->512 3x3, dilation 2, 26 ms became 22;
                            with a stride, where every second pixel is read, 16x14x14 512->512 took 38 ms in place of 31 */
};

int fcv_wgrad_transposes(const struct fcv_conv *conv, const struct fcv_walk *walk) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  int64_t met = walk->n, outputs = walk->n;
  for (int i = 0; i < FCV_AXES; i++) {
    const struct fcv_axis *axis = &walk->axis[i];
    met *= (axis->count - 1) * axis->in_step + (axis->taps - 1) * axis->shift_step + 1;
    outputs *= axis->count;
  }
  const int64_t channels = met * walk->groups * walk->kc + outputs * walk->groups * fcv_round_up(walk->nc, k->vl);
  return conv->weight_layout == FCV_CHANNELS_FIRST && conv->algorithm != FCV_IM2COL && !fcv_use_row_taps(walk) &&
         channels * k->size <= fcv_max(BOX_BYTES, fcv_min(fcv_weights(&conv->geometry) * k->size, ONE_BYTES));
}

static int64_t count_chunks(const struct fcv_wgrad *d, int64_t outputs) {
  const int64_t least = d->weights > BOX_BYTES ? CHUNK_MORE : CHUNK_PIXELS;
  return d->transposes ? 1 : fcv_chunks(outputs, least, d->weights);
}

/* Into boxes. */
static void cut_pixels(struct fcv_wgrad *d, int64_t outputs) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t pixel = d->walk->groups * d->walk->kc * k->size, patch = d->patches ? d->walk->groups * d->m : 0;
  const int conflicts = pixel % CONFLICT == 0;
  const int in_place = d->patches ? !d->patch_rows : !conflicts && !(d->row_taps && fcv_pads_rows(d->walk));
  const int64_t more = fcv_max(MORE_BYTES, fcv_min(d->weights / 2, MOST_BYTES));
  const int64_t box = d->weights > BOX_BYTES ? more : BOX_BYTES;
  const int64_t pixels = d->transposes ? INT64_MAX / 2 / pixel : box / (pixel + (patch + d->channels) * k->size);
  const struct fcv_axis *y = &d->walk->axis[1], *x = &d->walk->axis[2];
  /* Rows that a dilated kernel passes over are on top, or a box would have one row of outputs: 1x28x28 512->512 3x3,
   * dilation 4, took 32 ms, 23 since. */
  const int64_t above = (y->taps - 1) * (y->shift_step - 1) * x->in * pixel;
  d->staged = d->conv->layout == FCV_CHANNELS_FIRST || !in_place;
  d->chunks = count_chunks(d, outputs);
  const int64_t most = d->chunks > 1 ? outputs / d->chunks : pixels;
  const int splits = d->staged && !d->patches && !d->row_taps && d->taps > 1 && x->in_step == 1 && y->in_step == 1 &&
                     d->walk->kc * k->size >= SPLIT;
  fcv_stage_plan(k, d->walk, splits ? fcv_split_pixel(k, d->walk, d->rows) : pixel + (conflicts ? 64 : 0),
                 fcv_min(pixels, most) * pixel + fcv_min(above, 2 * box), 1, &d->stage);
  if (splits)
    fcv_stage_split(k, d->rows, &d->stage);
  d->boxes = fcv_stage_blocks(&d->stage, d->walk);
  d->chunks = fcv_min(d->chunks, d->boxes);
}

/* Into units, so that every thread has some. In gw few sums stay in L1 while a block of gy meets all taps; of many,
 * those of one tap meet all blocks. Transposed sums of a panel are written by one thread, if that leaves work for all:
 * parts are short pieces of gw's rows, and share lines. Returns the bytes that a part's sums take elsewhere. */
static int64_t cut_sums(struct fcv_wgrad *d, int threads) {
  const int64_t tile = d->kernels->wide_mi * d->panels.width * d->kernels->size, wanted = threads > 1 ? 8 * threads : 1;
  const int64_t panels = d->walk->groups * d->panels.per_group;
  if (d->transposes) {
    const int64_t together = fcv_min(UNIT_BYTES / (tile * d->taps), d->rows * panels / wanted);
    d->splits = fcv_ceil_div(d->rows, fcv_max(1, together));
    d->parts = fcv_ceil_div(d->taps, fcv_max(1, TAPS_BYTES / tile));
    d->parts = fcv_max(d->parts, fcv_min(d->taps, fcv_ceil_div(wanted, panels * d->splits)));
  } else {
    d->parts = d->weights <= FEW_BYTES && threads == 1 ? 1 : d->taps;
    d->splits = d->parts >= wanted ? 0 : fcv_min(d->rows, fcv_ceil_div(wanted, d->parts * panels));
  }
  d->all = d->units = fcv_max(1, panels * d->splits) * d->parts;
  if (d->transposes && (panels >= 4 * threads || panels % threads == 0))
    d->units = panels;
  return d->transposes ? fcv_ceil_div(d->rows, d->splits) * tile * fcv_ceil_div(d->taps, d->parts) : 0;
}

int64_t fcv_wgrad_lay_out(struct fcv_wgrad *d, int threads, char *base) {
  const int64_t size = d->kernels->size, taps = fcv_walk_taps(d->walk);
  struct fcv_box box;
  fcv_stage_box(&d->stage, d->walk, 0, &box);
  const int64_t most = fcv_round_up(fcv_box_pixels(d->walk, &box), FCV_WGRAD_PIXELS);
  const int64_t patch = d->patches ? d->walk->groups * d->m * size : 0, sums = cut_sums(d, threads);
  const int64_t pointers = FCV_WGRAD_PIXELS * (d->patches ? taps : 1) * (int64_t)sizeof(void *);
  int64_t bytes = 0;
  d->thread_bytes = fcv_round_up(fcv_max(sums, pointers), 64);
  const int64_t a = fcv_reserve(&bytes, d->transposes ? most * d->taps * (int64_t)sizeof(void *) : 0);
  const int64_t packed = fcv_reserve(&bytes, most * d->channels * size);
  const int64_t staged_x = fcv_reserve(&bytes, d->staged ? d->stage.bytes : 0);
  const int64_t patches = fcv_reserve(&bytes, d->patches ? most * patch + d->kernels->wide_mi * size : 0);
  const int64_t thread_memory = fcv_reserve(&bytes, threads * d->thread_bytes);
  if (base) {
    d->a = (const void **)(base + a);
    d->packed = base + packed;
    d->staged_x = base + staged_x;
    d->patch = base + patches;
    d->thread_memory = base + thread_memory;
  }
  return bytes;
}

int fcv_wgrad_plan(struct fcv_wgrad *d) {
  const struct fcv_kernels *k = d->kernels;
  const struct fcv_walk *walk = d->walk;
  const int64_t taps = fcv_walk_taps(walk), outputs = walk->n * fcv_product(d->conv->geometry.out);
  d->patches = d->conv->algorithm == FCV_IM2COL;
  d->row_taps = !d->patches && fcv_use_row_taps(walk);
  d->patch_rows = d->patches && fcv_use_row_taps(walk);
  d->transposes = fcv_wgrad_transposes(d->conv, walk);
  const int64_t span = d->patches ? taps : d->row_taps ? walk->axis[2].taps : 1;
  fcv_wide_panels(k, walk->nc, &d->panels);
  d->channels = walk->groups * fcv_panels_channels(&d->panels);
  d->taps = taps / span;
  d->m = span * walk->kc;
  d->rows = fcv_ceil_div(d->m, k->wide_mi);
  cut_pixels(d, outputs);
  const int64_t panels = walk->groups * d->panels.per_group, tile = k->wide_mi * d->panels.width;
  return fcv_threads_for((double)outputs * (double)(d->taps * panels * d->rows * tile));
}
